"""Several batches seen as one."""

import time

from batchscribe.cli.overview import Overview
from batchscribe.v1 import batch_pb2

from tests.scripted_gateway import Event, history


def test_counts_add_up_over_batches() -> None:
    """Two batches of two and three videos are five videos."""
    overview = Overview()
    for batch_id, items in (("batch_1", 2), ("batch_2", 3)):
        for event in history(items)[:-1]:
            overview.apply(batch_id, event)
    assert (overview.total, overview.ended, overview.succeeded) == (5, 5, 5)


def test_the_last_batch_sets_the_time_left() -> None:
    """The job ends when its last batch does; the fraction is weighted by videos."""
    overview = Overview()
    for batch_id, seconds, fraction, total in (("batch_1", 60, 1.0, 1), ("batch_2", 120, 0.5, 3)):
        progress = batch_pb2.BatchProgress(fraction=fraction, total=total, realtime_factor=4.0)
        event = Event(progress=progress)
        event.estimated_end_time.FromSeconds(int(time.time()) + seconds)
        overview.apply(batch_id, event)
    assert overview.fraction == 0.625
    assert overview.realtime_factor == 8.0
    assert overview.seconds_left is not None
    assert 115 < overview.seconds_left <= 121


def test_a_playlist_counts_as_many_once_it_is_known() -> None:
    """Until every playlist is known the total may grow and nobody knows the end."""
    overview = Overview()
    event = Event(progress=batch_pb2.BatchProgress(total=2, unresolved=1))
    event.estimated_end_time.FromSeconds(int(time.time()) + 60)
    overview.apply("batch_1", event)
    assert (overview.total, overview.unresolved, overview.seconds_left) == (2, 1, None)
    first = batch_pb2.BatchItem(
        item_id="item_1_0", playlist=batch_pb2.PlaylistPlace(url="http://x/list", place=1)
    )
    first.warnings.add(reason="PLAYLIST_CUT")
    overview.apply("batch_1", Event(item_changed=first, progress=batch_pb2.BatchProgress(total=7)))
    assert (overview.total, overview.cut_playlists) == (7, ["http://x/list"])


def test_an_unknown_end_is_not_invented() -> None:
    """Without an estimate from the server there is no time left to show."""
    overview = Overview()
    overview.apply("batch_1", history(items=1)[0])
    assert overview.seconds_left is None
