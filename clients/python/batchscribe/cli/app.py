"""The commands and their options; what they do is in the modules beside this one.

Exit code 0: all is well. 1: a video or the command failed. 2: it was called the wrong way.
130: it was interrupted.
"""

import sys
from functools import partial
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from batchscribe.cli import addresses, batches, jobs, session, tables, webhooks
from batchscribe.cli.files import TranscriptFolder
from batchscribe.cli.options import (
    ClipOption,
    DataDirOption,
    FolderOption,
    FormatOption,
    JsonOption,
    KeyOption,
    RedisOption,
    ServerOption,
)
from batchscribe.cli.tables import on_stderr, on_stdout
from batchscribe.cli.wording import explain
from batchscribe.client import Client, discovery
from batchscribe.client.errors import BatchscribeError, InvalidRequest
from batchscribe.local.child import StackError
from batchscribe.v1 import batch_pb2

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Transcribe many videos with one request.",
)

_TASKS = (batch_pb2.TRANSCRIBE_TASK_TRANSCRIBE, batch_pb2.TRANSCRIBE_TASK_TRANSLATE)


@app.command()
def up(
    data_dir: DataDirOption = None,
    model: Annotated[str, typer.Option(help="The model to serve.")] = "base",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port of gRPC; 0 takes a free one.")
    ] = 50051,
    http_port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port of HTTP; 0 takes a free one.")
    ] = 8080,
    transcribers: Annotated[int, typer.Option(min=1, help="How many transcribers to run.")] = 1,
    media_root: Annotated[
        Path | None,
        typer.Option(
            exists=True, file_okay=False, help="Open the files below it by their file: addresses."
        ),
    ] = None,
    redis_url: RedisOption = "",
    open_browser: Annotated[
        bool, typer.Option("--open", help="Open the web page in your browser, signed in.")
    ] = False,
) -> None:
    """Run everything on this machine, in the foreground, until Ctrl-C."""
    from batchscribe.cli.up import stay_up
    from batchscribe.local.plan import StackSettings

    settings = StackSettings(
        data_dir=data_dir or discovery.default_data_dir(),
        model=model,
        port=port,
        http_port=http_port,
        transcribers=transcribers,
        media_root=media_root,
        redis_url=redis_url,
    )
    try:
        session.run(stay_up(settings, open_browser, partial(session.say, on_stderr)))
    except KeyboardInterrupt:
        session.say(on_stderr, "Stopped.")


@app.command()
def transcribe(
    urls: Annotated[list[str] | None, typer.Argument(metavar="URL")] = None,
    file: Annotated[
        typer.FileText | None,
        typer.Option("-f", "--file", help="A file with an address on each line; - reads stdin."),
    ] = None,
    language: Annotated[str, typer.Option(help="Spoken language, or auto.")] = "auto",
    model: Annotated[str, typer.Option(help="The model; default is the server's.")] = "",
    file_format: FormatOption = "txt",
    output: FolderOption = None,
    translate: Annotated[bool, typer.Option("--translate", help="Into English.")] = False,
    words: Annotated[bool, typer.Option("--words", help="A time for every word (json).")] = False,
    clip: ClipOption = None,
    max_concurrent: Annotated[int, typer.Option(min=0, help="How many at a time.")] = 0,
    playlists: Annotated[
        bool, typer.Option("--playlists", help="Take playlists, channels and feeds apart.")
    ] = False,
    notify_webhook: Annotated[
        str, typer.Option(metavar="URL", help="Where to POST when the batch has ended.")
    ] = "",
    server: ServerOption = None,
    api_key: KeyOption = None,
    json_lines: JsonOption = False,
) -> None:
    """Transcribe videos and wait for them; without a server one is started for the job."""
    folder = TranscriptFolder(output, file_format) if output else None
    wanted = addresses.all_given(urls or (), file or ())
    if folder:
        wanted = addresses.missing(wanted, clip, folder, partial(session.say, on_stderr))
    task = _TASKS[translate]
    defaults = batch_pb2.TranscribeOptions(word_timestamps=words, task=task, clip=clip)
    job = jobs.Job(
        videos=[batch_pb2.VideoSpec(url=url, language=language, model=model) for url in wanted],
        options=batch_pb2.BatchOptions(
            max_concurrent=max_concurrent,
            defaults=defaults,
            notify_webhook=notify_webhook,
            expand_playlists=playlists,
        ),
        file_format=file_format,
        folder=folder,
        json_lines=json_lines,
    )

    async def work() -> bool:
        target = session.Target(server, api_key)
        async with session.connected_or_embedded(target, model, on_stderr) as here:
            return await jobs.carry_out(job, here, on_stderr)

    if wanted and not session.run(work()):
        raise typer.Exit(1)


@app.command()
def models(
    server: ServerOption = None, api_key: KeyOption = None, json_lines: JsonOption = False
) -> None:
    """List the models that can be asked for."""
    found = session.ask(session.Target(server, api_key), Client.models)
    tables.show_models(found, on_stdout, json_lines)


@app.command()
def quota(
    server: ServerOption = None, api_key: KeyOption = None, json_lines: JsonOption = False
) -> None:
    """Show what you may do and what you have had of it this month."""
    found = session.ask(session.Target(server, api_key), Client.quota)
    tables.show_quota(found, on_stdout, json_lines)


@app.command()
def doctor(
    probe_url: Annotated[
        str, typer.Option(help="An address to read with yt-dlp.")
    ] = "https://www.youtube.com/watch?v=BaW_jenozKc",
    redis_url: RedisOption = "",
    server: ServerOption = None,
    api_key: KeyOption = None,
    json_lines: JsonOption = False,
) -> None:
    """Check the server, Redis, this machine, and whether yt-dlp reaches a site."""
    from batchscribe.cli.doctor import examine

    target = session.Target(server, api_key)
    if not session.run(examine(target, redis_url, probe_url, on_stdout, json_lines)):
        raise typer.Exit(1)


@app.command(hidden=True)
def demo(
    samples: Annotated[Path, typer.Option(help="The bundled samples.")] = Path("samples"),
    folder: Annotated[Path, typer.Option(help="Where everything is written.")] = Path(".demo"),
) -> None:
    """Transcribe the bundled samples with a stack of their own."""
    from batchscribe.cli.demo import run_demo

    if not session.run(run_demo(samples, folder, on_stderr)):
        raise typer.Exit(1)


app.add_typer(batches.commands)
app.add_typer(webhooks.commands)


def run_app() -> None:
    """Run the command line; what goes wrong is said in words, never as a traceback."""
    try:
        app()
    except InvalidRequest as error:
        _fail(explain(error), code=2)
    except BatchscribeError as error:
        _fail(explain(error), code=1)
    except ModuleNotFoundError as error:
        _fail(f'This needs {error.name}: pip install "batchscribe[local]"', code=1)
    except StackError as error:
        _fail(str(error), code=1)
    except OSError as error:
        _fail(f"{error.filename or 'The system'}: {error.strerror or error}.", code=1)
    except session.Misuse as error:
        _fail(str(error), code=2)


def _fail(message: str, code: int) -> NoReturn:
    session.say(on_stderr, message)
    sys.exit(code)
