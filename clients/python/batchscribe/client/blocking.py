"""``transcribe``: the whole job as one blocking generator, for scripts and notebooks.

It runs its own event loop in a thread, so it also works where a loop is already running. There
is no second, synchronous client: whoever needs more uses ``Client``.
"""

import asyncio
import contextlib
import queue
import threading
from collections.abc import AsyncGenerator, Iterable, Iterator

from batchscribe.client import discovery, errors
from batchscribe.client.client import Client
from batchscribe.client.states import ENDED_ITEM_STATES, BatchPicture
from batchscribe.v1 import batch_pb2, transcript_pb2

_CANCEL_EVERY_SECONDS = 0.5

Ended = tuple[batch_pb2.BatchItem, transcript_pb2.Transcript | None]


def transcribe(
    videos: Iterable[str | batch_pb2.VideoSpec],
    *,
    server: str | None = None,
    api_key: str | None = None,
    options: batch_pb2.BatchOptions | None = None,
) -> Iterator[Ended]:
    """Transcribe ``videos`` as one batch and yield each as it ends, with its transcript.

    The transcript is None for a video that did not succeed; ``item.error`` says why. Without
    ``server`` the one in BATCHSCRIBE_SERVER is used, or a running ``batchscribe up``. Leaving the
    loop early leaves the batch running. Raises the exceptions of ``batchscribe.client.errors``.
    """
    found = discovery.find(server, api_key)
    if found is None:
        raise errors.Unavailable(discovery.NO_SERVER)
    ended: queue.SimpleQueue[Ended | None] = queue.SimpleQueue()
    loop = asyncio.new_event_loop()
    task = loop.create_task(_collect(ended, found, list(videos), options))
    task.add_done_callback(lambda _: ended.put(None))
    thread = threading.Thread(
        target=loop.run_until_complete, args=(asyncio.wait([task]),), name="batchscribe"
    )
    thread.start()
    try:
        while (one := ended.get()) is not None:
            yield one
        task.result()
    finally:
        while thread.is_alive():  # A library in between may swallow one cancel.
            loop.call_soon_threadsafe(task.cancel)
            thread.join(_CANCEL_EVERY_SECONDS)
        loop.close()


async def _collect(
    ended: queue.SimpleQueue[Ended | None],
    found: discovery.Server,
    videos: list[str | batch_pb2.VideoSpec],
    options: batch_pb2.BatchOptions | None,
) -> None:
    async with Client(found.address, found.api_key, ca_file=found.ca_file) as client:
        batch = await client.create_batch(videos, options=options)
        async with contextlib.aclosing(ended_items(client, batch.batch_id)) as items:
            async for item in items:
                ended.put((item, await _transcript_of(client, item)))


async def ended_items(client: Client, batch_id: str) -> AsyncGenerator[batch_pb2.BatchItem, None]:
    """Watch a batch and yield each of its items once, when it has ended."""
    picture = BatchPicture()
    async with contextlib.aclosing(client.watch(batch_id)) as events:
        async for event in events:
            for item in picture.apply(event):
                if item.state in ENDED_ITEM_STATES:
                    yield item


async def _transcript_of(
    client: Client, item: batch_pb2.BatchItem
) -> transcript_pb2.Transcript | None:
    if item.state != batch_pb2.ITEM_STATE_SUCCEEDED:
        return None
    return await client.transcript(item.transcription_id)
