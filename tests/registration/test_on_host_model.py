"""The Ascend backend in both modes, on the operator's kernel and tiling as the host model runs them."""

import pytest

pytest.register_assert_rewrite("ascend_contract")

from tests.ascend.ascend_contract import *  # noqa: E402, F403
