"""Ids: a prefix, an underscore and a ULID; the same text in URL, log, row and provider marker."""

from __future__ import annotations

import re
from typing import ClassVar, Self

from ulid import ULID

_BODY = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}", re.ASCII)


class Id(str):
    """A typed id. Subclasses name their prefix; the body is canonical upper-case Crockford base 32."""

    __slots__ = ()
    prefix: ClassVar[str] = ""

    @classmethod
    def new(cls) -> Self:
        """Return a fresh id, ordered by the time it was made."""
        return cls(f"{cls.prefix}_{ULID()}")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the canonical id for a text in any case.

        Raises:
            ValueError: another prefix, or a body that is no ULID.
        """
        head, _, body = text.partition("_")
        body = body.upper()
        if head.lower() != cls.prefix or not _BODY.fullmatch(body):
            raise ValueError(f"must be an id of the form {cls.prefix}_ and 26 characters")
        return cls(f"{cls.prefix}_{body}")


class AccountId(Id):
    """A tenant."""

    prefix = "acct"


class UserId(Id):
    """A person."""

    prefix = "usr"


class ApiKeyId(Id):
    """An API key (not its secret)."""

    prefix = "key"


class TransferId(Id):
    """One movement in the ledger."""

    prefix = "led"


class RentalId(Id):
    """A rental."""

    prefix = "rent"


class ListingId(Id):
    """One provider's offer within a family."""

    prefix = "lst"


class QuoteId(Id):
    """A locked listing and price."""

    prefix = "quote"


class SshKeyId(Id):
    """A public SSH key of an account."""

    prefix = "sshk"


class TemplateId(Id):
    """A launch template."""

    prefix = "tpl"


class EventId(Id):
    """One entry of the outbox."""

    prefix = "evt"


def new_request_id() -> str:
    """Return an id for one request, for logs and answers."""
    return f"req_{ULID()}"


class LotId(Id):
    """One lot of credit."""

    prefix = "lot"


class MailId(Id):
    """One e-mail."""

    prefix = "mail"


class TopupId(Id):
    """One attempt to top a wallet up from its card."""

    prefix = "tup"


class CheckoutId(Id):
    """One visit to a page where a card pays, or is saved."""

    prefix = "chk"


class PaymentId(Id):
    """One payment by card."""

    prefix = "pay"


class RefundId(Id):
    """One refund of a payment."""

    prefix = "rfd"


class DisputeId(Id):
    """One dispute of a payment."""

    prefix = "dsp"


class TeamId(Id):
    """A part of an account, with members, a policy and a budget."""

    prefix = "team"


class InvitationId(Id):
    """An invitation to an account."""

    prefix = "inv"


class SessionId(Id):
    """A signed-in browser."""

    prefix = "ses"


class AuditId(Id):
    """One entry of an account's audit."""

    prefix = "aud"


class WebhookId(Id):
    """A customer's webhook endpoint."""

    prefix = "whk"


class DeliveryId(Id):
    """One event on its way to one webhook endpoint."""

    prefix = "dlv"


class ChangeRequestId(Id):
    """A request for another policy."""

    prefix = "chg"
