"""The command as a process: exit codes, what is printed where, against a scripted server."""

import asyncio
import json
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import pytest
from batchscribe.v1 import batch_pb2, batch_service_pb2, transcript_pb2
from google.protobuf.json_format import MessageToDict
from google.rpc import error_details_pb2
from google.rpc.status_pb2 import Status

from servicekit import status
from tests import command
from tests.scripted_gateway import Connection, ScriptedGateway, history, serving
from tests.support import free_port

URLS = ("https://example.com/a.mp4", "https://example.com/b.mp4")


@dataclass
class Cli:
    """The command with its scripted server."""

    gateway: ScriptedGateway
    env: dict[str, str] = field(default_factory=dict)

    async def run(self, *arguments: str, given: str = "") -> command.Finished:
        return await command.run(*arguments, env=self.env, given=given)


@pytest.fixture
async def cli(tmp_path: Path) -> AsyncGenerator[Cli, None]:
    gateway = ScriptedGateway()
    async with serving(gateway) as address:
        yield Cli(gateway, command.environment(tmp_path / "data", BATCHSCRIBE_SERVER=address))


def _script_success(gateway: ScriptedGateway, items: int = 2) -> None:
    gateway.history.extend(history(items))
    gateway.will_answer("CreateBatch", _created("batch_1"))
    for n in range(items):
        gateway.will_answer("GetTranscript", _transcript(n))
        gateway.will_answer(
            "ExportTranscript", batch_service_pb2.ExportTranscriptResponse(data=b"Text %d\n" % n)
        )


async def test_text_goes_to_standard_output_and_progress_does_not(cli: Cli) -> None:
    """Piped output holds the transcripts alone, in the order of the request."""
    _script_success(cli.gateway)
    done = await cli.run("transcribe", *URLS)
    assert done.code == 0
    assert [line for line in done.output.splitlines() if line.startswith("Text")] == [
        "Text 0",
        "Text 1",
    ]
    assert "2 of 2 videos succeeded" in done.errors
    assert "succeeded" not in done.output


async def test_json_is_one_line_for_each_video(cli: Cli) -> None:
    """``--json`` prints a document for every video, with its transcript."""
    _script_success(cli.gateway)
    done = await cli.run("transcribe", *URLS, "--json")
    documents = [json.loads(line) for line in done.output.splitlines()]
    assert [one["state"] for one in documents] == ["ITEM_STATE_SUCCEEDED"] * 2
    assert [one["transcript"]["text"] for one in documents] == ["Hello 0.", "Hello 1."]


async def test_addresses_come_from_standard_input(cli: Cli) -> None:
    """``-f -`` reads one address a line and leaves out comments."""
    _script_success(cli.gateway)
    done = await cli.run("transcribe", "-f", "-", given=f"# mine\n{URLS[0]}\n\n{URLS[1]}\n")
    assert done.code == 0
    request = cli.gateway.requests[0]
    assert isinstance(request, batch_service_pb2.CreateBatchRequest)
    assert tuple(video.url for video in request.videos) == URLS


@pytest.mark.parametrize(
    ("clip", "asked"),
    [
        ("90-3:00", {"startOffset": "90s", "endOffset": "180s"}),
        ("1:02:03.5-", {"startOffset": "3723.500s"}),
        ("-60", {"endOffset": "60s"}),
    ],
)
async def test_a_part_can_be_asked_for(cli: Cli, clip: str, asked: dict[str, str]) -> None:
    """``--clip`` is for all videos, in seconds or with minutes and hours; an end may be open."""
    _script_success(cli.gateway)
    assert (await cli.run("transcribe", *URLS, "--clip", clip)).code == 0
    request = cli.gateway.requests[0]
    assert isinstance(request, batch_service_pb2.CreateBatchRequest)
    assert MessageToDict(request.options.defaults.clip) == asked


async def test_a_part_that_is_none_is_not_sent(cli: Cli) -> None:
    """What is no part is a mistake of the call, with an example of how to write one."""
    done = await cli.run("transcribe", URLS[0], "--clip", "3min")
    assert (done.code, cli.gateway.requests) == (2, [])
    assert "1:30-3:00" in done.errors


