"""One try of a delivery: claim it, send the message without a transaction, write down what came of it.

A try that ends with its worker is repeated once its time is over, under the same ``webhook-id``: a receiver that keeps
the ids it has seen sees each event once.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import asyncpg
import structlog
from prometheus_client import Counter, Histogram
from sqlalchemy.ext.asyncio import AsyncSession

from app import audit
from app.events import Event, record
from app.kit.clock import rfc3339
from app.kit.db import driver
from app.kit.destinations import RefusedDestination, without_path
from app.kit.egress import DEADLINE_SECONDS, Egress, Reply, Unreachable
from app.kit.ids import AccountId
from app.kit.vault import Vault
from app.notifications.told import Told
from app.notifications.webhooks import queries
from app.notifications.webhooks.pinging import TEST
from app.notifications.webhooks.retrying import GIVEN_UP_AFTER, again_at
from app.notifications.webhooks.signing import cell, signed_headers

log = structlog.get_logger("hourglass.webhooks")

TRIES = Counter("hourglass_webhook_tries", "Tries of webhooks' messages by what came of them", ["outcome"])
SECONDS = Histogram("hourglass_webhook_seconds", "How long a receiver took")

FAILING, GONE = "failing", "gone"
"""Why we disable an endpoint: three days of failure, or its answer 410."""

_TRY_LASTS: Final = timedelta(seconds=DEADLINE_SECONDS + 20)
_GONE_STATUS: Final = 410
_TAKEN: Final = range(200, 300)
_MOVED: Final = range(300, 400)
_ANSWER_KEPT: Final = 1_024
_FIXED_HEADERS: Final = {"Content-Type": "application/json", "User-Agent": "Hourglass-Webhooks/1"}


@dataclass(frozen=True, slots=True)
class Message:
    """A claimed delivery: what is sent where, and by which secrets it is signed."""

    delivery_id: str
    endpoint_id: str
    number: int
    number_before: int
    """How many tries there were before this series of them."""
    since: datetime
    url: str
    event: Told
    secrets: tuple[str, ...]

    @property
    def account_id(self) -> AccountId:
        """Return the tenant."""
        return AccountId(self.event.account_id)


@dataclass(frozen=True, slots=True)
class Tried:
    """What came of a try."""

    at: datetime
    milliseconds: int
    status: int | None
    error: str | None
    answer: str = ""
    retry_at: datetime | None = None

    @property
    def state(self) -> str:
        """Return the state in which it leaves the delivery."""
        if self.error is None:
            return "delivered"
        return "pending" if self.retry_at else "failed"


async def claim(
    session: AsyncSession, account_id: AccountId, delivery_id: str, vault: Vault, *, at: datetime
) -> Message | None:
    """Take a delivery for one try; None where it is no longer due.

    Raises:
        VaultError: the deployment's secret is not the one that the endpoint's was sealed under.
    """
    row = await driver(session).fetchrow(queries.CLAIM, account_id, delivery_id, at, at + _TRY_LASTS)
    if row is None:
        return None
    sealed = [row["sealed_secret"]]
    if row["previous_until"] is not None and row["previous_until"] > at:
        sealed.append(row["sealed_previous"])
    bound = cell(account_id, row["endpoint_id"])
    return Message(
        row["delivery_id"],
        row["endpoint_id"],
        row["tries"],
        row["tries_before"],
        row["since"],
        row["url"],
        Told.of(row, team_id=row["team_id"]),
        tuple(vault.open(secret, cell=bound) for secret in sealed),
    )


async def send(egress: Egress, message: Message, *, at: datetime) -> Tried:
    """Send a message and return what came of it; never raises for what a receiver does."""
    body = message.event.message
    headers = _FIXED_HEADERS | signed_headers(message.secrets, message_id=message.event.id, at=at, body=body)
    began = time.monotonic()
    reply, error = None, None
    try:
        reply = await egress.post(message.url, headers=headers, content=body)
    except RefusedDestination as refused:
        error = f"refused: {refused.reason}"
    except Unreachable as unreachable:
        error = unreachable.reason
    took = time.monotonic() - began
    SECONDS.observe(took)
    return _judged(message, reply, error, at=at, milliseconds=round(took * 1000))


async def finish(session: AsyncSession, message: Message, tried: Tried) -> str:
    """Write down what came of a try, and return its name. Disables an endpoint that has failed for too long."""
    connection = driver(session)
    one = (message.account_id, message.delivery_id)
    noted = (message.number, tried.at, tried.milliseconds, tried.status, tried.error, tried.answer)
    await connection.execute(queries.NOTE_ATTEMPT, *one, *noted)
    failing_since = None
    if message.event.type != TEST:  # before the delivery: who disables an endpoint locks it before what waits for it
        failing_since = await _note_at_endpoint(session, message, tried)
    ended_at = None if tried.state == "pending" else tried.at
    ending = (tried.state, tried.retry_at, ended_at, tried.status, tried.error)
    await connection.execute(queries.FINISH, *one, message.number, *ending)
    if message.event.type == TEST or tried.error is None:
        return tried.state
    because = _reason_to_disable(tried, failing_since)
    if because:
        await _disable(session, message, because, at=tried.at)
        return f"disabled_{because}"
    return "deferred" if tried.retry_at else "failed"


async def _note_at_endpoint(session: AsyncSession, message: Message, tried: Tried) -> datetime | None:
    """Note at the endpoint how it took a message; return since when it fails, None where it doesn't or is disabled."""
    endpoint = (message.account_id, message.endpoint_id)
    if tried.error is None:
        await driver(session).execute(queries.NOTE_SUCCESS, *endpoint)
        return None
    failing_since: datetime | None = await driver(session).fetchval(queries.NOTE_FAILURE, *endpoint, tried.at)
    return failing_since


