"""The ``batchscribe`` command."""

import importlib.util
import os
import sys


def main() -> None:
    """Run the command; the entry point of the installed script."""
    if importlib.util.find_spec("typer") is None:
        sys.exit('The command needs its extra: pip install "batchscribe[cli]"')
    # gRPC's C core reports a restarting server on standard error, across the progress bars.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    from batchscribe.cli.app import run_app

    run_app()
