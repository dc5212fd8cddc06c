"""The ``batchscribe`` command."""

import importlib.util
import sys


def main() -> None:
    """Run the command; the entry point of the installed script."""
    if importlib.util.find_spec("typer") is None:
        sys.exit('The command needs its extra: pip install "batchscribe[cli]"')
    from batchscribe.cli.app import run_app

    run_app()
