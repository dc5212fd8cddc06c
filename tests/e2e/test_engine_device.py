"""The device and the shelf of models, with the real models and without a service around them."""

import shutil
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from batchscribe.transcriber.v1 import child_pb2
from batchscribe.v1 import batch_pb2

from tests.conftest import Sample
from tests.media import decode
from transcriber import models
from transcriber.engine import canary
from transcriber.engine.decoding import Decoded
from transcriber.engine.device import Device
from transcriber.engine.encoding import encode
from transcriber.engine.listening import Listener
from transcriber.engine.rows import FULL_FRAMES, SHORTEST_LONG_FRAMES, Row
from transcriber.engine.shelf import Shelf
from transcriber.engine.wording import wording
from transcriber.failures import VideoFailure

# What lies within the embeddings of tiny.en's words.
DEAF_BYTES = (1_000, 39_000_000)

# Room for tiny.en (75 MB) or base (145 MB), not for both.
MODEL_BYTES = 200_000_000


@pytest.fixture(scope="module")
def setup(tmp_path_factory: pytest.TempPathFactory) -> child_pb2.EngineSetup:
    directory = tmp_path_factory.mktemp("models")
    return child_pb2.EngineSetup(
        model_dir=str(directory), device="cpu", model_bytes=MODEL_BYTES, model_idle_seconds=0
    )


@pytest.fixture
def loaded() -> list[str]:
    """The models in memory, as the shelf says."""
    return []


@pytest.fixture
def shelf(setup: child_pb2.EngineSetup, loaded: list[str]) -> Shelf:
    def report(names: Sequence[str]) -> None:
        loaded[:] = names

    return Shelf(setup, report)


@pytest.fixture
def rows(shelf: Shelf, samples: dict[str, Sample], tmp_path: Path) -> Iterator[list[Row]]:
    """Two rows of speech."""
    path = tmp_path / "samples"
    decode(samples["rain.m4a"].path).astype("<i2").tofile(path)
    listener = Listener(path, vad_filter=True, window_seconds=15)
    (window,) = listener.windows()
    with shelf.lend("tiny.en") as model:
        asking = wording(model, batch_pb2.TranscribeOptions(beam_size=1), "en")
        features = listener.features(window, model.whisper.feature_extractor)
        yield [asking.row(features) for _ in range(2)]


def test_a_long_row_is_shown_half_a_minute(rows: list[Row]) -> None:
    """What is beyond its own axis is the silence that the model has once heard after speech."""
    row = rows[0]
    shown = np.array(encode(row.ask.model, rows))
    own = row.encoded_frames * shown.shape[1] // row.axis
    assert row.encoded_frames < row.axis == FULL_FRAMES
    assert np.array_equal(shown[0], shown[1])
    assert np.array_equal(shown[:1, own:], row.ask.model.silence[:, own:])
    assert not np.array_equal(shown[:1, :own], row.ask.model.silence[:, :own])


def test_the_silence_of_long_rows_has_no_speech_in_it(rows: list[Row]) -> None:
    """The clip that comes before it is over where the shortest long row ends."""
    assert canary.clip(rows[0].ask.model.whisper).shape[-1] < SHORTEST_LONG_FRAMES


def test_a_bad_row_costs_no_other_row_its_text(shelf: Shelf, rows: list[Row]) -> None:
    """Of a batch that fails only the row that is at fault gets the error."""
    good, other = rows
    odd = Row(good.ask, np.full((99, good.frames), 1, np.float32), good.tokenizer, good.prompt)
    device = Device(shelf.plan)
    with device.lane() as lane:
        for row in (good, odd, other):
            lane.submit(row)
        received = [lane.receive() for _ in range(3)]
    answers = dict(one for one in received if one is not None)
    assert isinstance(answers[odd], Exception)
    for row in (good, other):
        answer = answers[row]
        assert isinstance(answer, Decoded)
        assert "ocean" in answer.text


def test_a_closed_lane_ends_the_wait(shelf: Shelf) -> None:
    """Who waits at a lane learns that it was closed from another thread."""
    with Device(shelf.plan).lane() as lane:
        threading.Thread(target=lane.close).start()
        assert lane.receive() is None


def test_an_idle_model_makes_room(shelf: Shelf, loaded: list[str]) -> None:
    """What is not lent is unloaded for another model, and is lent again after that."""
    for name in ("tiny.en", "base", "tiny.en"):
        with shelf.lend(name) as model:
            assert model.name == name
            assert loaded == [name]


def test_a_lent_model_stays(shelf: Shelf, loaded: list[str]) -> None:
    """Who wants another model waits until the one in use is given back."""
    done = threading.Event()

    def want_base() -> None:
        with shelf.lend("base"):
            done.set()

    with shelf.lend("tiny.en"), shelf.lend("tiny.en"):
        waiting = threading.Thread(target=want_base)
        waiting.start()
        shelf.unload_idle()
        assert loaded == ["tiny.en"]
        assert not done.is_set()
    waiting.join()
    assert loaded == ["base"]


def test_who_waits_for_room_goes_first(shelf: Shelf, loaded: list[str]) -> None:
    """A model that is wanted again and again does not keep another one out."""

    def want(name: str) -> threading.Thread:
        waits = threading.Event()

        def wait(quiet_seconds: float) -> None:
            if not quiet_seconds:
                waits.set()

        def borrow() -> None:
            with shelf.lend(name, wait):
                order.append(name)

        thread = threading.Thread(target=borrow)
        thread.start()
        waits.wait()
        return thread

    order: list[str] = []
    with shelf.lend("tiny.en"):
        waiting = [want("base"), want("tiny.en")]
    for thread in waiting:
        thread.join()
    assert order == ["base", "tiny.en"]


def test_unused_models_are_unloaded(shelf: Shelf, loaded: list[str]) -> None:
    """After its time on the shelf a model leaves the memory."""
    with shelf.lend("tiny.en"):
        pass
    shelf.unload_idle()
    assert loaded == []


def test_a_model_that_hears_nothing_is_not_lent(
    setup: child_pb2.EngineSetup, tmp_path: Path
) -> None:
    """Weights that give no words, as a GPU with an unfit driver does, never become ready."""
    deaf = tmp_path / "deaf"
    shutil.copytree(models.find("tiny.en", Path(setup.model_dir)), deaf)
    with (deaf / models.WEIGHTS).open("r+b") as weights:
        weights.seek(DEAF_BYTES[0])
        weights.write(bytes(DEAF_BYTES[1] - DEAF_BYTES[0]))
    with (
        pytest.raises(VideoFailure, match="MODEL_UNAVAILABLE") as refused,
        Shelf(setup, lambda names: None).lend(str(deaf)),
    ):
        pass
    assert "hears nothing" in refused.value.facts["cause"]
