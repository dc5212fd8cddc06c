"""Pages: sizes within bounds, and tokens that lead nowhere but in their own list."""

import pytest

from gateway import pages
from gateway.errors import InvalidRequest


def test_a_token_leads_to_its_place() -> None:
    """What a token was made of is what it is read as; without one there is no place."""
    token = pages.token("batches", 17, "batch_1")
    assert pages.place(token, "batches", pages.number, str) == (17, "batch_1")
    assert pages.place("", "batches", pages.number, str) is None


@pytest.mark.parametrize(
    "token",
    [
        "!!",
        "é",
        "w7w6Mw",
        pages.token("another", 3, 4),
        pages.token("list", 3),
        pages.token("list", 3, 4, 5),
        pages.token("list", 3, -4),
        pages.token("list", 3, "x"),
        pages.token("list", 3, "٤"),
        pages.token("list", 3, "9" * 19),
    ],
)
def test_any_other_token_is_refused(token: str) -> None:
    """One that is garbled, of another list or with other parts is refused by its field."""
    with pytest.raises(InvalidRequest) as caught:
        pages.place(token, "list", pages.number, pages.number)
    (violation,) = caught.value.violations
    assert (violation.field, violation.reason) == ("page_token", "PAGE_TOKEN_INVALID")


def test_sizes_have_a_default_and_a_cap() -> None:
    """0 is the default, more than the most is the most, and less than nothing is refused."""
    assert [pages.size(asked, 50, 200) for asked in (0, 1, 200, 201)] == [50, 1, 200, 200]
    with pytest.raises(InvalidRequest, match="page_size: A page size is 0"):
        pages.size(-1, 50, 200)
