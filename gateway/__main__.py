"""``python -m gateway``: one gateway from environment settings, or a command for operators."""

import gc
import sys

import uvloop
from pydantic import ValidationError

from gateway.server import Server
from gateway.settings import Settings
from gateway.store import SchemaTooNew
from servicekit import logs
from servicekit.recording import recording
from servicekit.serve import CannotListen
from servicekit.settings import problems
from servicekit.telemetry import Telemetry
from servicekit.tls import UnusableCertificate


async def _run(settings: Settings, telemetry: Telemetry) -> None:
    await Server(settings, telemetry).run()


def main() -> None:
    if len(sys.argv) > 1:
        # Imported for those who use it: a gateway need not carry a command line in its memory.
        from gateway.commands import app

        app()
    serve()


def serve() -> None:
    try:
        settings = Settings()
    except ValidationError as error:
        sys.exit(problems(Settings, error))
    logs.set_up(settings.log_level)
    _collect_garbage_seldom()
    try:
        with recording("gateway", settings.metrics_listen) as telemetry:
            uvloop.run(_run(settings, telemetry))
    except* (SchemaTooNew, UnusableCertificate, CannotListen) as refused:
        sys.exit(f"gateway: {refused.exceptions[0]}")


def _collect_garbage_seldom() -> None:
    """Looking for cycles in thousands of messages took a twentieth of the gateway's time.

    They are freed by their reference counts; what has been imported is never looked at again.
    """
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


if __name__ == "__main__":
    main()
