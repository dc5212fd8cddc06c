"""The page of settings is that of the code."""

import re

from tests.architecture.repository import ROOT, files
from tests.architecture.settings_page import SERVICES, page


def test_settings_page_is_up_to_date() -> None:
    """docs/settings.md is what ``make docs`` writes."""
    assert (ROOT / "docs/settings.md").read_text() == page()


def test_every_setting_says_what_it_means() -> None:
    """No setting is without a description."""
    silent = [
        f"{settings.__module__}.{name}"
        for settings in SERVICES.values()
        for name, field in settings.model_fields.items()
        if not field.description
    ]
    assert silent == []


def test_page_names_what_clients_read() -> None:
    """Every BATCHSCRIBE_ variable that the SDK or the command reads stands on the page."""
    code = "".join((ROOT / path).read_text() for path in files("clients/python/*.py"))
    variables = set(re.findall(r"BATCHSCRIBE_[A-Z_]+", code))
    assert variables
    assert variables == set(re.findall(r"BATCHSCRIBE_[A-Z_]+", page()))
