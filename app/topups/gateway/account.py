"""The gateway: everything this service asks of Stripe. Takes and gives micro-dollars; cents stay inside.

Every object that we make carries the account, the deployment and our own id in its metadata, and every call that makes
one carries a key that follows from our own id: asked twice, Stripe has made it once.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import stripe

from app.topups.gateway.client import OnCall, Wire, is_loopback
from app.topups.gateway.customers import Customers
from app.topups.gateway.facts import EventFacts
from app.topups.gateway.payments import Payments
from app.topups.gateway.sessions import Sessions
from app.topups.gateway.signatures import verified_event

API_VERSION: Final = str(stripe.api_version)
"""The version of Stripe's API that we speak; an event made for another one is still good for its ids."""
LIVE_KEYS = ("sk_live_", "rk_live_")


class LiveKeyError(Exception):
    """A live key was given for a Stripe on this machine: it would be told to whoever listens there."""


class Stripe(Customers, Sessions, Payments):
    """One account at Stripe. Make it inside the running loop, and close it there."""

    def __init__(
        self,
        api_key: str,
        *,
        base_url: str = "https://api.stripe.com",
        webhook_secrets: Sequence[str] = (),
        timeout_seconds: float = 20,
        deployment: str = "",
        on_call: OnCall | None = None,
    ) -> None:
        """Take the key and where Stripe is.

        Raises:
            LiveKeyError: a live key together with an address of this machine.
        """
        self.livemode = api_key.startswith(LIVE_KEYS)
        if self.livemode and is_loopback(base_url):
            raise LiveKeyError("a live key is never sent to this machine: use sk_test_… with it")
        self._webhook_secrets = tuple(webhook_secrets)
        wire = Wire(api_key, base_url=base_url.rstrip("/"), timeout_seconds=timeout_seconds, on_call=on_call)
        super().__init__(wire, deployment=deployment)

    async def aclose(self) -> None:
        """Close every connection."""
        await self._wire.aclose()

    def construct_event(self, body: bytes, signature: str | None, *, at: datetime) -> EventFacts:
        """Return the event in a message that Stripe has signed about now, with any of our secrets.

        Raises:
            InvalidSignature: it has not, or not about now.
            MalformedEvent: it has, but there is no event in it that we can read.
        """
        return verified_event(body, signature, self._webhook_secrets, at=at)
