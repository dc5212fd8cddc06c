"""API keys as text."""

import pytest

from gateway.api_key import ApiKey


def test_a_new_key_reads_back() -> None:
    """What is printed for the user is the key that its digest was taken of."""
    key = ApiKey.new()
    assert ApiKey.parse(key.text) == key


def test_no_two_keys_are_alike() -> None:
    """Ids and secrets are random."""
    keys = [ApiKey.new() for _ in range(100)]
    assert len({key.key_id for key in keys}) == len({key.secret for key in keys}) == 100


@pytest.mark.parametrize(
    "text",
    ["", "bs_", "bs_abcd_", "bs_abcd_short", f"xx_abcd_{'a' * 32}", f"bs_AB_{'a' * 32}",
     f"bs_abcd_{'a' * 129}", f"bs_abcd_{'a' * 32}\n", f"bs_abcd_{'ä' * 32}"],
)  # fmt: skip
def test_what_is_no_key_is_none(text: str) -> None:
    """Anything without the form of a key is told apart before anybody is asked about it."""
    assert ApiKey.parse(text) is None


def test_a_key_does_not_show_its_secret() -> None:
    """The secret is in no log line that a key gets into."""
    key = ApiKey.new()
    assert key.secret not in f"{key} {key!r}"
