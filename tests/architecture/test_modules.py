"""Modules are named for what they own, and one page names them all."""

from pathlib import PurePath

from tests.architecture.repository import ROOT, files
from tests.architecture.structure_page import FOLDERS, modules, page

EMPTY_NAMES = {"utils", "util", "common", "helpers", "helper", "base", "misc"}


def test_structure_page_is_up_to_date() -> None:
    """docs/structure.md is what ``make docs`` writes."""
    assert (ROOT / "docs/structure.md").read_text() == page()


def test_structure_page_names_every_module() -> None:
    """No module is silent about itself or lives in a folder that the page does not know."""
    code = {path for path in files("*.py", "*.lua", "*.proto") if not path.startswith("tests/")}
    named = {path for path in modules() if path.rpartition("/")[0] in FOLDERS}
    generated_or_marks = {path for path in code if "protos/gen/" in path or "__init__" in path}
    assert code - generated_or_marks == named


def test_no_module_has_an_empty_name() -> None:
    """A module is named for the thing it owns, not for being of use."""
    assert not {path for path in files("*.py") if PurePath(path).stem in EMPTY_NAMES}
