"""The batches of a run, drawn from a seed: of all sizes and options, some of them doomed."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from batchscribe.v1.batch_pb2 import BatchOptions

from tests.chaos.script import Script

MODEL = "tiny.en"
API_USER = "local"
OTHER_USERS = ("bob", "carol")
SIZES = (1, 1, 2, 3, 5, 8, 13, 30)
# Of what takes long: serial batches, and those with playlists, which grow.
LONGEST = 5


@dataclass(frozen=True)
class Order:
    """A batch somebody wants, and what they do with it.

    After ``cut_share`` of its events a watch loses its connection; what failed may be retried once,
    and the batch be deleted in the end.
    """

    user: str
    scripts: Sequence[Script]
    options: BatchOptions
    cancel_after_seconds: float | None
    cut_share: float
    is_notified: bool
    is_retried: bool
    is_deleted: bool

    @property
    def videos(self) -> list[int]:
        return [script.videos for script in self.scripts]

    @property
    def urls(self) -> list[str]:
        return [script.url(str(index)) for index, script in enumerate(self.scripts)]


def draw_order(dice: random.Random, playlist_share: float) -> Order:
    """Return the next batch: mostly plain, sometimes serial, stopping, failing or cancelled.

    ``playlist_share`` of them take playlists apart, and consist of some.
    """
    has_playlists = dice.random() < playlist_share
    is_serial = dice.random() < 0.15
    size = dice.choice(SIZES)
    if is_serial or has_playlists:
        size = min(size, LONGEST)
    options = BatchOptions(
        parallel=not is_serial,
        max_concurrent=1 if is_serial else dice.randint(2, 10),
        continue_on_error=dice.random() > 0.15,
        expand_playlists=has_playlists,
    )
    user = dice.choice((API_USER, API_USER, *OTHER_USERS))
    return Order(
        user=user,
        scripts=[draw_script(dice, has_playlists) for _ in range(size)],
        options=options,
        cancel_after_seconds=dice.uniform(0.0, 3.0) if dice.random() < 0.08 else None,
        cut_share=dice.choice((0.0, 0.0, 0.1)),
        is_notified=dice.random() < 0.4,
        is_retried=dice.random() < 0.3,
        is_deleted=dice.random() < 0.1,
    )


def draw_script(dice: random.Random, may_be_playlist: bool) -> Script:
    """Return work of about a second, rarely longer than a lease, that rarely fails."""
    seconds = dice.uniform(8.0, 14.0) if dice.random() < 0.015 else dice.lognormvariate(-0.6, 0.6)
    fails = dice.choices(("", "once", "always"), (0.9, 0.06, 0.04))[0]
    videos = dice.choice((1, 2, 4)) if may_be_playlist else 1
    return Script(min(seconds, 14.0), fails, videos)
