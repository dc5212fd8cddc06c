"""Tiers as an operator writes them."""

import pytest
from pydantic import ValidationError

from gateway.settings import Settings
from gateway.tiers import MOST_VIDEOS, Tier, named


def settings(monkeypatch: pytest.MonkeyPatch, tiers: str) -> Settings:
    monkeypatch.setenv("GATEWAY_TIERS", tiers)
    return Settings()


def test_standard_users_get_the_limits_of_the_plan() -> None:
    """Without a word from the operator: ten videos in a batch, and a batch a minute."""
    standard = named(Settings().tiers, "standard")
    assert (standard.videos_per_batch, standard.batches_per_minute) == (10, 1)
    assert standard.monthly_videos
    assert standard.monthly_audio_minutes


def test_unlimited_users_have_no_rate_and_no_quota() -> None:
    """Who runs everything alone is not counted."""
    allowance = named(Settings().tiers, "unlimited").allowance
    assert allowance.arguments() == ("", "", "")


def test_given_tiers_lie_over_the_shipped_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """One field can be changed alone, and a tier added, without writing down the rest."""
    given = '{"unlimited": {"videos_per_batch": 500}, "pro": {"batches_per_minute": 20}}'
    tiers = settings(monkeypatch, given).tiers
    assert named(tiers, "unlimited").videos_per_batch == MOST_VIDEOS
    assert named(tiers, "unlimited").batches_per_minute is None
    assert named(tiers, "pro") == Tier(batches_per_minute=20)
    assert named(tiers, "standard") == Tier()


def test_unknown_tiers_are_standard() -> None:
    """A user whose tier was taken out of the settings is not without limits."""
    assert named(Settings().tiers, "gone") == Tier()


@pytest.mark.parametrize(
    "given",
    [
        '{"pro": {"videos_per_batch": 501}}',
        '{"pro": {"batches_per_minute": 0}}',
        '{"pro": {"weight": 0}}',
        '{"pro": {"monthly_vidoes": 5}}',
        '{"pro": 5}',
        "[]",
    ],
)
def test_impossible_tiers_are_refused(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    """A gateway does not start with limits that mean nothing."""
    with pytest.raises(ValidationError):
        settings(monkeypatch, given)
