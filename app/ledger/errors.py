"""What can go wrong when money moves."""

from __future__ import annotations


class OverdrawnError(Exception):
    """The movement would take a bucket below zero, or make money available while something is owed."""

    def __init__(self, *, available: int, reserved: int, owed: int) -> None:
        super().__init__("the movement would overdraw the wallet")
        self.available, self.reserved, self.owed = available, reserved, owed


class KeyReusedError(Exception):
    """The idempotency key already stands for another movement: a mistake of the caller, nothing was moved."""


class NoWalletError(Exception):
    """The account has no wallet, or this transaction may not see it."""


class FrozenError(Exception):
    """The wallet is frozen while a difference in its books is looked into: nothing new is reserved from it."""


class RestrictedError(Exception):
    """A payment of the account is disputed: nothing new is reserved from its wallet until that is settled."""


class TwinPostedError(Exception):
    """Another transaction posted the same key in the same moment; this one can be run again, whole."""

    sqlstate = "40001"
    """Told as a serialization failure, so that whole transactions are retried on it."""
