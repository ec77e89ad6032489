"""Webhooks: every event to one address, signed, again and again until it is taken, and every way that goes wrong."""

from __future__ import annotations

import asyncio
import json
import random
from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import httpx

from app.kit.clock import Clock
from app.sandbox.stripe.signing import signature
from app.sandbox.stripe.store import Obj, Store

SUBSCRIBED = frozenset({
    "charge.dispute.closed", "charge.dispute.created", "charge.dispute.funds_reinstated",
    "charge.dispute.funds_withdrawn", "charge.dispute.updated", "charge.refunded",
    "checkout.session.async_payment_failed", "checkout.session.async_payment_succeeded", "checkout.session.completed",
    "checkout.session.expired", "payment_intent.payment_failed", "payment_intent.succeeded",
    "payment_method.automatically_updated", "payment_method.detached", "radar.early_fraud_warning.created",
    "refund.created", "refund.failed", "refund.updated", "setup_intent.setup_failed", "setup_intent.succeeded",
})  # fmt: skip
"""What an endpoint for payments listens to."""
TROUBLES = frozenset({"lose", "duplicate", "delay", "reorder"})
_TRIES_MAX, _PAUSE_MAX_SECONDS = 16, 300.0
_PATIENCE_SECONDS = 10.0
_IDLE_SECONDS = 0.01
_SENT_KEPT = 10_000


@dataclass(frozen=True, slots=True)
class Delivery:
    """One try to deliver an event."""

    event_id: str
    type: str
    status: int
    """What the endpoint answered; 0 when it did not."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """What goes wrong with the next deliveries of some type.

    ``lose``: never sent; ``duplicate``: sent twice; ``delay``: sent after ``seconds``; ``reorder``: held until so many
    are held, then sent the last one first.
    """

    kind: str
    times: int | None = 1
    """None: for ever. For ``reorder``: how many are held together."""
    type: str = "*"
    seconds: float = 1.0

    def __post_init__(self) -> None:
        if self.kind not in TROUBLES:
            raise ValueError(f"unknown trouble {self.kind!r}; one of {', '.join(sorted(TROUBLES))}")


class Webhooks:
    """The account's endpoint and what is on its way to it. Starts with the first event, ends with ``aclose``."""

    def __init__(
        self, store: Store, clock: Clock, *, url: str | None, secrets: Sequence[str], retry_seconds: float
    ) -> None:
        self.url = url
        self.secrets = tuple(secrets)
        self.types: Collection[str] = SUBSCRIBED
        """Which events the endpoint listens to; ``*`` among them for all."""
        self.sent: deque[Delivery] = deque(maxlen=_SENT_KEPT)
        self._store = store
        self._clock = clock
        self._retry_seconds = retry_seconds
        self._troubles: list[Trouble] = []
        self._held: list[Obj] = []
        self._open = asyncio.Event()
        self._open.set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._client: httpx.AsyncClient | None = None

    @property
    def paused(self) -> bool:
        """Whether nothing is sent."""
        return not self._open.is_set()

    @property
    def troubles(self) -> list[Trouble]:
        """What goes wrong with deliveries to come."""
        return list(self._troubles)

    def take(self, event: Obj) -> None:
        """Begin to deliver an event, if somebody listens to it."""
        if self.url is None or not ({"*", event["type"]} & set(self.types)):
            return
        event["pending_webhooks"] = 1
        trouble = self._draw(event["type"])
        self._store.notes(event)["lost"] = trouble is not None and trouble.kind == "lose"
        self._store.touch(event)
        if trouble is None:
            self._send(event)
        elif trouble.kind == "duplicate":
            self._send(event)
            self._send(event)
        elif trouble.kind == "delay":
            self._send(event, after=trouble.seconds)
        elif trouble.kind == "reorder":
            self._hold(event, last=trouble.times == 1)

    def trouble(self, kind: str, *, times: int | None = 1, type: str = "*", seconds: float = 1.0) -> None:  # noqa: A002 - an event's own word
        """Let something go wrong with deliveries to come.

        Raises:
            ValueError: there is no such trouble.
        """
        self._troubles.append(Trouble(kind, times, type, seconds))

    def clear(self) -> None:
        """End all troubles and send what they held."""
        self._troubles.clear()
        self._release()

    def pause(self) -> None:
        """Send nothing until ``resume``."""
        self._open.clear()

    def resume(self) -> None:
        """Send what waits, and go on."""
        self._open.set()

    def resend(self, event_id: str) -> None:
        """Send an event once more, delivered or not, lost ones too.

        Raises:
            LookupError: there is no such event.
        """
        event = self._store.get("event", event_id)
        if event is None:
            raise LookupError(f"no event {event_id}")
        self._send(event)

    def take_up(self) -> None:
        """Go on with what was on its way when the sandbox ended."""
        for event in list(self._store.all("event")):
            if event["pending_webhooks"] and not self._store.notes(event).get("lost"):
                self._send(event)

    async def drained(self, *, within: float = 30.0) -> None:
        """Wait until nothing is on its way.

        Raises:
            TimeoutError: something still is.
        """
        async with asyncio.timeout(within):
            while self._tasks:
                await asyncio.wait(set(self._tasks), timeout=_IDLE_SECONDS)

    async def delivered(self, event_id: str, *, within: float) -> None:
        """Wait for so long at most until an event has been taken."""
        for _ in range(int(within / _IDLE_SECONDS)):
            event = self._store.get("event", event_id)
            if event is None or not event["pending_webhooks"] or not self._open.is_set():
                return
            await asyncio.sleep(_IDLE_SECONDS)

    async def aclose(self) -> None:
        """Stop sending."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._client is not None:
            await self._client.aclose()

    def _draw(self, name: str) -> Trouble | None:
        for place, trouble in enumerate(self._troubles):
            if trouble.type in {"*", name}:
                if trouble.times is not None:
                    self._troubles[place : place + 1] = (
                        [replace(trouble, times=trouble.times - 1)] if trouble.times > 1 else []
                    )
                return trouble
        return None

    def _hold(self, event: Obj, *, last: bool) -> None:
        self._held.append(event)
        if last:
            self._release()

    def _release(self) -> None:
        held, self._held = self._held, []
        for event in reversed(held):
            self._send(event)

    def _send(self, event: Obj, *, after: float = 0.0) -> None:
        task = asyncio.get_running_loop().create_task(self._deliver(event, after))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _deliver(self, event: Obj, after: float) -> None:
        if after:
            await self._clock.sleep(after)
        for step in range(_TRIES_MAX):
            await self._open.wait()
            status = await self._post(event)
            self.sent.append(Delivery(event["id"], event["type"], status))
            if 200 <= status < 300:  # noqa: PLR2004 - HTTP's good statuses
                event["pending_webhooks"] = 0
                self._store.touch(event)
                self._store.commit()
                return
            pause = min(self._retry_seconds * 2**step, _PAUSE_MAX_SECONDS)
            await self._clock.sleep(pause * random.uniform(0.75, 1.0))  # noqa: S311 - no secret

    async def _post(self, event: Obj) -> int:
        body = json.dumps(event, indent=2).encode()
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
            "Stripe-Signature": signature(body, self.secrets, at=int(self._clock.now().timestamp())),
        }
        if self.url is None:
            return 0
        if self._client is None:
            is_secure = self.url.startswith("https:")
            self._client = httpx.AsyncClient(timeout=_PATIENCE_SECONDS, trust_env=False, verify=is_secure)
        try:
            answer = await self._client.post(self.url, content=body, headers=headers)
        except httpx.HTTPError:
            return 0
        return answer.status_code
