"""A gateway with a promise broken on purpose, to see that the checker notices.

``--without-fencing`` takes every lease for valid; ``--without-replay`` lets a resumed watch begin
at the present.
"""

import argparse
import re
from collections.abc import AsyncIterator

from batchscribe.v1.batch_service_pb2 import WatchBatchResponse

from gateway.__main__ import serve
from gateway.store import scripts
from gateway.watch import Watches

FENCE = re.compile(r"^local function is_leased\(.*", re.MULTILINE)
NO_FENCE = "local function is_leased() return true end"


def remove_fencing() -> None:
    """Let any epoch write: the scripts' own test of a lease is replaced."""
    whole = scripts.source

    def source(name: str) -> str:
        return FENCE.sub(NO_FENCE, whole(name))

    assert NO_FENCE in source("finish")
    scripts.source = source


def remove_replay() -> None:
    """Let a watch that is resumed skip what it has missed."""
    follow = Watches.follow

    async def follow_from_now(
        watches: Watches, user: str, batch_id: str, after_revision: int
    ) -> AsyncIterator[WatchBatchResponse]:
        if after_revision:
            stored = await watches._store.batch(user, batch_id, with_items=False)
            after_revision = stored.batch.revision
        async for response in follow(watches, user, batch_id, after_revision):
            yield response

    Watches.follow = follow_from_now  # type: ignore[assignment,method-assign]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--without-fencing", action="store_true")
    parser.add_argument("--without-replay", action="store_true")
    options = parser.parse_args()
    if options.without_fencing:
        remove_fencing()
    if options.without_replay:
        remove_replay()
    serve()


if __name__ == "__main__":
    main()
