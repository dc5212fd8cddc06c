"""How long interrupted work stood still, and how much of it was done again, from the journals."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from tests.chaos import journal
from tests.chaos.journal import Entry
from tests.chaos.monkey import Strike, Target

# Faults of these kinds, so many seconds before or after a kill, make its recovery theirs too. A
# gateway's items come back when their leases run out, those of a transcriber when its calls break.
BLURRING = {
    Target.GATEWAY: ({Target.REDIS, Target.GATEWAY}, 4.0, 12.0),
    Target.TRANSCRIBER: ({Target.REDIS, Target.GATEWAY}, 4.0, 3.0),
}


def recoveries(target: Target, strikes: Sequence[Strike], entries: Sequence[Entry]) -> list[float]:
    """Return for each call that a kill broke the seconds until the item's next call.

    Only kills with a clear view count: Redis and other gateways up before and after.
    """
    return [
        seconds
        for strike in strikes
        if strike.is_kill and strike.fault.target is target and _is_clear(strike, strikes)
        for seconds in _stood_still(strike, entries)
    ]


def _is_clear(strike: Strike, strikes: Sequence[Strike]) -> bool:
    kinds, before, after = BLURRING[strike.fault.target]
    return not any(
        other.fault.target in kinds
        and other.at < strike.at + after
        and other.until > strike.at - before
        for other in strikes
        if other is not strike
    )


def _stood_still(strike: Strike, entries: Sequence[Entry]) -> Iterator[float]:
    open_leases = dict(strike.leases)
    for entry in entries:
        epoch = open_leases.get(entry.task_id)
        if epoch is None or entry.at < strike.at:
            continue
        if entry.kind == journal.CALLED and entry.epoch > epoch:
            yield entry.at - strike.at
            del open_leases[entry.task_id]


def adopted(entries: Iterable[Entry]) -> int:
    """Return how many calls were answered with work that an earlier call had begun."""
    started = {entry.lease for entry in entries if entry.kind == journal.STARTED}
    answered = {entry.lease for entry in entries if entry.kind == journal.ANSWERED}
    return len(answered - started)


def reexecuted(entries: Iterable[Entry]) -> int:
    """Return how often work was begun though the work before had not failed by itself."""
    by_task = sorted(entries, key=lambda entry: (entry.task_id, entry.at))
    return sum(
        sum(_begun_again(works)) for _, works in groupby(by_task, key=lambda entry: entry.task_id)
    )


def _begun_again(entries: Iterable[Entry]) -> Iterator[bool]:
    has_begun = False
    for entry in entries:
        if entry.kind == journal.STARTED:
            yield has_begun
            has_begun = True
        elif entry.kind == journal.FAILED:
            has_begun = False


def p99(seconds: Sequence[float]) -> float:
    """Return the 99th percentile; 0 for nothing."""
    ordered = sorted(seconds)
    return ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))] if ordered else 0.0