async def test_a_failed_video_makes_the_exit_code_1(cli: Cli) -> None:
    """One video that failed is named with its reason, and the command ends with 1."""
    events = history(items=1)
    error = batch_pb2.ItemError(reason="NO_AUDIO", message="It has no sound.", hint="Check it.")
    events[1].item_changed.state = batch_pb2.ITEM_STATE_FAILED
    events[1].item_changed.error.CopyFrom(error)
    cli.gateway.history.extend(events)
    cli.gateway.will_answer("CreateBatch", _created("batch_1"))
    done = await cli.run("transcribe", URLS[0])
    assert done.code == 1
    assert "It has no sound. Check it." in done.errors


async def test_files_are_named_for_the_title_and_made_once(cli: Cli, tmp_path: Path) -> None:
    """``-o`` writes ``<title> [id]`` safely and a second run asks the server for nothing."""
    _script_success(cli.gateway)
    first = await cli.run("transcribe", *URLS, "-o", str(tmp_path / "out"), "--format", "srt")
    names = sorted(path.name for path in (tmp_path / "out").glob("*.srt"))
    assert (first.code, names) == (0, ["A _ B 0 [id0].srt", "A _ B 1 [id1].srt"])
    asked = len(cli.gateway.requests)
    second = await cli.run("transcribe", *URLS, "-o", str(tmp_path / "out"), "--format", "srt")
    assert (second.code, len(cli.gateway.requests)) == (0, asked)
    assert second.errors.count("already there") == 2


async def test_a_long_list_becomes_several_batches(cli: Cli) -> None:
    """Over the server's limit all parts are checked first and then created."""
    too_many = _refusal("videos", "At most 1.", maxVideosPerBatch="1")
    cli.gateway.history.extend(history(items=1))
    checked = [_created(""), _created("")]
    cli.gateway.will_answer("CreateBatch", too_many, *checked, _created("batch_1"))
    cli.gateway.will_answer("CreateBatch", _created("batch_2"))
    for n in range(2):
        answer = batch_service_pb2.ExportTranscriptResponse(data=b"Text %d\n" % n)
        cli.gateway.will_answer("ExportTranscript", answer)
    done = await cli.run("transcribe", *URLS)
    creates = [
        request
        for request in cli.gateway.requests
        if isinstance(request, batch_service_pb2.CreateBatchRequest)
    ]
    assert done.code == 0
    assert [request.validate_only for request in creates] == [False, True, True, False, False]
    assert [len(request.videos) for request in creates] == [2, 1, 1, 1, 1]


async def test_a_bad_address_is_named_and_the_exit_code_is_2(cli: Cli) -> None:
    """A refused request lists each bad field with the address it means."""
    cli.gateway.will_answer("CreateBatch", _refusal("videos[1].url", "Only http and https."))
    done = await cli.run("transcribe", URLS[0], "ftp://example.com/b.mp4")
    assert done.code == 2
    assert "videos[1].url (ftp://example.com/b.mp4): Only http and https." in done.errors
    assert "Traceback" not in done.errors


async def test_ctrl_c_says_that_the_batch_goes_on(cli: Cli) -> None:
    """An interrupted ``transcribe`` says how to watch the batch again and ends with 130."""
    cli.gateway.history.extend(history(items=2))
    cli.gateway.connections.append(Connection(messages=1, then=asyncio.Event().wait))
    cli.gateway.will_answer("CreateBatch", _created("batch_1"))
    process = await command.start("transcribe", *URLS, env=cli.env)
    await command.until_said(process, "pending")
    command.interrupt(process)
    done = await command.finish(process)
    assert done.code == 130
    assert "the server goes on" in done.errors
    assert "batchscribe watch batch_1" in done.errors
    assert "Traceback" not in done.errors


async def test_titles_cannot_command_the_terminal(cli: Cli) -> None:
    """Control characters in a stranger's title are not printed."""
    events = history(items=1)
    events[1].item_changed.title = "\x1b]0;owned\x07Cats"
    cli.gateway.history.extend(events)
    done = await cli.run("watch", "batch_1")
    assert done.code == 0
    assert "Cats" in done.errors
    assert "\x1b" not in done.errors


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["transcribe"], "Give at least one address"),
        (["transcribe", "a", "--format", "docx"], "docx"),
        (["nonsense"], "nonsense"),
        (["get"], "BATCH_ID"),
        (["get", "trans_1", "-o", "texts"], "id of one"),
        (["up", "--port", "70000"], "--port"),
    ],
)
async def test_wrong_usage_ends_with_2(cli: Cli, arguments: list[str], hint: str) -> None:
    """A call that cannot work ends with 2 and says what is wrong."""
    done = await cli.run(*arguments)
    assert done.code == 2
    assert hint in done.errors


