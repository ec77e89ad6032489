"""Policies as they stand."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import asyncpg
from sqlalchemy.ext.asyncio import AsyncSession

from app.kit.db import driver
from app.kit.ids import AccountId
from app.policies import queries
from app.policies.errors import UnknownTeam
from app.policies.spenders import Spender
from app.policies.terms import UTC_NAME, OnExceeded, Policy, SubjectKind, Terms, default_terms


@dataclass(frozen=True)
class Rules:
    """Everybody's policies that apply to one spender, the widest first, and in which states of them."""

    spender: Spender
    policies: tuple[Policy, ...]
    states: tuple[str, ...]

    @cached_property
    def binding(self) -> tuple[Policy, ...]:
        """Those that set any limit or note a pause."""
        return tuple(found for found in self.policies if found.is_binding)

    @property
    def says_anything(self) -> bool:
        """Whether there is anything that could say no."""
        return bool(self.binding) or self.spender.limit is not None

    @cached_property
    def is_of_account(self) -> bool:
        """Whether everything open on the account is to be counted: not for a team's caps alone."""
        return any(policy.kind is SubjectKind.ACCOUNT for policy in self.binding or self.policies)


async def terms_for(session: AsyncSession, spender: Spender) -> Rules:
    """Return the policies that apply to a spender.

    Raises:
        UnknownTeam: its team is none of the account's, or is archived.
    """
    rules, is_team = await _read(session, spender)
    if not is_team:
        raise UnknownTeam.named()
    return rules


async def standing_terms_for(session: AsyncSession, spender: Spender) -> Rules:
    """Return the policies that apply to what a spender has already, its team being archived or not."""
    return (await _read(session, spender))[0]


async def get_policies(session: AsyncSession, *, account_id: AccountId, subjects: Sequence[str]) -> list[Policy]:
    """Return the policies of some subjects, in order; the defaults where nothing was set."""
    rows = await driver(session).fetch(queries.READ_POLICIES, account_id, list(subjects))
    return [policy_of(row) for row in rows]


@lru_cache(maxsize=4096)
def policy_of(row: asyncpg.Record) -> Policy:
    """Return a row of ``READ_POLICIES`` as a policy: the same one as the last time that the row said just this."""
    subject = row["subject"]
    if row["version"] is None:
        return Policy(subject=subject, terms=default_terms(subject), time_zone=row["team_zone"] or UTC_NAME)
    return Policy(
        subject=subject,
        terms=_terms(row),
        time_zone=_zone(row),
        version=row["version"],
        paused_until=row["paused_until"],
        paused_because=row["paused_because"],
        updated_at=row["updated_at"],
        updated_by=row["updated_by"],
    )


async def _read(session: AsyncSession, spender: Spender) -> tuple[Rules, bool]:
    """Return the policies, and whether the team that is named is one."""
    rows = await driver(session).fetch(queries.READ_POLICIES, spender.account_id, list(spender.subjects))
    is_team = all(row["is_team"] for row in rows if row["subject"] == spender.team_id)
    states = tuple(sorted(row["state"] for row in rows if row["state"] is not None))
    return Rules(spender, tuple(map(policy_of, rows)), states), is_team


def _zone(row: asyncpg.Record) -> str:
    kind = SubjectKind.of(row["subject"])
    if kind is SubjectKind.TEAM:
        return row["team_zone"] or UTC_NAME
    return UTC_NAME if kind is SubjectKind.KEY else row["time_zone"]


def _terms(row: asyncpg.Record) -> Terms:
    return Terms(
        gpu_whitelist=_names(row["gpu_whitelist"]),
        max_instances=row["max_instances"],
        max_gpus=row["max_gpus"],
        max_price_micros_per_hour=row["max_price_micros_per_hour"],
        daily_budget_micros=row["daily_budget_micros"],
        monthly_budget_micros=row["monthly_budget_micros"],
        max_duration_seconds=row["max_duration_seconds"],
        allowed_regions=_names(row["allowed_regions"]),
        allowed_providers=_names(row["allowed_providers"]),
        min_reliability_ppm=row["min_reliability_ppm"],
        on_budget_exceeded=OnExceeded(row["on_budget_exceeded"]),
    )


def _names(stored: str | None) -> tuple[str, ...] | None:
    return None if stored is None else tuple(json.loads(stored))
