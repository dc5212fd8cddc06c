"""``python -m transcriber``: one transcriber, set up by the environment."""

import asyncio
import sys

from pydantic import ValidationError

from servicekit import logs
from servicekit.recording import CannotListen, recording
from servicekit.settings import problems
from transcriber import server
from transcriber.settings import Settings


def main() -> int:
    try:
        settings = Settings()
    except ValidationError as error:
        print(problems(Settings, error), file=sys.stderr)
        return 2
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
