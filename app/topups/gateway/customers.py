"""Customers and their cards at Stripe."""

from __future__ import annotations

from typing import Any

from app.providers.reading import name as named
from app.topups.gateway import params as stripe_params
from app.topups.gateway import reading
from app.topups.gateway.errors import StripeMissing, StripeRefused
from app.topups.gateway.facts import CardFacts, FactsPage, SetupFacts
from app.topups.gateway.lists import LIMIT_MAX, Lists, key_of, nothing, shaped


class Customers(Lists):
    """Who an account is at Stripe, and with which cards."""

    async def create_customer(self, *, account_id: str, email: str, name: str) -> str:
        """Return the id of an account's customer, who is made once however often this is asked with the same words."""
        params = stripe_params.customer(account_id=account_id, email=email, name=name, deployment=self._deployment)
        return await self._wire.change(
            "create_customer",
            lambda: self._v1.customers.create_async(params, key_of(f"customer:{account_id}")),
            shaped(_id),
        )

    async def find_customer(self, *, account_id: str, email: str) -> str | None:
        """Return the customer that was made for an account, should its id have got lost."""
        page = await self._page(
            "find_customer",
            lambda: self._v1.customers.list_async({"email": email, "limit": LIMIT_MAX}),
            lambda found: (_id(found), (found.get("metadata") or {}).get("account_id")),
        )
        return next((customer_id for customer_id, owner in page.items if owner == account_id), None)

    async def get_card(self, pm_id: str) -> CardFacts | None:
        """Return a card; None when the id is something other than a card's."""
        return await self._wire.read(
            "get_card", lambda: self._v1.payment_methods.retrieve_async(pm_id), shaped(reading.card)
        )

    async def list_cards(self, customer_id: str) -> list[CardFacts]:
        """Return every card of a customer."""

        async def part(after: str | None) -> FactsPage[CardFacts | None]:
            call = self._v1.customers.payment_methods.list_async
            more = {"starting_after": after} if after else {}
            params: Any = {"type": "card", "limit": LIMIT_MAX, **more}
            return await self._page("list_cards", lambda: call(customer_id, params), reading.card)

        return [card for card in await self._every(part) if card is not None]

    async def detach_card(self, pm_id: str) -> None:
        """Take a card from its customer. One that has none already is left as it is."""
        try:
            await self._wire.change(
                "detach_card", lambda: self._v1.payment_methods.detach_async(pm_id, options=key_of()), nothing
            )
        except StripeMissing:
            return
        except StripeRefused:
            card = await self.get_card(pm_id)
            if card is not None and card.customer_id is not None:
                raise

    async def get_setup(self, setup_intent_id: str) -> SetupFacts:
        """Return how the saving of a card went."""
        return await self._wire.read(
            "get_setup", lambda: self._v1.setup_intents.retrieve_async(setup_intent_id), shaped(reading.setup)
        )

    async def create_portal_session(self, *, customer_id: str, return_url: str) -> str:
        """Return the address of the page where a customer manages cards: a secret, for its owner only."""
        return await self._wire.change(
            "create_portal_session",
            lambda: self._v1.billing_portal.sessions.create_async(
                {"customer": customer_id, "return_url": return_url}, key_of()
            ),
            shaped(lambda found: str(found["url"])),
        )


def _id(found: reading.Record) -> str:
    return named(found.get("id"))
