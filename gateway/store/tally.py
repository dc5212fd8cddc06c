"""Counts and audio lengths of a batch, kept by the scripts and read off every event."""

from dataclasses import dataclass

# Fields of a batch's hash in the order of Tally; scripts receive them as ``TALLY``. Only added to.
TALLY_FIELDS = (
    "total",
    *(f"n{state}" for state in range(1, 9)),
    *("known", "known_audio_ms", "ended_unknown", "ended_audio_ms", "done_audio_ms", "started_ms"),
    "unresolved",
)

# Stands for the length of audio nobody has seen yet, until one length in the batch is known.
UNKNOWN_AUDIO_MS = 600_000


@dataclass(frozen=True)
class Tally:
    """A batch in numbers at one revision."""

    total: int
    pending: int
    fetching: int
    transcribing: int
    waiting_retry: int
    succeeded: int
    failed: int
    cancelled: int
    skipped: int
    known: int
    known_audio_ms: int
    ended_unknown: int
    ended_audio_ms: int
    done_audio_ms: int
    started_ms: int
    unresolved: int = 0

    @classmethod
    def parse(cls, text: bytes) -> "Tally":
        # A later version may have added numbers at the end.
        known = text.split(b",")[: len(cls.__match_args__)]
        return cls(*(int(number or 0) for number in known))

    @property
    def ended(self) -> int:
        return self.succeeded + self.failed + self.cancelled + self.skipped

    @property
    def mean_audio_ms(self) -> float:
        """Length of an item's audio as far as known; stands in where it is not."""
        return self.known_audio_ms / self.known if self.known else UNKNOWN_AUDIO_MS

    @property
    def total_audio_ms(self) -> float:
        return self.known_audio_ms + (self.total - self.known) * self.mean_audio_ms

    @property
    def ended_total_ms(self) -> float:
        """Audio of all ended items, those of unknown length counted with the mean."""
        return self.ended_audio_ms + self.ended_unknown * self.mean_audio_ms
