"""What can be said against a rule for auto-top-up.

AppError
├── CardRequired         402   there is no saved card to charge
└── UnknownCard          422   the body names a card that the account does not have
"""

from __future__ import annotations

from app.kit.errors import AppError


class CardRequired(AppError):
    """The account has no saved card that could be charged."""

    status = 402
    code = "card_required"
    suggestion = "Save a card first: POST /v1/billing/setup-sessions, or a deposit with save_card."


class UnknownCard(AppError):
    """The body names a card that this account does not have."""

    status = 422
    code = "validation_failed"
    suggestion = "Take one of GET /v1/billing/payment-methods."
