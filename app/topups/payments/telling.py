"""What is told of payments, refunds and disputes: an event each, and a mail where its owner should know."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from app import audit, mail, tenancy, wallet
from app.events import Event, record
from app.kit.clock import rfc3339
from app.kit.ids import AccountId
from app.kit.money import dollars
from app.topups.models import DisputeRow, PaymentRow, RefundRow


@dataclass(frozen=True, slots=True)
class News:
    """Something that has happened, as an event; with a template also by mail."""

    type: str
    data: Mapping[str, object]
    template: mail.TemplateName | None = None
    mailed: Mapping[str, object] = field(default_factory=dict)
    """What the mail is told beside ``data``."""
    actor: str = "stripe"
    cause: str = ""
    """What it is told of, where that is not the refund, dispute or payment that ``data`` name."""

    @property
    def key(self) -> str:
        """Names the cause of the mail: a repeat writes none."""
        of = self.cause or self.data.get("refund_id") or self.data.get("dispute_id") or self.data.get("payment_id")
        return f"{of}:{self.type}"


async def tell(session: AsyncSession, news: Sequence[News], *, account_id: AccountId, at: datetime) -> None:
    """Write events and mails in the transaction of what they tell. The caller holds the wallet's lock."""
    if not news:
        return
    events = [Event(account_id, account_id, one.type, at, actor=one.actor, data=dict(one.data)) for one in news]
    await record(session, *events)
    await audit.write(session, *(_entry(one, account_id, at=at) for one in news))
    mailed = [one for one in news if one.template is not None]
    if not mailed:
        return
    to = await tenancy.billing_addresses(session, account_id=account_id)
    balance = await wallet.get_balance(session, account_id=account_id, at=at)
    after = {"available": dollars(balance.available)} | ({"owed": dollars(balance.owed)} if balance.owed else {})
    for one in mailed:
        if one.template is not None:
            told = {**after, **one.data, **one.mailed}
            await mail.write(
                session, account_id=account_id, to=to, template=one.template, data=told, key=one.key, at=at
            )


def _entry(news: News, account_id: AccountId, *, at: datetime) -> audit.Entry:
    of = news.data.get("refund_id") or news.data.get("dispute_id") or news.data.get("payment_id") or account_id
    return audit.Entry(account_id, news.type, str(of), at, actor=news.actor, details=news.data)


def payment_news(row: PaymentRow) -> News:
    """Tell that a payment came in. A top-up's own mail is written where it was asked for."""
    data = _of_payment(row) | {"amount": dollars(row.credited), "source": row.source}
    by_hand = row.source == "checkout"
    return News(
        "payment.succeeded", data, "deposit_received" if by_hand else None, {"receipt_url": row.receipt_url or ""}
    )


def payment_failed_news(row: PaymentRow) -> News:
    """Tell that a payment which was on its way did not arrive."""
    return News("payment.failed", _of_payment(row) | {"amount": dollars(row.amount - row.tax)})


def refund_news(row: RefundRow, payment: PaymentRow, *, actor: str = "stripe") -> News | None:
    """Tell where a refund stands now; None for a state that is told by others."""
    data = _of_payment(payment) | {"refund_id": row.id, "amount": dollars(row.amount), "source": row.source}
    match row.status:
        case "held":
            return News("refund.requested", data, actor=actor)
        case "succeeded":
            return News("refund.succeeded", data, "refund_made")
        case "failed" | "canceled":
            return News("refund.failed", data | {"reason": row.failure_reason or row.status}, "refund_failed")
        case _:
            return None


def dispute_news(row: DisputeRow, payment: PaymentRow, happened: str) -> News:
    """Tell of a dispute: ``inquiry``, ``opened``, ``withdrawn``, ``reinstated`` or ``closed``."""
    data: dict[str, object] = _of_payment(payment) | {
        "dispute_id": row.id,
        "amount": dollars(row.amount),
        "reason": row.reason,
        "status": row.status,
        "withdrawn": dollars(row.withdrawn),
        "reinstated": dollars(row.reinstated),
        "due_by": row.due_by and rfc3339(row.due_by),
    }
    if happened == "opened":
        return News("dispute.opened", data, "dispute_opened")
    if happened == "closed" and row.phase == "closed":
        return News("dispute.closed", data, "dispute_closed", {"outcome": row.status})
    return News(f"dispute.{happened}", data)


def debt_news(payment: PaymentRow, *, owed: int, reason: str, at: datetime) -> News:
    """Tell that money was taken back that had been spent."""
    data = _of_payment(payment) | {"owed": dollars(owed), "reason": reason}
    return News("wallet.owed", data, "debt", cause=f"{payment.id}:{rfc3339(at)}")


def all_of(news: Iterable[News | None]) -> list[News]:
    """Return what there is to tell."""
    return [one for one in news if one is not None]


def _of_payment(row: PaymentRow) -> dict[str, object]:
    return {"payment_id": row.id, "last4": row.last4}
