"""Entry of the engine child: one job is one file's samples, several run at a time in threads."""

import time
from collections.abc import Sequence
from pathlib import Path

from batchscribe.transcriber.v1 import child_pb2
from batchscribe.v1 import transcript_pb2

from transcriber import jobs
from transcriber.engine.shelf import Shelf
from transcriber.engine.spans import spans
from transcriber.engine.whisper import Model, Recognizer


class Engine:
    """Does the engine's jobs with the models on its shelf."""

    def __init__(self, setup: child_pb2.EngineSetup, line: jobs.Line) -> None:
        self._line = line
        self._shelf = Shelf(setup, self.report)

    def report(self, loaded_models: Sequence[str] = ()) -> None:
        """Tell the parent what is in memory."""
        state = child_pb2.ChildState(loaded_models=loaded_models)
        self._line.send(child_pb2.ChildReply(state=state))

    def work(self, job: jobs.Job) -> None:
        if job.request.HasField("load"):
            self._shelf.model(job.request.load.model)
            job.send(child_pb2.ChildReply(loaded=child_pb2.Loaded()))
        else:
            transcript = self._transcribe(job, job.request.transcribe)
            transcribed = child_pb2.Transcribed(transcript=transcript)
            job.send(child_pb2.ChildReply(transcribed=transcribed))

    def _transcribe(
        self, job: jobs.Job, asked: child_pb2.TranscribeJob
    ) -> transcript_pb2.Transcript:
        started = time.monotonic()
        model = self._shelf.model(asked.model)
        recognizer = Recognizer(model, asked)
        segments = _listen(job, recognizer, Path(asked.samples_path))
        transcript = _transcript(recognizer, segments, model, self._shelf.device)
        elapsed_ms = int((time.monotonic() - started) * 1000)
        transcript.provenance.timings.transcribe.FromMilliseconds(elapsed_ms)
        return transcript


def _listen(job: jobs.Job, recognizer: Recognizer, path: Path) -> list[transcript_pb2.Segment]:
    segments: list[transcript_pb2.Segment] = []
    for span in spans(path):
        job.check()
        for segment in recognizer.transcribe(span):
            job.check()
            _advance(job, segment.end_offset.ToMilliseconds())
            if segment.text:
                segment.index = len(segments)
                segments.append(segment)
        _advance(job, round(span.end_seconds * 1000))
    return segments


def _advance(job: jobs.Job, milliseconds: int) -> None:
    advanced = child_pb2.Advanced()
    advanced.audio_processed.FromMilliseconds(milliseconds)
    job.send(child_pb2.ChildReply(advanced=advanced))


def _transcript(
    recognizer: Recognizer, segments: list[transcript_pb2.Segment], model: Model, device: str
) -> transcript_pb2.Transcript:
    return transcript_pb2.Transcript(
        # Where nobody speaks no language is heard.
        language_code="" if recognizer.language == "auto" else recognizer.language,
        language_probability=recognizer.language_probability,
        text=" ".join(segment.text for segment in segments),
        segments=segments,
        warnings=recognizer.warnings,
        provenance=transcript_pb2.Provenance(
            model=model.name, model_sha256=model.sha256, device=device
        ),
    )


def main() -> None:
    line = jobs.begin()
    request = line.receive()
    if request is None:
        return
    engine = Engine(request.engine_setup, line)
    engine.report()
    jobs.serve(line, engine.work)


if __name__ == "__main__":
    main()
