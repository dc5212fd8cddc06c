"""What the users of each tier may do, as the operator says.

A tier is a name that a user carries; what it stands for is looked up anew with every call, so a
change of the settings holds for batches to come.
"""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import from_json
from pydantic_settings import NoDecode

from gateway.store import MINUTE_MS, Allowance

# More than this fits into no batch, whatever the tier.
MOST_VIDEOS = 500


class Tier(BaseModel):
    """The limits of one tier; None is without a limit."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    videos_per_batch: int = Field(10, ge=1, le=MOST_VIDEOS)
    expanded_videos_per_batch: int = Field(100, ge=1, le=MOST_VIDEOS)
    max_concurrent: int = Field(10, ge=1, le=MOST_VIDEOS)
    batches_per_minute: int | None = Field(1, ge=1, le=1000)
    monthly_videos: int | None = Field(1000, ge=0)
    monthly_audio_minutes: int | None = Field(6000, ge=0)
    weight: float = Field(1.0, ge=0.01, le=100)

    @property
    def allowance(self) -> Allowance:
        minutes = self.monthly_audio_minutes
        return Allowance(
            self.batches_per_minute,
            self.monthly_videos,
            None if minutes is None else minutes * MINUTE_MS,
        )


# The tier of users who were given none, and of those whose tier is not configured.
STANDARD = "standard"
# The tier of whoever runs everything alone: `batchscribe up`.
UNLIMITED = "unlimited"

_SHIPPED: Mapping[str, Mapping[str, Any]] = {
    STANDARD: {},
    UNLIMITED: {
        "videos_per_batch": MOST_VIDEOS,
        "expanded_videos_per_batch": MOST_VIDEOS,
        "batches_per_minute": None,
        "monthly_videos": None,
        "monthly_audio_minutes": None,
    },
}


def _over_shipped(given: object) -> object:
    if isinstance(given, str):
        given = from_json(given)
    if not isinstance(given, Mapping):
        return given
    return {name: _laid_over(name, given.get(name, {})) for name in {**_SHIPPED, **given}}


def _laid_over(name: str, fields: object) -> object:
    return {**_SHIPPED.get(name, {}), **fields} if isinstance(fields, Mapping) else fields


# Those given as JSON, each laid over the shipped one of its name, and the rest of those shipped.
Tiers = Annotated[dict[str, Tier], NoDecode, BeforeValidator(_over_shipped)]


def named(tiers: Tiers, name: str) -> Tier:
    """Return a tier; the standard one if nothing of that name is configured."""
    return tiers.get(name, tiers[STANDARD])