def _judged(message: Message, reply: Reply | None, error: str | None, *, at: datetime, milliseconds: int) -> Tried:
    status = reply.status if reply else None
    if reply is not None and status not in _TAKEN:
        moved = " (redirects are not followed)" if status in _MOVED else ""
        error = f"answered {status}{moved}"
    retry_at = None
    if error is not None and message.event.type != TEST and status != _GONE_STATUS:
        headers = reply.headers if reply else None
        retry_at = again_at(
            message.number - message.number_before, since=message.since, at=at, status=status, headers=headers
        )
    return Tried(at, milliseconds, status, error, _readable(reply.body) if reply else "", retry_at)


def _readable(body: bytes) -> str:
    text = body[:_ANSWER_KEPT].decode("utf-8", "replace")
    return "".join(
        letter if letter.isprintable() or letter in "\n\t" else "\N{REPLACEMENT CHARACTER}" for letter in text
    )


def _reason_to_disable(tried: Tried, failing_since: datetime | None) -> str | None:
    if failing_since is None:
        return None
    if tried.status == _GONE_STATUS:
        return GONE
    return FAILING if tried.at - failing_since >= GIVEN_UP_AFTER else None


async def _disable(session: AsyncSession, message: Message, because: str, *, at: datetime) -> None:
    """Send nothing more to an endpoint, give up what waits for it, and have its owner told."""
    endpoint = (message.account_id, message.endpoint_id)
    row: asyncpg.Record | None = await driver(session).fetchrow(queries.DISABLE, *endpoint, because, at)
    if row is None:
        return
    await driver(session).execute(queries.GIVE_UP, *endpoint, at, "the webhook was disabled")
    data = {
        "webhook_id": message.endpoint_id,
        "url": without_path(row["url"]),
        "reason": because,
        "failing_since": rfc3339(row["failing_since"] or at),
    }
    await record(session, Event(message.account_id, message.endpoint_id, "webhook.disabled", at, data=data))
    entry = audit.Entry(message.account_id, "webhook.disabled", message.endpoint_id, at, details=data)
    await audit.write(session, entry)
    log.warning("webhook.disabled", account_id=message.account_id, endpoint_id=message.endpoint_id, because=because)
