"""Progress for people: bars on a terminal, plain lines elsewhere, both on standard error."""

import time
from typing import Protocol, Self

from batchscribe.cli.overview import Overview
from batchscribe.cli.wording import clock, name_of, state_of, why_failed
from batchscribe.client.states import ENDED_ITEM_STATES
from batchscribe.v1 import batch_pb2
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn

_NAME_WIDTH = 38
_FEW_ITEMS = 15
_PLAIN_EVERY_SECONDS = 10.0

_RUNNING = frozenset({batch_pb2.ITEM_STATE_FETCHING, batch_pb2.ITEM_STATE_TRANSCRIBING})
_STYLES = {
    batch_pb2.ITEM_STATE_SUCCEEDED: "green",
    batch_pb2.ITEM_STATE_FAILED: "red",
    batch_pb2.ITEM_STATE_WAITING_RETRY: "yellow",
}


class ProgressDisplay(Protocol):
    """Shows a job while it runs; a context manager, closed before anything else is printed."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def show(self, overview: Overview, changed: list[batch_pb2.BatchItem]) -> None:
        """Draw the state after an event that changed the state of ``changed``."""


def on(console: Console, *, plain: bool = False) -> ProgressDisplay:
    """Return the display that suits ``console``."""
    return LineDisplay(console) if plain or not console.is_terminal else BarDisplay(console)


class BarDisplay:
    """A bar for each video and one for the whole job; of a long list only what runs is shown."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            SpinnerColumn(finished_text=" "),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[stage]}"),
            TextColumn("[dim]{task.fields[figures]}"),
            console=console,
            redirect_stdout=False,
        )
        self._bars: dict[str, TaskID] = {}
        self._whole: TaskID | None = None

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, overview: Overview, changed: list[batch_pb2.BatchItem]) -> None:
        for item in changed:
            self._print_failure(item)
        for item in overview.items:
            self._draw_item(overview, item)
        self._draw_whole(overview)

    def _print_failure(self, item: batch_pb2.BatchItem) -> None:
        if item.state == batch_pb2.ITEM_STATE_FAILED:
            line = f"[red]failed[/] {escape(name_of(item))}: {escape(why_failed(item))}"
            self._progress.console.print(line)

    def _draw_item(self, overview: Overview, item: batch_pb2.BatchItem) -> None:
        done, total = overview.audio_seconds(item)
        ended = item.state in ENDED_ITEM_STATES
        style = _STYLES.get(item.state, "")
        self._progress.update(
            self._bar_of(item.item_id),
            description=escape(f"{name_of(item)[:_NAME_WIDTH]:{_NAME_WIDTH}}"),
            total=1.0 if ended and not total else total,
            completed=1.0 if ended and not total else done,
            visible=overview.total <= _FEW_ITEMS or item.state in _RUNNING,
            stage=f"[{style}]{state_of(item):12}[/]" if style else f"{state_of(item):12}",
            figures=f"{clock(done)}/{clock(total)}" if total else "",
        )

    def _draw_whole(self, overview: Overview) -> None:
        if self._whole is None:
            self._whole = self._new_bar()
        self._progress.update(
            self._whole,
            description=f"[bold]{_count(overview):{_NAME_WIDTH}}[/]",
            total=1.0,
            completed=overview.fraction,
            visible=True,
            stage=f"{overview.fraction:<12.0%}",
            figures=_speed(overview),
        )

    def _bar_of(self, item_id: str) -> TaskID:
        if item_id not in self._bars:
            self._bars[item_id] = self._new_bar()
        return self._bars[item_id]

    def _new_bar(self) -> TaskID:
        return self._progress.add_task("", total=None, visible=False, stage="", figures="")


class LineDisplay:
    """A line for each change of a video, and now and then one for the whole job."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._next_summary = time.monotonic() + _PLAIN_EVERY_SECONDS

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def show(self, overview: Overview, changed: list[batch_pb2.BatchItem]) -> None:
        for item in changed:
            self._print(f"{state_of(item):13} {name_of(item)}{_why(item)}")
        if time.monotonic() >= self._next_summary:
            self._next_summary = time.monotonic() + _PLAIN_EVERY_SECONDS
            self._print(f"{_count(overview)}, {overview.fraction:.0%} {_speed(overview)}")

    def _print(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)


def _count(overview: Overview) -> str:
    more = "+" if overview.unresolved else ""
    return f"{overview.ended} of {overview.total}{more} videos"


def _why(item: batch_pb2.BatchItem) -> str:
    return f": {why_failed(item)}" if item.HasField("error") else ""


def _speed(overview: Overview) -> str:
    parts = []
    if overview.realtime_factor:
        parts.append(f"{overview.realtime_factor:.1f}x realtime")
    if overview.seconds_left is not None and overview.ended < overview.total:
        parts.append(f"{clock(overview.seconds_left)} left")
    return ", ".join(parts)
