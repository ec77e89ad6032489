"""Payments at Stripe, and money on its way back."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any, Literal, cast

import stripe

from app.providers.reading import mapping, maybe, name, text
from app.topups.gateway import params as stripe_params
from app.topups.gateway import reading
from app.topups.gateway.errors import StripeMissing, StripeRefused
from app.topups.gateway.facts import (
    ChargeOrder,
    ChargeOutcome,
    DisputeFacts,
    FactsPage,
    PaymentBrief,
    PaymentFacts,
    RefundFacts,
    RefundOrder,
)
from app.topups.gateway.lists import LIMIT_MAX, Lists, key_of, nothing, shaped

_CLOCK_SLACK = timedelta(days=1)
"""Stripe's clock is not ours: lists that look for something of ours begin so much earlier."""
_AUTHENTICATE = "authentication_required"
_CANCELED = "canceled"


class Payments(Lists):
    """PaymentIntents with their charges, refunds and disputes."""

    async def charge(self, order: ChargeOrder) -> ChargeOutcome:
        """Charge a card whose owner is not present.

        Raises:
            StripeUnknown: it may have been charged: ask again with the same order, or ``find_charge``.
            StripeMissing: the card or the customer does not exist any more.
        """
        params = stripe_params.charge(order, deployment=self._deployment)

        async def asked() -> ChargeOutcome:
            try:
                made = await self._v1.payment_intents.create_async(params, key_of(order.attempt_id))
            except stripe.CardError as error:
                return _declined(error)
            brief = reading.payment_brief(made.to_dict())
            return ChargeOutcome(_state(brief), brief.payment_intent_id)

        return await self._wire.change("charge", asked, lambda outcome: cast("ChargeOutcome", outcome))

    async def find_charge(self, *, customer_id: str, attempt_id: str, since: datetime) -> PaymentFacts | None:
        """Return the payment that an attempt made, should its answer have got lost."""
        begin = int((since - _CLOCK_SLACK).timestamp())

        async def part(after: str | None) -> FactsPage[PaymentBrief]:
            more = {"starting_after": after} if after else {}
            params: Any = {"customer": customer_id, "created": {"gte": begin}, "limit": LIMIT_MAX, **more}
            call = self._v1.payment_intents.list_async
            return await self._page("find_charge", lambda: call(params), reading.payment_brief)

        found = await self._every(part)
        made = next((one for one in found if one.metadata.get("attempt_id") == attempt_id), None)
        return None if made is None else await self.get_payment(made.payment_intent_id)

    async def cancel_payment(self, payment_intent_id: str) -> None:
        """See to it that a payment can't succeed any more. One that is cancelled already is left as it is.

        Raises:
            StripeRefused: it has succeeded, or may still.
        """
        try:
            await self._wire.change(
                "cancel_payment",
                lambda: self._v1.payment_intents.cancel_async(payment_intent_id, options=key_of()),
                nothing,
            )
        except StripeMissing:
            raise
        except StripeRefused:
            if (await self._get_intent(payment_intent_id)).get("status") != _CANCELED:
                raise

    async def get_payment(self, payment_intent_id: str) -> PaymentFacts:
        """Return everything about a payment. What belongs to it is asked for last, so that it is no older."""
        intent = await self._get_intent(payment_intent_id)
        refunds, disputes, tax = await asyncio.gather(
            self._refunds_of(payment_intent_id),
            self._disputes_of(payment_intent_id),
            self._tax_of(payment_intent_id, by_checkout="checkout_id" in (intent.get("metadata") or {})),
        )
        return reading.payment(intent, tax=tax, refunds=refunds, disputes=disputes)

    async def get_payment_of_charge(self, charge_id: str) -> str | None:
        """Return the payment that a charge belongs to; None when it was made without one."""
        return await self._wire.read(
            "get_charge",
            lambda: self._v1.charges.retrieve_async(charge_id),
            shaped(lambda found: reading.reference(found.get("payment_intent"))),
        )

    async def create_refund(self, order: RefundOrder) -> RefundFacts:
        """Return the refund of an order: made once, however often it is asked for.

        Raises:
            StripeUnknown: it may have been made: ask again with the same order, or ``find_refund``.
            StripeRefused: by its code the charge is disputed, refunded already, or worth less than this.
        """
        params = stripe_params.refund(order, deployment=self._deployment)
        return await self._wire.change(
            "create_refund",
            lambda: self._v1.refunds.create_async(params, key_of(f"refund:{order.refund_id}")),
            shaped(reading.refund),
        )

    async def find_refund(self, *, payment_intent_id: str, refund_id: str) -> RefundFacts | None:
        """Return the refund that was made for one of ours, should its answer have got lost."""
        found = await self._refunds_of(payment_intent_id)
        return next((one for one in found if one.metadata.get("refund_id") == refund_id), None)

    async def get_refund(self, refund_id: str) -> RefundFacts:
        """Return a refund by Stripe's id."""
        return await self._wire.read(
            "get_refund", lambda: self._v1.refunds.retrieve_async(refund_id), shaped(reading.refund)
        )

    async def get_dispute(self, dispute_id: str) -> DisputeFacts:
        """Return a dispute by Stripe's id."""
        return await self._wire.read(
            "get_dispute", lambda: self._v1.disputes.retrieve_async(dispute_id), shaped(reading.dispute)
        )

    async def _get_intent(self, payment_intent_id: str) -> dict[str, Any]:
        call = self._v1.payment_intents.retrieve_async
        return await self._wire.read(
            "get_payment", lambda: call(payment_intent_id, {"expand": ["latest_charge"]}), shaped(dict)
        )

    async def _refunds_of(self, payment_intent_id: str) -> tuple[RefundFacts, ...]:
        async def part(after: str | None) -> FactsPage[RefundFacts]:
            more = {"starting_after": after} if after else {}
            params: Any = {"payment_intent": payment_intent_id, "limit": LIMIT_MAX, **more}
            return await self._page("get_payment", lambda: self._v1.refunds.list_async(params), reading.refund)

        return await self._every(part)

    async def _disputes_of(self, payment_intent_id: str) -> tuple[DisputeFacts, ...]:
        async def part(after: str | None) -> FactsPage[DisputeFacts]:
            more = {"starting_after": after} if after else {}
            params: Any = {"payment_intent": payment_intent_id, "limit": LIMIT_MAX, **more}
            return await self._page("get_payment", lambda: self._v1.disputes.list_async(params), reading.dispute)

        return await self._every(part)

    async def _tax_of(self, payment_intent_id: str, *, by_checkout: bool) -> int:
        """Return the tax in a payment: only the page where it was paid knows, since nothing else of ours takes any."""
        if not by_checkout:
            return 0
        call = self._v1.checkout.sessions.list_async
        page = await self._page(
            "get_payment", lambda: call({"payment_intent": payment_intent_id, "limit": 1}), reading.session
        )
        return page.items[0].amount_tax if page.items else 0


def _state(brief: PaymentBrief) -> Literal["succeeded", "processing", "declined", "action_required"]:
    match brief.status:
        case "succeeded":
            return "succeeded"
        case "requires_action":
            return "action_required"
        case "requires_payment_method" | "canceled":
            return "declined"
        case _:
            return "processing"


def _declined(error: stripe.CardError) -> ChargeOutcome:
    told = mapping(mapping(error.json_body).get("error"))
    intent = told.get("payment_intent")
    code, decline_code = _word(told.get("code")), _word(told.get("decline_code"))
    return ChargeOutcome(
        "action_required" if _AUTHENTICATE in (code, decline_code) else "declined",
        reading.reference(intent),
        decline_code or code,
        _word(told.get("advice_code")),
        maybe(text, told.get("message")),
    )


def _word(value: object) -> str | None:
    return maybe(name, value)
