"""docs/refusals.md says what the operator says."""

from tests.support.refusals_page import PAGE, page


def test_the_page_is_what_the_table_gives() -> None:
    assert PAGE.read_text() == page(), "run: python -m tests.support.refusals_page"
