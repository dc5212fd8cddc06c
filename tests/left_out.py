"""A pytest plugin that ends a run by saying what it left out and how to get it.

A test that needs something a machine may lack carries a marker from ``NEEDS``. With
``--nothing-left-out`` a run that skipped any test fails.
"""

import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from tests import faketime, typescript
from tests.browser import chromium
from tests.chaos import versions


@dataclass(frozen=True)
class Need:
    """Something outside the lock file: how to see that it is there, and how to get it."""

    is_there: Callable[[], bool]
    remedy: str


def _gives_namespaces() -> bool:
    enter = "from tests.abuse import internet; internet.enter()"
    entered = subprocess.run([sys.executable, "-c", enter], capture_output=True, check=False)
    return entered.returncode == 0


NEEDS = {
    "needs_namespaces": Need(
        _gives_namespaces,
        "needs network namespaces: run as root or let users have user namespaces",
    ),
    "needs_chromium": Need(
        lambda: chromium.find_chromium() is not None,
        "needs a browser: `apt-get install chromium`, or name one in CHROMIUM",
    ),
    "needs_flite": Need(
        lambda: shutil.which("flite") is not None,
        "needs the speech synthesizer flite: `apt-get install flite`",
    ),
    "needs_faketime": Need(
        lambda: faketime.LIBRARY is not None,
        "needs clocks that jump: `apt-get install libfaketime`",
    ),
    "needs_npm_packages": Need(
        typescript.PACKAGES.exists,
        "needs packages from npm: `make clients/typescript/node_modules/ready`",
    ),
    "needs_root": Need(
        lambda: os.geteuid() == 0, "needs root, who can become another user: run it as root"
    ),
    "needs_history": Need(
        lambda: versions.previous() is not None,
        "needs an earlier version to come from and go back to: a clone with its history",
    ),
}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--nothing-left-out", action="store_true", help="fail if any test had to be skipped"
    )


def pytest_configure(config: pytest.Config) -> None:
    for marker, need in NEEDS.items():
        config.addinivalue_line("markers", f"{marker}: {need.remedy}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    missing = {marker for marker, need in NEEDS.items() if not need.is_there()}
    for item in items:
        for marker in missing.intersection(mark.name for mark in item.iter_markers()):
            item.add_marker(pytest.mark.skip(reason=NEEDS[marker].remedy))


def pytest_sessionfinish(session: pytest.Session) -> None:
    strict = session.config.getoption("--nothing-left-out")
    if strict and session.exitstatus == pytest.ExitCode.OK and any(_skip_reasons(session.config)):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    reasons = Counter(_skip_reasons(config))
    if not reasons:
        terminalreporter.write_line("Nothing was left out.")
        return
    terminalreporter.section("left out")
    for reason, count in sorted(reasons.items()):
        terminalreporter.write_line(f"{count} test{'s' if count > 1 else ''}: {reason}")
    if config.getoption("--nothing-left-out"):
        terminalreporter.write_line("Nothing may be left out here, so the run fails.", red=True)


def _skip_reasons(config: pytest.Config) -> Iterator[str]:
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    for report in reporter.stats.get("skipped", []) if reporter else ():
        yield report.longrepr[2].removeprefix("Skipped: ")
