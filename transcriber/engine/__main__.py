"""Entry of the engine child: one job is one file's samples, all jobs share the device."""

import os
import threading
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from statistics import mean

from batchscribe.transcriber.v1 import child_pb2
from batchscribe.v1 import batch_pb2, transcript_pb2

from transcriber import jobs
from transcriber.engine import languages
from transcriber.engine.device import Device, Lane
from transcriber.engine.languages import Language
from transcriber.engine.listening import Listener
from transcriber.engine.recognition import Task, recognize
from transcriber.engine.rows import Model
from transcriber.engine.segments import time_range
from transcriber.engine.shelf import Shelf
from transcriber.engine.transcription import Transcription

_TIDY_SECONDS = 5.0


class Engine:
    """Does the engine's jobs with the models on its shelf."""

    def __init__(self, setup: child_pb2.EngineSetup, line: jobs.Line) -> None:
        self._line = line
        self._shelf = Shelf(setup, self.report)
        self._device = Device(self._shelf.plan)
        threading.Thread(target=_keep_tidy, args=[self._shelf], daemon=True).start()

    def report(self, loaded_models: Sequence[str] = ()) -> None:
        """Tell the parent what is in memory."""
        state = child_pb2.ChildState(loaded_models=loaded_models)
        self._line.send(child_pb2.ChildReply(state=state))

    def work(self, job: jobs.Job) -> None:
        if job.request.HasField("load"):
            with self._shelf.lend(job.request.load.model, job.check):
                job.send(child_pb2.ChildReply(loaded=child_pb2.Loaded()))
        else:
            transcribed = self._transcribe(job, job.request.transcribe)
            job.send(child_pb2.ChildReply(transcribed=transcribed))

    def _transcribe(self, job: jobs.Job, asked: child_pb2.TranscribeJob) -> child_pb2.Transcribed:
        started = time.monotonic()
        with self._shelf.lend(asked.model, job.check) as model, self._device.lane() as lane:
            job.when_cancelled(lane.close)
            job.check()
            language, transcription = self._recognize(job, asked, model, lane)
            transcript = _transcript(model, language, transcription)
            if asked.language == languages.AUTO and not model.multilingual:
                transcript.warnings.append(languages.assumed_english(model))
        transcript.provenance.device = self._shelf.plan.name
        elapsed_ms = int((time.monotonic() - started) * 1000)
        transcript.provenance.timings.transcribe.FromMilliseconds(elapsed_ms)
        fill = mean(lane.fills) if lane.fills else 0.0
        return child_pb2.Transcribed(transcript=transcript, rows=len(lane.fills), fill=fill)

    def _recognize(
        self, job: jobs.Job, asked: child_pb2.TranscribeJob, model: Model, lane: Lane
    ) -> tuple[Language, Transcription]:
        options = asked.options
        translate = options.task == batch_pb2.TRANSCRIBE_TASK_TRANSLATE
        language = languages.check(asked.language, translate, model)
        window_seconds = self._shelf.plan.window_seconds
        listener = Listener(Path(asked.samples_path), options.vad_filter, window_seconds)
        task = Task(model, listener, lane, partial(_advance, job), job.check)
        return recognize(task, options, language)


def _advance(job: jobs.Job, seconds: float) -> None:
    advanced = child_pb2.Advanced()
    advanced.audio_processed.FromMilliseconds(round(seconds * 1000))
    job.send(child_pb2.ChildReply(advanced=advanced))


def _transcript(
    model: Model, language: Language, transcription: Transcription
) -> transcript_pb2.Transcript:
    segments = transcription.segments
    return transcript_pb2.Transcript(
        language_code=language.code,
        language_probability=language.probability,
        text=" ".join(segment.text for segment in segments),
        segments=segments,
        undecoded=map(time_range, transcription.undecoded),
        warnings=transcription.warnings,
        provenance=transcript_pb2.Provenance(model=model.name, model_sha256=model.sha256),
    )


def _keep_tidy(shelf: Shelf) -> None:
    while True:
        time.sleep(_TIDY_SECONDS)
        shelf.unload_idle()


def _die(failure: threading.ExceptHookArgs) -> None:
    """Jobs catch what they raise. Who waits for any other thread would wait for ever."""
    threading.__excepthook__(failure)
    os._exit(1)


def main() -> None:
    threading.excepthook = _die
    line = jobs.begin()
    request = line.receive()
    if request is None:
        return
    engine = Engine(request.engine_setup, line)
    engine.report()
    jobs.serve(line, engine.work)


if __name__ == "__main__":
    main()
