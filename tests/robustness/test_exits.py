"""The process ends with the status that it would have without this package, whatever is queued or under way."""

from typing import Any

from tests.robustness.exits import WAYS
from tests.support.children import HANGS_AFTER


def test_every_way_to_end_ends_as_without_this_package(run_module: Any) -> None:
    done = run_module("tests.robustness.exits", "2", timeout=HANGS_AFTER)
    lines = [line for line in done.stdout.splitlines() if line.endswith("as expected")]
    assert lines == [f"{way.__name__} as expected" for way in WAYS], done.stdout + done.stderr
