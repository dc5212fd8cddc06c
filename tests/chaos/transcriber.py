"""A transcriber whose work is a wait: the product's servicer and task table, without a model.

So epochs, orphans, adoption and cancelling are the real ones. The address of a video says what its
work comes to (``script.py``), and the journal tells what was done.
"""

import argparse
import asyncio
import json
import secrets
from pathlib import Path

import grpc
from batchscribe.transcriber.v1 import transcriber_service_pb2 as contract
from batchscribe.transcriber.v1 import transcriber_service_pb2_grpc as contract_grpc

from servicekit import logs, serve, status
from tests.chaos import journal
from tests.chaos.journal import JournalWriter
from tests.chaos.script import Script
from transcriber.resolver import SourceResolver
from transcriber.runner import Report, TaskRunner, Work
from transcriber.servicer import TranscriberServicer
from transcriber.tasks import TaskTable
from transcriber.watchers import Watchers

MODEL = "tiny.en"
DRAIN_SECONDS = 3.0
FETCH_SHARE = 0.2


def scripted_work(writer: JournalWriter) -> Work:
    async def work(
        request: contract.TranscribeRequest, report: Report
    ) -> contract.TranscribeResponse:
        script, end = Script.parse(request.url), journal.STOPPED
        writer.write(journal.STARTED, request.task_id, request.epoch)
        try:
            await _take_time(script.seconds, report)
            outcome = script.outcome(request.epoch)
            end = journal.DONE if outcome.HasField("transcript") else journal.FAILED
            return outcome
        finally:
            writer.write(end, request.task_id, request.epoch)

    return work


async def resolve(request: contract.ResolveSourceRequest) -> contract.ResolveSourceResponse:
    script = Script.parse(request.url)
    await asyncio.sleep(script.seconds * FETCH_SHARE)
    return script.found()


async def _take_time(seconds: float, report: Report) -> None:
    report(contract.TaskStatus(stage=contract.TASK_STAGE_FETCHING))
    await asyncio.sleep(seconds * FETCH_SHARE)
    heard = contract.TaskStatus(stage=contract.TASK_STAGE_TRANSCRIBING)
    heard.audio_duration.FromMilliseconds(int(seconds * 1000))
    report(heard)
    await asyncio.sleep(seconds * (1 - FETCH_SHARE))


class JournallingServicer(TranscriberServicer):
    """The product's servicer; every call and how it ended is written down."""

    writer: JournalWriter

    async def Transcribe(
        self, request: contract.TranscribeRequest, context: status.Context
    ) -> contract.TranscribeResponse:
        task_id, epoch, end = request.task_id, request.epoch, journal.LEFT
        self.writer.write(journal.CALLED, task_id, epoch, context.peer())
        try:
            answer = await super().Transcribe(request, context)
            end = journal.ANSWERED
        finally:
            self.writer.write(end, task_id, epoch)
        return answer


async def run(listen: str, worker: str, slots: int, path: Path) -> None:
    """Serve until SIGTERM, then drain as a transcriber does."""
    watchers, writer = Watchers(), JournalWriter(path)
    table = TaskTable(slots, asyncio.get_running_loop().time)
    runner = TaskRunner(table, scripted_work(writer), watchers)
    identity = contract.WatchStatusResponse(
        boot_id=secrets.token_hex(8), worker=worker, slots=slots
    )
    resolver = SourceResolver(resolve, slots, lambda: runner.draining)
    servicer = JournallingServicer(runner, resolver, watchers, identity, [MODEL])
    servicer.writer = writer
    servicer.set_loaded([MODEL])

    async def finish_work() -> None:
        await runner.drain(DRAIN_SECONDS)
        watchers.close()

    server = grpc.aio.server(options=list(serve.SERVER_OPTIONS))
    contract_grpc.add_TranscriberServiceServicer_to_server(servicer, server)
    server.add_insecure_port(listen)
    await server.start()
    sweeping = asyncio.create_task(runner.sweep())
    print(json.dumps({"listening": listen}), flush=True)
    await serve.until_signalled()
    await serve.drain(server, serve.Health([]), finish_work, 1.0)
    sweeping.cancel()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--listen", required=True)
    parser.add_argument("--worker", required=True)
    parser.add_argument("--slots", type=int, required=True)
    parser.add_argument("--journal", type=Path, required=True)
    options = parser.parse_args()
    logs.set_up("WARNING")
    asyncio.run(run(options.listen, options.worker, options.slots, options.journal))


if __name__ == "__main__":
    main()
