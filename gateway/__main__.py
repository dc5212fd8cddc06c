"""``python -m gateway``: one gateway from environment settings."""

import sys

import uvloop
from pydantic import ValidationError

from gateway.server import Server
from gateway.settings import Settings
from gateway.store import SchemaTooNew
from servicekit import logs


async def _run(settings: Settings) -> None:
    await Server(settings).run()


def main() -> None:
    try:
        settings = Settings()
    except ValidationError as error:
        sys.exit(f"gateway: {error}")
    if not settings.key():
        sys.exit("gateway: set GATEWAY_API_KEY or GATEWAY_API_KEY_FILE to the key callers present.")
    logs.set_up(settings.log_level)
    try:
        uvloop.run(_run(settings))
    except* SchemaTooNew as refused:
        sys.exit(f"gateway: {refused.exceptions[0]}")


if __name__ == "__main__":
    main()
