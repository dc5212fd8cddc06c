"""A gateway with a promise broken on purpose, to see that the checker notices.

``--without-fencing`` takes every lease for valid; ``--without-replay`` lets a resumed watch begin
at the present.
"""

import argparse
from collections.abc import AsyncIterator

from batchscribe.v1.batch_service_pb2 import WatchBatchResponse

from gateway.__main__ import serve
from gateway.store import scripts
from gateway.watch import Watches

PRELUDE_END = "\nis_leased = function() return true end\n"


def remove_fencing() -> None:
    """Let any epoch write: the prelude's own test of a lease is replaced after it is defined."""
    prelude, whole = scripts.prelude().strip(), scripts.source

    def source(name: str) -> str:
        return whole(name).replace(prelude, prelude + PRELUDE_END)

    assert PRELUDE_END in source("finish")
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
