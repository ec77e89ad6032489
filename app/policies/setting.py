"""Setting a policy: under the wallet's lock, so that every decision is by the old terms or by the new ones."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from app import audit, wallet
from app.kit.db import driver
from app.kit.ids import AccountId
from app.policies import queries
from app.policies.budgets.telling import look
from app.policies.reading import get_policies
from app.policies.terms import TERMS_FIELDS, Policy, SubjectKind, Terms
from app.policies.wording import told_name, told_value


async def lock_policy(session: AsyncSession, *, account_id: AccountId, subject: str) -> Policy:
    """Return a subject's policy; nobody else changes it, and nothing is admitted under it, until the transaction ends."""
    await wallet.lock(session, account_id=account_id)
    [found] = await get_policies(session, account_id=account_id, subjects=[subject])
    return found


async def set_terms(
    session: AsyncSession,
    before: Policy,
    terms: Terms,
    *,
    account_id: AccountId,
    time_zone: str | None = None,
    actor: str,
    at: datetime,
) -> Policy:
    """Give a subject other terms from now on, in place of those that ``lock_policy`` returned; told in the audit.

    What is open under the old terms stays, unless a budget that stops all is used up; a pause ends that has no reason left.
    ``time_zone`` is heeded for the account and for persons alone.
    """
    who, limits = (account_id, before.subject), [_stored(getattr(terms, name)) for name in TERMS_FIELDS]
    values = (*who, before.version + 1, *limits, time_zone or before.time_zone, at, actor)
    await driver(session).execute(queries.SAVE_POLICY, *values)
    await look(session, account_id=account_id, at=at)
    [after] = await get_policies(session, account_id=account_id, subjects=[before.subject])
    team_id = before.subject if before.kind is SubjectKind.TEAM else None
    details = audit.changes(_told(before), _told(after))
    entry = audit.Entry(account_id, "policy.updated", before.subject, at, actor=actor, team_id=team_id, details=details)
    await audit.write(session, entry)
    return after


def _stored(value: object) -> object:
    """Return a field of the terms as its column takes it."""
    return json.dumps(value) if isinstance(value, tuple) else value


def _told(policy: Policy) -> dict[str, Any]:
    terms = {told_name(name): told_value(name, getattr(policy.terms, name)) for name in TERMS_FIELDS}
    return {**terms, "time_zone": policy.time_zone}
