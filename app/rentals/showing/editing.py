"""Changes to a rental that lives: its name and limits, its end, its keys, a complaint about its machine."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from app import audit, policies
from app.events import Event, record
from app.kit.clock import whole_seconds
from app.kit.errors import InvalidState, NotFound
from app.kit.ids import AccountId, RentalId
from app.rentals import queries
from app.rentals.asking.wishes import KEYS_MAX, YEAR_SECONDS, RentalUpdate
from app.rentals.models import RentalRow, SshKeyRow
from app.rentals.showing.reach import sees
from app.rentals.showing.views import known_id
from app.rentals.states import TERMINAL, Status
from app.web import Principal
from app.web.acts import changed_nothing
from app.web.errors import ValidationFailed

_BEFORE_THE_END = frozenset(Status) - TERMINAL - {Status.STOPPING}


async def lock(session: AsyncSession, rental_id: str, *, principal: Principal) -> RentalRow:
    """Return a rental under its row lock.

    Raises:
        NotFound: there is no such rental within the caller's reach.
    """
    row = await queries.lock_rental(session, account_id=principal.account_id, rental_id=known_id(rental_id))
    if row is None or not sees(principal, row):
        raise NotFound("There is no such rental.")
    return row


async def update(session: AsyncSession, row: RentalRow, body: RentalUpdate, *, actor: str, at: datetime) -> None:
    """Change what the body names. A limit of time can only be set ahead: what ran is billed.

    Raises:
        InvalidState: a limit is set on a rental that is over.
        ValidationFailed: the new limit lies in the past.
        PolicyViolation: the limit is beyond what a policy allows.
    """
    named, before = body.model_fields_set, _editable(row)
    if "max_duration_seconds" in named:
        await _allow_duration(session, row, body.max_duration_seconds)
        _limit(row, body.max_duration_seconds, at=at)
    if "name" in named:
        row.name = body.name
    if "tags" in named:
        row.tags = dict(body.tags)
    await _changed(session, row, "rental.updated", {"fields": sorted(named)}, actor=actor, at=at)
    await _audit(session, row, "rental.updated", audit.changes(before, _editable(row)), at=at)


async def extend(session: AsyncSession, row: RentalRow, seconds: int, *, actor: str, at: datetime) -> None:
    """Move a running rental's agreed end.

    Raises:
        InvalidState: it does not run, has no such end, or has reached it.
        ValidationFailed: it would run for more than a year.
    """
    if row.status != Status.RUNNING or row.stop_at is None or row.max_duration_seconds is None or row.stop_at <= at:
        raise InvalidState("Only a running rental with max_duration_seconds has an end that can be moved.")
    longer = row.max_duration_seconds + seconds
    if longer > YEAR_SECONDS:
        raise _refused("/seconds", f"would take max_duration_seconds beyond {YEAR_SECONDS}")
    await _allow_duration(session, row, longer)
    before = _editable(row)
    row.max_duration_seconds, row.stop_at = longer, row.stop_at + timedelta(seconds=seconds)
    await _changed(session, row, "rental.extended", {"seconds": seconds}, actor=actor, at=at)
    await _audit(session, row, "rental.extended", audit.changes(before, _editable(row)), at=at)


async def report(session: AsyncSession, row: RentalRow, reason: str, *, actor: str, at: datetime) -> None:
    """Note that the customer finds the machine bad. What comes of it, the watch decides.

    Raises:
        InvalidState: it does not run.
    """
    if row.status != Status.RUNNING:
        raise InvalidState("Only a running rental's machine can be reported.")
    await _changed(session, row, "rental.reported", {"reason": reason}, actor=actor, at=at)
    await _audit(session, row, "rental.reported", {"reason": reason}, at=at)


async def add_key(session: AsyncSession, row: RentalRow, key: SshKeyRow, *, actor: str, at: datetime) -> None:
    """Let a key of the account open the machine; the worker installs it. Adding it again changes nothing.

    Raises:
        InvalidState: the rental is over.
        ValidationFailed: it has fifty keys.
    """
    _require_before_the_end(row)
    if any(installed["id"] == key.id for installed in row.ssh_keys):
        changed_nothing(session)
        return
    if len(row.ssh_keys) >= KEYS_MAX:
        raise _refused("", f"a rental has at most {KEYS_MAX} keys")
    row.ssh_keys = [*row.ssh_keys, {"id": key.id, "public_key": key.public_key}]
    row.keys_version += 1
    await _changed(session, row, "rental.ssh_key_added", {"ssh_key_id": key.id}, actor=actor, at=at)
    await _audit(session, row, "rental.ssh_key_added", {"ssh_key_id": key.id}, at=at)


async def remove_key(session: AsyncSession, row: RentalRow, key_id: str, *, actor: str, at: datetime) -> None:
    """Take a key off the machine; the worker does it. Sessions that are open stay open.

    Raises:
        InvalidState: the rental is over.
        NotFound: the rental does not carry this key.
    """
    _require_before_the_end(row)
    left = [installed for installed in row.ssh_keys if installed["id"] != key_id]
    if len(left) == len(row.ssh_keys):
        raise NotFound("The rental has no such SSH key.")
    row.ssh_keys = left
    row.keys_version += 1
    await _changed(session, row, "rental.ssh_key_removed", {"ssh_key_id": key_id}, actor=actor, at=at)
    await _audit(session, row, "rental.ssh_key_removed", {"ssh_key_id": key_id}, at=at)


def _limit(row: RentalRow, seconds: int | None, *, at: datetime) -> None:
    _require_before_the_end(row)
    if row.stop_at is not None and row.stop_at <= at:
        raise InvalidState("The rental has reached its end.")
    ran = row.ran_seconds + (0 if row.run_since is None else whole_seconds(row.run_since, at))
    if seconds is not None and row.running_at is not None and seconds <= ran:
        raise _refused("/max_duration_seconds", "must be more than has run already")
    if row.run_since is not None:
        row.stop_at = None if seconds is None else row.run_since + timedelta(seconds=seconds - row.ran_seconds)
    row.max_duration_seconds = seconds


async def _allow_duration(session: AsyncSession, row: RentalRow, seconds: int | None) -> None:
    """Pass when every policy of those for whom the rental runs allows so long; None is for ever."""
    account_id, rental_id = AccountId(row.account_id), RentalId(row.id)
    spender = await policies.find_spender(session, account_id=account_id, rental_id=rental_id)
    if spender is not None:
        rules = await policies.standing_terms_for(session, spender)
        policies.require_duration(rules.policies, seconds)


def _require_before_the_end(row: RentalRow) -> None:
    if row.status not in _BEFORE_THE_END:
        raise InvalidState("The rental is over.")


def _refused(pointer: str, message: str) -> ValidationFailed:
    return ValidationFailed(errors=[{"pointer": pointer, "code": "value_error", "message": message}])


async def _changed(
    session: AsyncSession, row: RentalRow, told: str, data: dict[str, Any], *, actor: str, at: datetime
) -> None:
    row.version += 1
    await record(session, Event(AccountId(row.account_id), row.id, told, at, actor=actor, data=data))


def _editable(row: RentalRow) -> dict[str, Any]:
    return {"name": row.name, "tags": row.tags, "max_duration_seconds": row.max_duration_seconds}


async def _audit(session: AsyncSession, row: RentalRow, action: str, details: dict[str, Any], *, at: datetime) -> None:
    entry = audit.Entry(row.account_id, action, row.id, at, team_id=row.team_id, details=details)
    await audit.write(session, entry)
