"""What must become true of mail.

- sending: a mail in the outbox is given to the outlet. Twice: a mail that was taken is not offered again; one whose
  taking nobody confirmed is the same message under the same Message-ID. Never: it is given up after three days.
- tidying: mails that are done are forgotten after 90 days. Twice: nothing is left to delete. Never: addresses pile up.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import asyncpg
import structlog
from prometheus_client import Counter, Gauge
from sqlalchemy.ext.asyncio import AsyncSession

from app.kit.clock import Clock
from app.kit.db import Database, driver
from app.kit.ids import AccountId
from app.kit.leases import bucket_name, bucket_of, fenced
from app.kit.pruning import prune
from app.kit.reconcile import Reconciler, Round
from app.mail import queries
from app.mail.addresses import Mailbox
from app.mail.errors import Deferred, Refused
from app.mail.letters import Letter
from app.mail.outlets import Outlet
from app.mail.wording import worded

log = structlog.get_logger("hourglass.mail")

MAILS = Counter("hourglass_mails", "Mails by template and what became of a try", ["template", "outcome"])
OLDEST = Gauge("hourglass_mail_oldest_seconds", "How long the oldest mail in the outbox has waited")

GIVEN_UP_AFTER = timedelta(days=3)
KEPT = timedelta(days=90)
_FIRST_PAUSE, _LONGEST_PAUSE = timedelta(minutes=1), timedelta(hours=1)
_ERROR_MAX = 500


@dataclass(frozen=True, slots=True)
class Due:
    """A mail that is to be tried."""

    account_id: AccountId
    mail_id: str


@dataclass(frozen=True, slots=True)
class _Done:
    """What became of a try."""

    state: str
    sent_at: datetime | None = None
    error: str | None = None
    next_at: datetime | None = None


def sending(db: Database, clock: Clock, outlet: Outlet, *, sender: Mailbox) -> Reconciler:
    """Return the reconciler that sends what is in the outbox."""

    async def find(this: Round, limit: int) -> list[Due]:
        """Return the mails that are due."""
        buckets = this.holding.buckets
        async with db.begin_unscoped() as session:
            oldest = await driver(session).fetchval(queries.OLDEST_QUEUED, buckets)
            rows = await driver(session).fetch(queries.FIND_DUE, buckets, this.at, limit)
        OLDEST.set((this.at - oldest).total_seconds() if oldest else 0)
        return [Due(AccountId(row["account_id"]), row["id"]) for row in rows]

    async def step(this: Round, due: Due) -> str:
        """Send a mail once: claim it, hand it over, write down what came of it."""

        async def claim(session: AsyncSession) -> asyncpg.Record | None:
            """Claim it, as the one that holds the bucket."""
            await fenced(session, this.holding, [bucket_name(bucket_of(due.account_id))])
            return await _claim(session, due, domain=sender.domain, at=clock.now())

        mail = await db.run(claim)
        if mail is None:
            return "done_already"
        done = await _tried(mail, outlet, sender=sender, clock=clock)
        await db.run(lambda session: _finish(session, mail, done))
        outcome = "deferred" if done.state == "queued" else done.state
        MAILS.labels(mail["template"], outcome).inc()
        return outcome

    return Reconciler(name="mail.sending", every_seconds=1.0, batch=50, find=find, step=step, concurrency=4)


def tidying(db: Database) -> Reconciler:
    """Return the reconciler that forgets what was sent long ago."""

    async def find(_this: Round, _limit: int) -> Sequence[str]:
        """Return the one thing there is to tidy."""
        return ["mails"]

    async def step(this: Round, _item: str) -> str:
        """Delete what is old."""
        await prune(db, queries.PRUNE, this.at - KEPT)
        return "tidied"

    return Reconciler(name="mail.tidying", every_seconds=3600.0, batch=1, find=find, step=step)


def pause_after(tries: int) -> timedelta:
    """Return how long a mail rests after so many tries; it outlasts any try, so that no two are under way at once."""
    return min(_LONGEST_PAUSE, _FIRST_PAUSE * (1 << min(tries, 10)))


async def _claim(session: AsyncSession, due: Due, *, domain: str, at: datetime) -> asyncpg.Record | None:
    """Take a mail for one try. Its next is far enough that a try which ends with its worker is repeated only then."""
    message_id = f"<{due.mail_id.lower()}@{domain}>"
    return await driver(session).fetchrow(
        queries.CLAIM, due.account_id, due.mail_id, at, at + pause_after(0), message_id
    )


async def _tried(mail: asyncpg.Record, outlet: Outlet, *, sender: Mailbox, clock: Clock) -> _Done:
    try:
        letter = _letter(mail, sender)
    except ValueError as error:
        return _failed(mail, str(error))
    try:
        outcome = await outlet.deliver(letter)
    except Refused as error:
        return _failed(mail, error.reason)
    except Deferred as error:
        at = clock.now()
        if at - mail["created_at"] >= GIVEN_UP_AFTER:
            return _failed(mail, f"given up after three days: {error.reason}")
        log.warning("mail.deferred", mail_id=mail["id"], tries=mail["tries"], reason=error.reason)
        return _Done("queued", error=error.reason, next_at=at + pause_after(mail["tries"] - 1))
    return _Done(outcome, sent_at=clock.now())


def _letter(mail: asyncpg.Record, sender: Mailbox) -> Letter:
    wording = worded(mail["template"], {**json.loads(mail["data"]), "account_id": mail["account_id"]})
    return Letter(
        message_id=mail["message_id"],
        written_at=mail["created_at"],
        sender=sender,
        to=Mailbox.of(mail["to_address"]),
        subject=wording.subject,
        text=wording.text,
    )


def _failed(mail: asyncpg.Record, reason: str) -> _Done:
    log.error("mail.failed", mail_id=mail["id"], template=mail["template"], tries=mail["tries"], reason=reason)
    return _Done("failed", error=reason)


async def _finish(session: AsyncSession, mail: asyncpg.Record, done: _Done) -> None:
    error = done.error and done.error.replace("\x00", "")[:_ERROR_MAX]
    await driver(session).execute(
        queries.FINISH, mail["account_id"], mail["id"], mail["tries"], done.state, done.sent_at, error, done.next_at
    )
