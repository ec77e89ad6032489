"""Applying what was read: shown first, then set, all of it or nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from app import audit, tenancy, wallet
from app.kit.ids import AccountId
from app.policies.imports.drafts import Draft, Reading
from app.policies.imports.errors import ImportRefused
from app.policies.reading import get_policies
from app.policies.setting import set_terms
from app.policies.terms import TEAM_DEFAULT, Policy, Terms
from app.web.errors import EtagMismatch


@dataclass(frozen=True, slots=True)
class Change:
    """A field of a policy that a file changes, and the line that does."""

    field: str
    before: Any
    after: Any
    line: int


@dataclass(frozen=True, slots=True)
class Planned:
    """What one policy is to say. ``policy`` is None where its team does not exist."""

    draft: Draft
    policy: Policy | None

    def terms(self) -> Terms:
        """Return the terms that it comes to."""
        return self.draft.terms(self._before())

    @property
    def changes(self) -> list[Change]:
        """What of it is not as it is already."""
        before = self._before()
        found = [(name, getattr(before, name), after) for name, after in self.draft.changes.items()]
        return [Change(name, was, now, self.draft.lines[name]) for name, was, now in found if was != now]

    def _before(self) -> Terms:
        return TEAM_DEFAULT if self.policy is None else self.policy.terms


async def plan(session: AsyncSession, reading: Reading, *, account_id: AccountId) -> list[Planned]:
    """Return what a reading changes, and note teams that do not exist. The wallet is locked: no policy changes meanwhile."""
    await wallet.lock(session, account_id=account_id)
    subjects = await _subjects(session, account_id=account_id)
    planned: dict[str, Planned] = {}
    for draft in reading.drafts:
        subject = account_id if draft.team is None else subjects.get(draft.team.lower())
        which = subject or (draft.team or "").lower()
        if planned.pop(which, None) is not None:
            reading.note(draft.line, "duplicate_team", f"{draft.team!r} stands here a second time; this one counts.")
        if subject is None:
            reading.note(draft.line, "unknown_team", f"There is no team called {draft.team!r} yet.")
            planned[which] = Planned(draft, None)
        else:
            [policy] = await get_policies(session, account_id=account_id, subjects=[subject])
            planned[which] = Planned(draft, policy)
    return list(planned.values())


async def apply(
    session: AsyncSession,
    planned: list[Planned],
    *,
    account_id: AccountId,
    versions: Mapping[str, int],
    create_teams: bool,
    actor: str,
    at: datetime,
) -> list[Planned]:
    """Set every policy that a plan changes, in the transaction in which it was planned; return the plan as it was done.

    Args:
        session: the caller's transaction; the wallet is locked.
        planned: what ``plan`` returned.
        account_id: whose policies they are.
        versions: by subject, the version that somebody has seen before agreeing.
        create_teams: whether teams that do not exist are made; their days are those of UTC.
        actor: who does it.
        at: when.

    Raises:
        EtagMismatch: a policy is at another version; nothing was set.
        ImportRefused: a team does not exist and is not to be made; nothing was set.
    """
    done = []
    for one in planned:
        policy = one.policy
        if policy is None:
            policy = await _made(session, one.draft, account_id=account_id, create_teams=create_teams, at=at)
        elif versions.get(policy.subject, policy.version) != policy.version:
            raise EtagMismatch
        now = Planned(one.draft, policy)
        if now.changes:
            await set_terms(session, policy, now.terms(), account_id=account_id, actor=actor, at=at)
        done.append(now)
    return done


async def tell(
    session: AsyncSession, planned: list[Planned], action: str, *, account_id: AccountId, actor: str, at: datetime
) -> None:
    """Say in the audit that a file was read or applied, and about whom; nothing of what it held."""
    subjects = [one.policy.subject for one in planned if one.policy is not None]
    entry = audit.Entry(account_id, action, account_id, at, actor=actor, details={"subjects": subjects})
    await audit.write(session, entry)


async def _subjects(session: AsyncSession, *, account_id: AccountId) -> Mapping[str, str]:
    """Return the teams that are not archived by name and by id, both in lower case."""
    teams = [team for team in await tenancy.list_teams(session, account_id=account_id) if team.archived_at is None]
    return {team.id.lower(): team.id for team in teams} | {team.name.lower(): team.id for team in teams}


async def _made(
    session: AsyncSession, draft: Draft, *, account_id: AccountId, create_teams: bool, at: datetime
) -> Policy:
    if not create_teams or not draft.team:
        raise ImportRefused.of_team(draft.team or "", draft.line)
    row = await tenancy.add_team(session, account_id=account_id, name=draft.team, time_zone="UTC", at=at)
    [policy] = await get_policies(session, account_id=account_id, subjects=[row.id])
    return policy
