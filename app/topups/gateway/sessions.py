"""Visits to Stripe's page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from app.topups.gateway import params as stripe_params
from app.topups.gateway import reading
from app.topups.gateway.errors import StripeMissing, StripeRefused
from app.topups.gateway.facts import FactsPage, SessionFacts, SessionOrder, Visit
from app.topups.gateway.lists import LIMIT_MAX, Lists, key_of, nothing, shaped

if TYPE_CHECKING:
    from stripe.params.checkout import SessionCreateParams


class Sessions(Lists):
    """Checkout sessions: where a customer pays, or saves a card."""

    def session_order(self, visit: Visit) -> SessionOrder:
        """Return what is to be asked for a visit: keep it, so that every try asks the same."""
        params = stripe_params.session(visit, deployment=self._deployment)
        return SessionOrder(visit.checkout_id, stripe_params.canonical(params))

    async def create_session(self, order: SessionOrder) -> SessionFacts:
        """Return the session of an order: made once, read again as it was made when asked again."""
        params = cast("SessionCreateParams", stripe_params.canonical(order.params))
        return await self._wire.change(
            "create_session",
            lambda: self._v1.checkout.sessions.create_async(params, key_of(order.checkout_id)),
            shaped(reading.session),
        )

    async def get_session(self, session_id: str) -> SessionFacts:
        """Return a session as it stands."""
        return await self._wire.read(
            "get_session", lambda: self._v1.checkout.sessions.retrieve_async(session_id), shaped(reading.session)
        )

    async def find_session(self, *, customer_id: str, checkout_id: str) -> SessionFacts | None:
        """Return the session that was made for a checkout, should its answer have got lost."""

        async def part(after: str | None) -> FactsPage[SessionFacts]:
            more = {"starting_after": after} if after else {}
            params: Any = {"customer": customer_id, "limit": LIMIT_MAX, **more}
            call = self._v1.checkout.sessions.list_async
            return await self._page("find_session", lambda: call(params), reading.session)

        found = await self._every(part)
        return next((one for one in found if one.client_reference_id == checkout_id), None)

    async def expire_session(self, session_id: str) -> None:
        """End a visit that nobody has paid for. One that is over already is left as it is."""
        try:
            await self._wire.change(
                "expire_session", lambda: self._v1.checkout.sessions.expire_async(session_id, options=key_of()), nothing
            )
        except StripeMissing:
            raise
        except StripeRefused:
            if (await self.get_session(session_id)).status == "open":
                raise
