"""A short day of ``make bench-day``."""

from bench.day import measure


async def test_a_short_day_loses_nothing() -> None:
    """While transcribers come and go every video comes to an end."""
    ledger = await measure(400)
    assert ledger.ended == ledger.created == 400
