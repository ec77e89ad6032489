"""Change requests: asked, then approved or denied. Approving sets the terms in the same transaction.

A request is about the policy as it stood when it was asked: it carries the version, and is applied to that one only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app import audit, tenancy
from app.events import Event, record
from app.kit.errors import NotFound
from app.kit.ids import AccountId, ChangeRequestId, TeamId
from app.policies.requests.errors import OwnRequest, RequestDecided, RequestOutdated
from app.policies.requests.models import RequestRow
from app.policies.setting import lock_policy, set_terms
from app.policies.terms import OnExceeded, Terms
from app.policies.wording import told_name, told_value
from app.web import Principal


async def ask(
    session: AsyncSession, team_id: TeamId, changes: Mapping[str, Any], *, caller: Principal, reason: str, at: datetime
) -> RequestRow:
    """Ask that a team's policy say something else: fields of ``Terms`` with their values."""
    account_id = caller.account_id
    policy = await lock_policy(session, account_id=account_id, subject=team_id)
    row = RequestRow(
        account_id=account_id,
        id=ChangeRequestId.new(),
        team_id=team_id,
        version=policy.version,
        changes=stored(changes),
        reason=reason,
        state="open",
        asked_by=caller.actor,
        asked_at=at,
    )
    session.add(row)
    await session.flush()
    await _tell(session, row, "requested", actor=caller.actor, at=at)
    return row


async def approve(
    session: AsyncSession, row: RequestRow, *, caller: Principal, note: str | None, at: datetime
) -> RequestRow:
    """Set what was asked for. The caller holds the wallet's lock (``lock_request``).

    Raises:
        RequestDecided, RequestOutdated, OwnRequest: it can't be approved, or not by this caller; nothing was set.
    """
    _require_undecided(row, caller)
    policy = await lock_policy(session, account_id=caller.account_id, subject=row.team_id)
    if policy.version != row.version:
        raise RequestOutdated
    terms = changed(policy.terms, row.changes)
    await set_terms(session, policy, terms, account_id=caller.account_id, actor=caller.actor, at=at)
    return await _decide(session, row, "approved", caller=caller, note=note, at=at)


async def deny(
    session: AsyncSession, row: RequestRow, *, caller: Principal, note: str | None, at: datetime
) -> RequestRow:
    """Decide that nothing changes. The caller holds the wallet's lock (``lock_request``).

    Raises:
        RequestDecided, OwnRequest: it can't be denied, or not by this caller.
    """
    _require_undecided(row, caller)
    return await _decide(session, row, "denied", caller=caller, note=note, at=at)


async def lock_request(session: AsyncSession, text: str, *, account_id: AccountId, team_id: TeamId) -> RequestRow:
    """Return a team's request under the wallet's lock: of two who decide at once the second sees what the first did.

    Raises:
        NotFound: there is none.
    """
    await lock_policy(session, account_id=account_id, subject=team_id)
    return await get_request(session, text, account_id=account_id, team_id=team_id)


async def get_request(session: AsyncSession, text: str, *, account_id: AccountId, team_id: TeamId) -> RequestRow:
    """Return a team's request.

    Raises:
        NotFound: there is none.
    """
    try:
        request_id = ChangeRequestId.parse(text)
    except ValueError:
        raise NotFound("There is no such request.") from None
    query = select(RequestRow).where(RequestRow.account_id == account_id, RequestRow.id == request_id)
    row = await session.scalar(query.where(RequestRow.team_id == team_id).execution_options(populate_existing=True))
    if row is None:
        raise NotFound("There is no such request.")
    return row


async def list_requests(
    session: AsyncSession, *, account_id: AccountId, team_id: TeamId, state: str | None, before: str | None, limit: int
) -> Sequence[RequestRow]:
    """Return a team's requests, newest first."""
    wanted = select(RequestRow).where(RequestRow.account_id == account_id, RequestRow.team_id == team_id)
    if state is not None:
        wanted = wanted.where(RequestRow.state == state)
    if before is not None:
        wanted = wanted.where(RequestRow.id < before)
    return (await session.scalars(wanted.order_by(RequestRow.id.desc()).limit(limit))).all()


def stored(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return changes of terms as JSON."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in changes.items()}


def changed(before: Terms, changes: Mapping[str, Any]) -> Terms:
    """Return terms with stored changes in place."""
    values: dict[str, Any] = {name: tuple(it) if isinstance(it, list) else it for name, it in changes.items()}
    if "on_budget_exceeded" in values:
        values["on_budget_exceeded"] = OnExceeded(values["on_budget_exceeded"])
    return replace(before, **values)


def _require_undecided(row: RequestRow, caller: Principal) -> None:
    if row.state != "open":
        raise RequestDecided
    if row.asked_by in {caller.key_id, caller.user_id} and not tenancy.owns(caller):
        raise OwnRequest


async def _decide(
    session: AsyncSession, row: RequestRow, state: str, *, caller: Principal, note: str | None, at: datetime
) -> RequestRow:
    row.state, row.note = state, note
    row.decided_by, row.decided_at = caller.actor, at
    await session.flush()
    await _tell(session, row, f"request_{state}", actor=caller.actor, at=at)
    return row


async def _tell(session: AsyncSession, row: RequestRow, happened: str, *, actor: str, at: datetime) -> None:
    told = {
        "request_id": row.id,
        "team_id": row.team_id,
        "changes": {told_name(name): told_value(name, value) for name, value in row.changes.items()},
        "asked_by": row.asked_by,
    }
    account_id = AccountId(row.account_id)
    await record(session, Event(account_id, row.team_id, f"policy.{happened}", at, actor=actor, data=told))
    entry = audit.Entry(
        account_id, f"policy.{happened}", row.id, at, actor=actor, team_id=TeamId(row.team_id), details=told
    )
    await audit.write(session, entry)