async def test_files_that_are_no_text_are_named(cli: Cli, tmp_path: Path) -> None:
    """A sound in the place of a list or of a key is no crash."""
    sound = tmp_path / "talk.mp3"
    sound.write_bytes(b"\xff\xfb\x90\x64")
    for option in ("-f", "--api-key-file"):
        done = await cli.run("transcribe", option, str(sound))
        assert done.code == 2
        assert "no text" in done.errors
        assert option in done.errors


async def test_an_absent_server_is_said_in_a_sentence(tmp_path: Path) -> None:
    """Without a server there is no traceback, and a hint what to do."""
    env = command.environment(tmp_path, BATCHSCRIBE_SERVER=f"127.0.0.1:{free_port()}")
    done = await command.run("models", env=env)
    assert done.code == 1
    assert "Is the server running" in done.errors
    assert "Traceback" not in done.errors


async def test_no_server_is_a_usage_error(tmp_path: Path) -> None:
    """A command that needs a server and finds none says how to get one."""
    done = await command.run("list", env=command.environment(tmp_path))
    assert done.code == 2
    assert "batchscribe up" in done.errors


async def test_list_get_cancel_retry_and_models_speak_json(cli: Cli) -> None:
    """What can be shown as a table can be had as JSON lines of the contract's messages."""
    batch = batch_pb2.Batch(batch_id="batch_1", state=batch_pb2.BATCH_STATE_SUCCEEDED)
    model = batch_service_pb2.Model(name="base", multilingual=True)
    cli.gateway.will_answer("ListBatches", batch_service_pb2.ListBatchesResponse(batches=[batch]))
    cli.gateway.will_answer("GetBatch", batch_service_pb2.GetBatchResponse(batch=batch))
    cli.gateway.will_answer("CancelBatch", batch_service_pb2.CancelBatchResponse(batch=batch))
    cli.gateway.will_answer("RetryBatch", batch_service_pb2.RetryBatchResponse(batch=batch))
    cli.gateway.will_answer("ListModels", batch_service_pb2.ListModelsResponse(models=[model]))
    for arguments in (["list"], *([name, "batch_1"] for name in ("get", "cancel", "retry"))):
        done = await cli.run(*arguments, "--json")
        assert json.loads(done.output)["batch_id"] == "batch_1"
    assert json.loads((await cli.run("models", "--json")).output)["name"] == "base"
    cli.gateway.will_answer("GetTranscript", _transcript(1))
    assert json.loads((await cli.run("get", "trans_1", "--json")).output)["text"] == "Hello 1."


async def test_a_batch_is_deleted_without_a_word_on_standard_output(cli: Cli) -> None:
    """The server is asked for just that, and the terminal told."""
    cli.gateway.will_answer("DeleteBatch", batch_service_pb2.DeleteBatchResponse())
    done = await cli.run("delete", "batch_1")
    assert (done.code, done.output) == (0, "")
    assert "batch_1" in done.errors
    assert cli.gateway.requests == [batch_service_pb2.DeleteBatchRequest(batch_id="batch_1")]


def _created(batch_id: str) -> batch_service_pb2.CreateBatchResponse:
    return batch_service_pb2.CreateBatchResponse(batch=batch_pb2.Batch(batch_id=batch_id))


def _transcript(number: int) -> batch_service_pb2.GetTranscriptResponse:
    source = transcript_pb2.SourceInfo(title=f"A / B {number}", source_id=f"id{number}")
    transcript = transcript_pb2.Transcript(text=f"Hello {number}.", source=source)
    return batch_service_pb2.GetTranscriptResponse(transcript=transcript)


def _refusal(bad_field: str, description: str, **metadata: str) -> Status:
    violation = error_details_pb2.BadRequest.FieldViolation(
        field=bad_field, description=description
    )
    return status.build(
        grpc.StatusCode.INVALID_ARGUMENT,
        "INVALID_REQUEST",
        "The request is not valid.",
        metadata=metadata,
        details=[error_details_pb2.BadRequest(field_violations=[violation])],
    )
