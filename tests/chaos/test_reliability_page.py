"""The page on reliability names tests that exist."""

import re

from tests.architecture.repository import ROOT, files


def test_every_test_it_names_exists() -> None:
    """Each fault's proof on the page is a test of this repository."""
    named = set(re.findall(r"`(test_\w+)`", (ROOT / "docs/reliability.md").read_text()))
    code = "".join((ROOT / path).read_text() for path in files("tests/*.py"))
    assert named
    assert named <= set(re.findall(r"def (test_\w+)", code))
