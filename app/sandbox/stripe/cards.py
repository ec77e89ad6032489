"""Stripe's test cards: what each number means. Any other number is refused, so that no real card is ever kept."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Decline:
    """Why a card does not pay."""

    code: str
    message: str
    decline_code: str | None = None
    advice_code: str | None = None
    param: str | None = None


def _declined(decline_code: str, advice_code: str | None, message: str = "Your card was declined.") -> Decline:
    return Decline("card_declined", message, decline_code, advice_code)


GENERIC = _declined("generic_decline", "try_again_later")
FUNDS = _declined("insufficient_funds", "try_again_later", "Your card has insufficient funds.")
LOST = _declined("lost_card", "do_not_try_again")
STOLEN = _declined("stolen_card", "do_not_try_again")
FRAUDULENT = _declined("fraudulent", "do_not_try_again")
VELOCITY = _declined("card_velocity_exceeded", "try_again_later")
EXPIRED = Decline("expired_card", "Your card has expired.", "expired_card", "confirm_card_data", "exp_month")
CVC = Decline("incorrect_cvc", "Your card's security code is incorrect.", "incorrect_cvc", "confirm_card_data", "cvc")
PROCESSING = Decline(
    "processing_error", "An error occurred while processing your card. Try again in a little bit.",
    "processing_error", "try_again_later",
)  # fmt: skip
NUMBER = Decline("incorrect_number", "Your card number is incorrect.", "incorrect_number", None, "number")
AUTHENTICATION = Decline(
    "authentication_required", "Your card was declined. This transaction requires authentication.",
    "authentication_required", None,
)  # fmt: skip
AUTHENTICATION_FAILED = Decline(
    "payment_intent_authentication_failure",
    "We are unable to authenticate your payment method. Please choose a different payment method and try again.",
)
SETUP_AUTHENTICATION_FAILED = Decline(
    "setup_intent_authentication_failure",
    "We are unable to authenticate your payment method. Please choose a different payment method and try again.",
)


@dataclass(frozen=True, slots=True)
class Card:
    """One number and what it does."""

    number: str
    brand: str = "visa"
    funding: str = "credit"
    country: str = "US"
    attach: Decline | None = None
    """Why it can't be saved."""
    charge: Decline | None = None
    authentication: str = "never"
    """``never``; ``setup``: until it was set up with it; ``always``."""
    afterwards: str = ""
    """What follows a payment: ``fraudulent``, ``inquiry``, ``product_not_received`` or ``warning``."""
    refund: str = "succeeded"
    """How a refund goes: ``succeeded``, ``pending`` and later succeeded, ``fails`` after it seemed to succeed."""

    @property
    def fingerprint(self) -> str:
        """The same for the same number, whoever's it is."""
        return hashlib.sha256(f"card {self.number}".encode()).hexdigest()[:16]

    def asks_authentication(self, *, off_session: bool, was_set_up: bool) -> bool:
        """Whether its bank wants its holder to confirm a payment."""
        return self.authentication == "always" or (self.authentication == "setup" and not (off_session and was_set_up))


def _refused(number: str, decline: Decline) -> Card:
    return Card(number, attach=decline, charge=decline)


BANK_ACCOUNT = Card("000123456789", brand="bank")
"""A bank debit: what is paid from it is known days later."""
_CARDS = (
    Card("4242424242424242"),
    Card("4000056655665556", funding="debit"),
    Card("5555555555554444", brand="mastercard"),
    Card("378282246310005", brand="amex"),
    Card("6011111111111117", brand="discover"),
    Card("4000000000000077"),
    Card("4000000000000341", charge=GENERIC),
    _refused("4000000000000002", GENERIC),
    _refused("4000000000009995", FUNDS),
    _refused("4000000000009987", LOST),
    _refused("4000000000009979", STOLEN),
    _refused("4000000000000069", EXPIRED),
    _refused("4000000000000127", CVC),
    _refused("4000000000000119", PROCESSING),
    _refused("4000000000006975", VELOCITY),
    _refused("4100000000000019", FRAUDULENT),
    _refused("4242424242424241", NUMBER),
    Card("4000002500003155", authentication="setup"),
    Card("4000002760003184", authentication="always"),
    Card("4000008260003178", charge=FUNDS, authentication="setup"),
    Card("4000000000000259", afterwards="fraudulent"),
    Card("4000000000002685", afterwards="product_not_received"),
    Card("4000000000001976", afterwards="inquiry"),
    Card("4000000000005423", afterwards="warning"),
    Card("4000000000007726", refund="pending"),
    Card("4000000000005126", refund="fails"),
    BANK_ACCOUNT,
)
_BY_NUMBER = {card.number: card for card in _CARDS}
TOKENS = {
    "pm_card_visa": "4242424242424242",
    "pm_card_mastercard": "5555555555554444",
    "pm_card_amex": "378282246310005",
    "pm_card_chargeCustomerFail": "4000000000000341",
    "pm_card_authenticationRequired": "4000002760003184",
    "pm_card_authenticationRequiredOnSetup": "4000002500003155",
    "pm_card_createDispute": "4000000000000259",
    "pm_card_createDisputeInquiry": "4000000000001976",
    "pm_card_pendingRefund": "4000000000007726",
    "pm_card_refundFail": "4000000000005126",
}
"""Payment methods that every test account has."""


def card_numbered(number: str) -> Card | None:
    """Return the card with this number, spaces or not."""
    return _BY_NUMBER.get(number.replace(" ", "").replace("-", ""))
