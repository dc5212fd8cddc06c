"""Secrets at rest."""

import pytest

from gateway.secret_box import SealedForOthers, SecretBox, new_key

OLD, NEW = new_key(), new_key()


def test_what_is_sealed_does_not_show() -> None:
    """A sealed secret opens to what it was and shows nothing of it."""
    sealed = SecretBox([OLD]).seal("whsec_abc")
    assert "whsec" not in sealed
    assert SecretBox([OLD]).open(sealed) == "whsec_abc"


def test_keys_are_replaced_one_after_the_other() -> None:
    """The first key seals; what another key sealed still opens while that key is there."""
    sealed = SecretBox([OLD]).seal("whsec_abc")
    both = SecretBox([NEW, OLD])
    assert both.open(sealed) == "whsec_abc"
    assert SecretBox([NEW]).open(both.seal("whsec_abc")) == "whsec_abc"


def test_what_was_stored_before_there_were_keys_still_opens() -> None:
    """Turning encryption on does not lock out what is there."""
    assert SecretBox([OLD]).open(SecretBox().seal("whsec_abc")) == "whsec_abc"


@pytest.mark.parametrize("keys", [[], [NEW]])
def test_without_its_key_a_secret_stays_closed(keys: list[str]) -> None:
    """A missing key is said, never taken for the secret itself."""
    with pytest.raises(SealedForOthers):
        SecretBox(keys).open(SecretBox([OLD]).seal("whsec_abc"))
