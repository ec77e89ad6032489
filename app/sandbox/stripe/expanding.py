"""``expand[]``: ids replaced by their objects, and parts that are shown only when asked for."""

from __future__ import annotations

import copy
from typing import Any

from app.sandbox.stripe.errors import StripeRefusal
from app.sandbox.stripe.store import Obj, Store

_DEPTH_MAX = 4
_EXPANDABLE = frozenset({
    "balance_transaction", "charge", "customer", "failure_balance_transaction", "latest_attempt", "latest_charge",
    "payment_intent", "payment_method", "setup_intent", "source", "default_payment_method", "configuration",
})  # fmt: skip


def expanded(store: Store, obj: Obj, paths: list[str]) -> Obj:
    """Return the answer with every path expanded; the objects in store stay as they are.

    Raises:
        StripeRefusal: a path leads nowhere.
    """
    answer: Obj = copy.deepcopy(obj)
    for path in paths:
        parts = path.split(".")
        if len(parts) - (parts[0] == "data") > _DEPTH_MAX:
            raise StripeRefusal(400, f"You cannot expand more than {_DEPTH_MAX} levels of a property: {path}")
        _expand(store, answer, parts, path)
    return answer


def _expand(store: Store, place: Any, parts: list[str], path: str) -> None:  # noqa: ANN401 - any JSON
    if isinstance(place, list):
        for item in place:
            _expand(store, item, parts, path)
        return
    if not parts or place is None:
        return
    name, rest = parts[0], parts[1:]
    if not isinstance(place, dict) or not _may_expand(place, name):
        raise StripeRefusal(400, f"This property cannot be expanded ({path}).", param="expand")
    if name in {"refunds", "line_items"}:
        place[name] = _part(store, place, name)
    value = place.get(name)
    if isinstance(value, str):
        place[name] = copy.deepcopy(store.find(value)) or value
    _expand(store, place[name]["data"] if name in {"refunds", "line_items"} else place.get(name), rest, path)


def _may_expand(place: Obj, name: str) -> bool:
    if name in {"refunds", "line_items"}:
        return place.get("object") == {"refunds": "charge", "line_items": "checkout.session"}[name]
    return name in place and (name in _EXPANDABLE or isinstance(place[name], (dict, list)))


def _part(store: Store, place: Obj, name: str) -> Obj:
    if name == "line_items":
        rows = copy.deepcopy(store.notes(place).get("line_items", []))
        url = f"/v1/checkout/sessions/{place['id']}/line_items"
    else:
        rows = [copy.deepcopy(row) for row in store.all("refund") if row["charge"] == place["id"]][::-1]
        url = f"/v1/charges/{place['id']}/refunds"
    return {"object": "list", "data": rows[:10], "has_more": len(rows) > 10, "url": url}  # noqa: PLR2004 - a page
