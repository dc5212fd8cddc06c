"""The route that tells how much is still to be done."""

import httpx2
from batchscribe.v1.batch_pb2 import BatchState

from tests.running_gateway import KEY, running_gateway
from tests.scripted_transcriber import ScriptedTranscriber, running

URLS = [f"http://127.0.0.1/{number}.mp3" for number in range(3)]


async def test_the_queue_grows_and_shrinks_to_nothing(redis_url: str) -> None:
    """With a key: audio of unknown length counts as ten minutes, and what has ended not at all."""
    idle = ScriptedTranscriber(slots=0)
    async with (
        running(idle),
        running_gateway(redis_url, [idle.address], http_listen="127.0.0.1:0") as gateway,
        httpx2.AsyncClient(base_url=f"http://{gateway.http}/api/v1") as http,
    ):
        assert (await http.get("/queue")).status_code == 401
        http.headers["Authorization"] = f"Bearer {KEY}"
        batch = await gateway.create(*URLS)
        waiting = (await http.get("/queue")).json()
        idle.offer(4)
        ended = await gateway.ended(batch.batch_id)
        nothing = (await http.get("/queue")).json()
    assert ended.state == BatchState.BATCH_STATE_SUCCEEDED
    assert waiting == {"waiting_items": 3, "audio_seconds": 1800}
    assert nothing == {"waiting_items": 0, "audio_seconds": 0}
