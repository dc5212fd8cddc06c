"""The page on reliability is complete, and names tests that exist."""

import re

from tests.architecture.repository import ROOT, files

PAGE = (ROOT / "docs/reliability.md").read_text()
# Those of addresses and of callers who mean harm are on the page on security.
FAULTS = [*range(1, 45), 46, 47, 48, 53, 54, 55, 56, 64, 66]


def test_every_test_it_names_exists() -> None:
    """Each fault's proof on the page is a test of this repository."""
    named = set(re.findall(r"`(test_\w+)`", PAGE))
    code = "".join((ROOT / path).read_text() for path in files("tests/*.py"))
    assert named
    assert named <= set(re.findall(r"def (test_\w+)", code))


def test_every_fault_has_its_proof() -> None:
    """No fault is without a row, and a row names a test or says that it cannot happen."""
    rows = re.findall(r"^\| (\d+) \| [^|]+ \| ([^|]+) \|$", PAGE, re.MULTILINE)
    assert [int(number) for number, _ in rows] == FAULTS
    assert all("`test_" in proof or "Cannot happen" in proof for _, proof in rows)
