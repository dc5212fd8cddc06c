"""``python -m transcriber``: one transcriber, set up by the environment, or its ``doctor``."""

import argparse
import asyncio
import sys

from pydantic import ValidationError

from servicekit import logs
from servicekit.findings import tell
from servicekit.recording import recording
from servicekit.serve import CannotListen
from servicekit.settings import problems
from transcriber import server
from transcriber.settings import Settings


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m transcriber", description=__doc__)
    commands = parser.add_subparsers(dest="command")
    doctor = commands.add_parser("doctor", help="look at this machine; 1 if anything fails")
    doctor.add_argument("--json", action="store_true", help="print JSON, a line each")
    chosen = parser.parse_args()
    try:
        settings = Settings()
    except ValidationError as error:
        print(problems(Settings, error), file=sys.stderr)
        return 2
    return _look(settings, chosen.json) if chosen.command else _serve(settings)


def _look(settings: Settings, as_json: bool) -> int:
    from transcriber.doctor import examine

    return 0 if tell(examine(settings), as_json) else 1


def _serve(settings: Settings) -> int:
    logs.set_up(settings.log_level)
    try:
        with recording("transcriber", settings.metrics_listen) as telemetry:
            asyncio.run(server.run(settings, telemetry))
    except (server.CannotStart, CannotListen) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
