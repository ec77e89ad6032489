"""Stripe's lists, a part at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import uuid4

from app.providers.reading import Malformed, items, mapping
from app.topups.gateway import reading
from app.topups.gateway.client import Wire
from app.topups.gateway.facts import (
    BalanceTransactionFacts,
    DisputeFacts,
    EventFacts,
    EventPage,
    FactsPage,
    PaymentBrief,
    RefundFacts,
)

if TYPE_CHECKING:
    from stripe import RequestOptions
    from stripe.params import (
        BalanceTransactionListParams,
        DisputeListParams,
        EventListParams,
        PaymentIntentListParams,
        RefundListParams,
    )

T = TypeVar("T")
LIMIT_MAX = 100
_PAGES_MAX = 1000


class Lists:
    """What Stripe lists: each method returns one part of a list, except where it says otherwise."""

    def __init__(self, wire: Wire, *, deployment: str) -> None:
        self._wire = wire
        self._deployment = deployment
        self._v1 = wire.client.v1

    async def list_payments(
        self, *, since: datetime, until: datetime, after: str | None = None, limit: int = LIMIT_MAX
    ) -> FactsPage[PaymentBrief]:
        """Return payments made from ``since`` until before ``until``, newest first."""
        params: PaymentIntentListParams = {"created": _span(since, until), "limit": limit}
        if after:
            params["starting_after"] = after
        call = self._v1.payment_intents.list_async
        return await self._page("list_payments", lambda: call(params), reading.payment_brief)

    async def list_refunds(
        self, *, since: datetime, until: datetime, after: str | None = None, limit: int = LIMIT_MAX
    ) -> FactsPage[RefundFacts]:
        """Return refunds made from ``since`` until before ``until``, newest first."""
        params: RefundListParams = {"created": _span(since, until), "limit": limit}
        if after:
            params["starting_after"] = after
        return await self._page("list_refunds", lambda: self._v1.refunds.list_async(params), reading.refund)

    async def list_disputes(
        self, *, since: datetime, until: datetime, after: str | None = None, limit: int = LIMIT_MAX
    ) -> FactsPage[DisputeFacts]:
        """Return disputes raised from ``since`` until before ``until``, newest first."""
        params: DisputeListParams = {"created": _span(since, until), "limit": limit}
        if after:
            params["starting_after"] = after
        return await self._page("list_disputes", lambda: self._v1.disputes.list_async(params), reading.dispute)

    async def list_balance_transactions(
        self, *, since: datetime, until: datetime, after: str | None = None, limit: int = LIMIT_MAX
    ) -> FactsPage[BalanceTransactionFacts]:
        """Return movements of our balance made from ``since`` until before ``until``, newest first."""
        params: BalanceTransactionListParams = {"created": _span(since, until), "limit": limit}
        if after:
            params["starting_after"] = after
        call = self._v1.balance_transactions.list_async
        return await self._page("list_balance_transactions", lambda: call(params), reading.balance_transaction)

    async def list_events(
        self,
        *,
        types: Sequence[str],
        after: str | None,
        since: datetime,
        limit: int = LIMIT_MAX,
        delivery_failed_only: bool = False,
    ) -> EventPage:
        """Return what was told after an event, else from ``since`` on: the oldest of it, oldest first.

        Stripe keeps thirty days. Without ``after`` the whole list is walked, of which only a part is kept.

        Raises:
            StripeMissing: ``after`` is forgotten; ask again without.
        """
        params: EventListParams = {"types": list(types), "created": {"gte": _seconds(since)}, "limit": limit}
        if delivery_failed_only:
            params["delivery_success"] = False
        if after is not None:
            params["ending_before"] = after
            page = await self._events(params)
            return EventPage(tuple(reversed(page.items)), has_more=page.after is not None)
        kept: deque[EventFacts] = deque(maxlen=limit)
        seen = 0
        for _ in range(_PAGES_MAX):
            page = await self._events(params)
            kept.extend(page.items)
            seen += len(page.items)
            if page.after is None:
                break
            params["starting_after"] = page.after
        return EventPage(tuple(reversed(kept)), has_more=seen > len(kept))

    async def _events(self, params: EventListParams) -> FactsPage[EventFacts]:
        return await self._page("list_events", lambda: self._v1.events.list_async(params), reading.event)

    async def _page(
        self, operation: str, call: Callable[[], Awaitable[Any]], shape: Callable[[dict[str, Any]], T]
    ) -> FactsPage[T]:
        def page(answer: Any) -> FactsPage[T]:  # noqa: ANN401 - the library's own object
            found = answer.to_dict()
            rows = [mapping(one) for one in items(found.get("data"))]
            more = found.get("has_more")
            if not isinstance(more, bool):
                raise Malformed("a list that does not say whether there is more")
            return FactsPage(tuple(shape(row) for row in rows), reading.reference(rows[-1]) if more and rows else None)

        return await self._wire.read(operation, call, page)

    async def _every(self, page_after: Callable[[str | None], Awaitable[FactsPage[T]]]) -> tuple[T, ...]:
        """Return a whole list."""
        found: list[T] = []
        after: str | None = None
        for _ in range(_PAGES_MAX):
            page = await page_after(after)
            found.extend(page.items)
            if (after := page.after) is None:
                return tuple(found)
        raise Malformed("a list without an end")


def shaped(shape: Callable[[dict[str, Any]], T]) -> Callable[[Any], T]:
    """Return the reader of one of the library's objects."""
    return lambda answer: shape(answer.to_dict())


def nothing(_answer: object) -> None:
    """Read nothing of an answer."""


def key_of(key: str | None = None) -> RequestOptions:
    """Return the options of a changing call; without a key, of one that may be made twice without harm."""
    return {"idempotency_key": key or uuid4().hex}


def _span(since: datetime, until: datetime) -> Any:  # noqa: ANN401 - each list has a type of its own for the same
    return {"gte": _seconds(since), "lt": _seconds(until)}


def _seconds(at: datetime) -> int:
    return int(at.timestamp())
