"""The contract on the device, against the NumPy definition."""

import pytest

pytest.register_assert_rewrite("ascend_contract")

from tests.ascend.ascend_contract import *  # noqa: E402, F403
