"""The wallet room's errors."""

from __future__ import annotations

from app.kit.errors import AppError
from app.kit.money import dollars


class InsufficientBalance(AppError):
    """The wallet's available balance does not cover one hour of this rental."""

    status = 402
    code = "insufficient_balance"
    suggestion = "Deposit at least the shortfall, or choose a cheaper listing."

    @classmethod
    def of(cls, *, required: int, available: int, owed: int = 0) -> InsufficientBalance:
        """Return the error with its three figures, in dollars on the wire."""
        shortfall = max(0, required + owed - available)
        extra = {"required": dollars(required), "available": dollars(available), "shortfall": dollars(shortfall)}
        if owed:
            extra["owed"] = dollars(owed)
        return cls(
            f"One hour costs {dollars(required)} and {dollars(available)} is available.",
            extra=extra,
        )

    @classmethod
    def of_dearer(cls, *, required: int, available: int, owed: int) -> InsufficientBalance:
        """Return the error for an hour at a dearer rate, a part of which is held already."""
        told = cls.of(required=required, available=available, owed=owed)
        told.detail = f"An hour of this needs {dollars(required)} more and {dollars(available)} is available."
        return told

    @classmethod
    def of_refund(cls, *, required: int, available: int) -> InsufficientBalance:
        """Return the error for a refund of more than is left of its payment."""
        told = cls.of(required=required, available=available)
        told.detail = f"{dollars(required)} is to be refunded and {dollars(available)} of the payment is left."
        return told


class WalletLocked(AppError):
    """The wallet is frozen while a difference in its books is looked into; running rentals go on."""

    status = 423
    code = "locked"
    suggestion = "Contact the operator; nothing is lost."


class WalletRestricted(WalletLocked):
    """A payment is disputed: no new rentals and no renewals until it is settled; running rentals keep what is held."""

    suggestion = "Withdraw the dispute at your bank, or wait for its outcome."
