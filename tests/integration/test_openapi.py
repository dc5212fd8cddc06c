"""The OpenAPI document, held to the server by requests that are made from it."""

import asyncio
import sys
from pathlib import Path

from batchscribe.v1.batch_pb2 import BatchOptions

from tests.running_gateway import KEY, running_gateway
from tests.scripted_transcriber import ScriptedTranscriber, running

# The gateway has rules that no schema can say, such as that there are models of certain names.
NOT_HELD = "positive_data_acceptance"
# A watch lasts as long as its batch.
ENDLESS = "/api/v1/batches/{batch_id}/events"
KNOWN = """
[parameters]
batch_id = "{batch_id}"
transcription_id = "{transcription_id}"
webhook_id = "msg_{batch_id}_1"

[[operations]]
include-name = "DELETE /api/v1/batches/{{batch_id}}"
parameters = {{ batch_id = "batch_another" }}
"""


async def test_the_server_answers_as_its_document_says(redis_url: str, tmp_path: Path) -> None:
    """Generated requests, half of them wrong, get no answer that the document does not have."""
    async with (
        running(ScriptedTranscriber()) as transcriber,
        running_gateway(redis_url, [transcriber.address], http_listen="127.0.0.1:0") as gateway,
    ):
        options = BatchOptions(notify_webhook="https://example.org/hook")
        made = await gateway.create("https://example.org/a.mp4", options=options)
        ended = await gateway.ended(made.batch_id)
        known = {"batch_id": ended.batch_id, "transcription_id": ended.items[0].transcription_id}
        (tmp_path / "schemathesis.toml").write_text(KNOWN.format(**known))
        process = await asyncio.create_subprocess_exec(
            Path(sys.executable).with_name("schemathesis"),
            *("run", f"http://{gateway.http}/openapi.json", "--seed=1", "--no-color"),
            *("--header", f"Authorization: Bearer {KEY}", "--generation-database=none"),
            *("--phases=coverage,fuzzing", "--max-examples=10", "--request-timeout=20"),
            *("--checks=all", f"--exclude-checks={NOT_HELD}", f"--exclude-path={ENDLESS}"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            cwd=tmp_path,
        )
        told, _ = await process.communicate()
    assert process.returncode == 0, told.decode()
