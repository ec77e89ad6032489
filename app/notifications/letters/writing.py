"""Writing the mails that events ask for, in the transaction in which the events are told onwards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

import structlog
from prometheus_client import Counter
from sqlalchemy.ext.asyncio import AsyncSession

from app import mail, tenancy
from app.kit.ids import AccountId, TeamId
from app.notifications.feed.appending import Placed
from app.notifications.letters.kinds import KINDS, Letter, letter_of
from app.notifications.letters.preferences import who_wants
from app.notifications.told import is_team

WITHHELD = Counter("hourglass_notifications_withheld", "Mails not written since there were too many", ["kind"])

MAILS_PER_HOUR: Final = 20
"""How many events of a kind an account is told by mail within an hour; all of them are in the feed."""

_HOUR: Final = timedelta(hours=1)
_OWNERS: Final[tuple[tenancy.Role, ...]] = ("owner",)
_ADMINISTRATORS: Final[tuple[tenancy.Role, ...]] = ("owner", "admin")
log = structlog.get_logger("hourglass.notifications")


async def write_mails(session: AsyncSession, placed: Sequence[Placed], *, at: datetime) -> int:
    """Write the mails that events ask for to whoever wants them; return how many. A repeat writes none."""
    written = 0
    for one in placed:
        letter = letter_of(one.event)
        if letter is None:
            continue
        account_id = AccountId(one.event.account_id)
        addresses = await _addressed(session, one, letter, account_id=account_id)
        to = await who_wants(session, addresses, account_id=account_id, kind=letter.kind)
        if not to or await _is_too_much(session, letter, account_id=account_id, at=at):
            continue
        try:
            written += await mail.write(
                session,
                account_id=account_id,
                to=to,
                template=letter.template,
                data={**letter.data, **await _names(session, one, letter, account_id=account_id)},
                key=f"event:{one.event.id}",
                at=at,
            )
        except ValueError:  # an event that lacks what its mail must tell holds up no other
            log.exception("notification.unwritten", event_id=one.event.id, type=one.event.type)
    return written


async def _is_too_much(session: AsyncSession, letter: Letter, *, account_id: AccountId, at: datetime) -> bool:
    """Say whether an account has had so many mails of a kind that another would tell nobody anything."""
    count = await mail.count_written(session, account_id=account_id, template=letter.template, since=at - _HOUR)
    if count < MAILS_PER_HOUR:
        return False
    WITHHELD.labels(letter.kind).inc()
    return True


async def _names(session: AsyncSession, one: Placed, letter: Letter, *, account_id: AccountId) -> Mapping[str, str]:
    """Return the names of whom a budget or a policy is, of who asked and of who acted: nobody knows them by an id."""
    if letter.kind not in {"budget_alerts", "policy_requests"}:
        return {}
    ids = {"name": one.event.subject, "asker": letter.data.get("asked_by", ""), "actor": one.event.actor}
    names = await tenancy.names_of(session, account_id=account_id, ids=list(ids.values()))
    return {told: names[id_] for told, id_ in ids.items() if id_ in names}


async def _addressed(session: AsyncSession, one: Placed, letter: Letter, *, account_id: AccountId) -> list[str]:
    """Return the addresses of those whom an event concerns, before anybody's choice."""
    match KINDS[letter.kind].audience:
        case "budget":
            return await _of_budget(session, one, account_id=account_id)
        case "money":
            return await tenancy.billing_addresses(session, account_id=account_id)
        case "administrators":
            return await tenancy.emails_of_roles(session, account_id=account_id, roles=_ADMINISTRATORS)
        case "request":
            return await _of_request(session, one, account_id=account_id)
        case "maker":
            return await _of_maker(session, one, account_id=account_id)


async def _of_budget(session: AsyncSession, one: Placed, *, account_id: AccountId) -> list[str]:
    """Those who answer for the money, the leads of the team, and the person whose budget it is."""
    people = await tenancy.billing_addresses(session, account_id=account_id)
    if is_team(one.event.subject):
        people += await tenancy.lead_emails(session, account_id=account_id, team_id=TeamId(one.event.subject))
    people += await tenancy.emails_of_people(session, account_id=account_id, user_ids=[one.event.subject])
    return list(dict.fromkeys(people))


async def _of_request(session: AsyncSession, one: Placed, *, account_id: AccountId) -> list[str]:
    """Those who can decide what is asked for; once it is decided, who asked."""
    if one.event.type == "policy.requested":
        return await tenancy.emails_of_roles(session, account_id=account_id, roles=_ADMINISTRATORS)
    return await tenancy.emails_behind(session, account_id=account_id, actor=one.event.data["asked_by"])


async def _of_maker(session: AsyncSession, one: Placed, *, account_id: AccountId) -> list[str]:
    """The person who made it; for a key that nobody made, or somebody who has left, the owners."""
    if one.owner.person is not None:
        people = await tenancy.emails_of_people(session, account_id=account_id, user_ids=[one.owner.person])
        if people:
            return people
    return await tenancy.emails_of_roles(session, account_id=account_id, roles=_OWNERS)
