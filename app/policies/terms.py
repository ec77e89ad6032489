"""What a policy says. Pure."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from typing import Final

from app.kit.ids import AccountId, ApiKeyId, TeamId, UserId

UTC_NAME: Final = "UTC"
MIN_RELIABILITY_PPM: Final = 950_000
"""What a policy asks of machines that tell their reliability, unless it says otherwise."""


class OnExceeded(StrEnum):
    """What happens when a budget is used up."""

    ALERT = "alert"
    """It is told; nothing else."""
    PAUSE_NEW = "pause_new"
    """Nothing new is provisioned until the next period; what runs goes on."""
    STOP_ALL = "stop_all"
    """What runs is stopped at the very second, too."""


class SubjectKind(StrEnum):
    """What a policy is about; also the word for it in reasons."""

    ACCOUNT = "account"
    TEAM = "team"
    USER = "user"
    KEY = "key"

    @classmethod
    def of(cls, subject: str) -> SubjectKind:
        """Return what a subject's id says."""
        return _KINDS[subject.partition("_")[0]]


_KINDS: Final = {
    AccountId.prefix: SubjectKind.ACCOUNT,
    TeamId.prefix: SubjectKind.TEAM,
    UserId.prefix: SubjectKind.USER,
    ApiKeyId.prefix: SubjectKind.KEY,
}


@dataclass(frozen=True, kw_only=True)
class Terms:
    """The limits of one policy; None sets none. Amounts in micro-dollars."""

    gpu_whitelist: tuple[str, ...] | None = None
    """Slugs of families."""
    max_instances: int | None = None
    max_gpus: int | None = None
    max_price_micros_per_hour: int | None = None
    """All-in, of one rental."""
    daily_budget_micros: int | None = None
    monthly_budget_micros: int | None = None
    max_duration_seconds: int | None = None
    allowed_regions: tuple[str, ...] | None = None
    """Region ids or country codes."""
    allowed_providers: tuple[str, ...] | None = None
    min_reliability_ppm: int | None = None
    on_budget_exceeded: OnExceeded = OnExceeded.PAUSE_NEW

    @cached_property
    def sets_nothing(self) -> bool:
        """Whether it sets no limit at all."""
        return all(getattr(self, name) is None for name in _LIMITS)


TERMS_FIELDS: Final = tuple(field.name for field in fields(Terms))
_LIMITS: Final = tuple(name for name in TERMS_FIELDS if name != "on_budget_exceeded")

UNLIMITED: Final = Terms()
"""Of every subject but teams, until a policy is set."""

TEAM_DEFAULT: Final = Terms(
    gpu_whitelist=("rtx-4090",),
    max_instances=2,
    daily_budget_micros=10_000_000,
    min_reliability_ppm=MIN_RELIABILITY_PPM,
)
"""Of a team until its policy is set."""


def default_terms(subject: str) -> Terms:
    """Return the terms of a subject that has no policy of its own."""
    return TEAM_DEFAULT if SubjectKind.of(subject) is SubjectKind.TEAM else UNLIMITED


@dataclass(frozen=True, kw_only=True)
class Policy:
    """One subject's terms, and where it stands with them."""

    subject: str
    terms: Terms
    time_zone: str = UTC_NAME
    """Where its days and months begin: a team's own, UTC for a key, what was set for others."""
    version: int = 0
    """0 until terms are set."""
    paused_until: datetime | None = None
    paused_because: str | None = None
    updated_at: datetime | None = None
    updated_by: str | None = None

    @cached_property
    def kind(self) -> SubjectKind:
        """What it is about."""
        return SubjectKind.of(self.subject)

    @cached_property
    def is_binding(self) -> bool:
        """Whether it sets any limit or notes a pause."""
        return not self.terms.sets_nothing or self.paused_until is not None

    def is_paused(self, at: datetime) -> bool:
        """Say whether nothing new is provisioned at a moment."""
        return self.paused_until is not None and at < self.paused_until
