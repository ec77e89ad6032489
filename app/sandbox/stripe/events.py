"""The account's events of the last 30 days."""

from __future__ import annotations

from app.sandbox.stripe import lists
from app.sandbox.stripe.books import Books, StripeCall
from app.sandbox.stripe.errors import StripeRefusal, missing
from app.sandbox.stripe.forms import LIST, Spec
from app.sandbox.stripe.store import Obj

LIST_SPEC: Spec = LIST | {"type": str, "types": [str], "delivery_success": bool}
_KEPT_SECONDS = 30 * 86_400
_TYPES_MAX = 20


class Events:
    """What happened."""

    def __init__(self, books: Books) -> None:
        self._books = books

    def get(self, call: StripeCall) -> Obj:
        """``GET /v1/events/{id}``."""
        event = self._books.need("event", call.id)
        if event["created"] < self._books.now() - _KEPT_SECONDS:
            raise missing("event", call.id)
        return event

    def list(self, call: StripeCall) -> Obj:
        """``GET /v1/events``."""
        params = call.params
        types = params.get("types", [])
        if types and params.get("type"):
            raise StripeRefusal(400, "You may only specify one of these parameters: type, types.")
        if len(types) > _TYPES_MAX:
            raise StripeRefusal(400, f"You may pass up to {_TYPES_MAX} types.", param="types")
        oldest = self._books.now() - _KEPT_SECONDS
        rows = [row for row in self._books.store.all("event") if row["created"] >= oldest]
        cursor = params.get("ending_before") or params.get("starting_after")
        wanted = {*types, *([params["type"]] if params.get("type") else [])}
        # The cursor need not be of the types that are asked for.
        rows = [row for row in rows if row["id"] == cursor or self._fits(row, wanted, params.get("delivery_success"))]
        return lists.page(rows, params, "/v1/events", noun="event")

    def _fits(self, row: Obj, types: set[str], delivered: bool | None) -> bool:  # noqa: FBT001 - None is a third case
        return (not types or row["type"] in types) and (
            delivered is None or delivered == (row["pending_webhooks"] == 0)
        )
