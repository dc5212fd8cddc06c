"""What a script is made of."""

import re
from pathlib import Path

import pytest

from gateway.store import scripts

FUNCTION = re.compile(r"^local function (\w+)", re.MULTILINE)
PRELUDE = Path(scripts.__file__).parent / "prelude"


@pytest.mark.parametrize("name", scripts.NAMES)
def test_a_script_carries_all_that_it_uses(name: str) -> None:
    """Whatever function of the prelude it calls, directly or not, is defined in its text."""
    text = re.sub(r"--.*", "", scripts.source(name))
    defined = set(FUNCTION.findall(text))
    whole = "".join(path.read_text() for path in PRELUDE.glob("*.lua"))
    assert set(FUNCTION.findall(whole)) & set(re.findall(r"(\w+)\(", text)) <= defined


def test_a_script_carries_no_more_than_it_uses() -> None:
    """What prolongs a lease knows nothing of queues, quotas and messages."""
    assert set(FUNCTION.findall(scripts.source("renew"))) == {
        "key", "load_hash", "load_item", "has_ended", "batch_has_ended", "is_leased",
    }  # fmt: skip
