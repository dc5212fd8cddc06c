"""Ids and what they lead back to."""

from gateway import ids


def test_item_leads_back_to_its_batch_and_place() -> None:
    """An item's id holds its batch and its index."""
    batch_id = ids.new_batch_id()
    item_id = ids.item_id(batch_id, 499)
    assert ids.batch_of(item_id) == batch_id
    assert ids.index_of(item_id) == 499


def test_videos_of_a_playlist_lead_back_to_it() -> None:
    """The first video has the playlist's own id; the others lead to the same batch and place."""
    playlist = ids.item_id("batch_a", 7)
    assert ids.entry_id(playlist, 1) == playlist
    third = ids.entry_id(playlist, 3)
    assert (ids.batch_of(third), ids.index_of(third)) == ("batch_a", 7)


def test_transcription_id_is_one_for_each_lease() -> None:
    """The same lease gives the same id, another lease another."""
    assert ids.transcription_id("item_a_0", 1) == ids.transcription_id("item_a_0", 1)
    assert ids.transcription_id("item_a_0", 1) != ids.transcription_id("item_a_0", 2)
