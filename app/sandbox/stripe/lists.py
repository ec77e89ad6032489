"""Lists: newest first, by pages between two ids."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from app.sandbox.stripe.errors import StripeRefusal, missing
from app.sandbox.stripe.forms import Params
from app.sandbox.stripe.store import Obj

_LIMIT, _LIMIT_MAX = 10, 100


def page(found: Iterable[Obj], params: Params, url: str, *, noun: str) -> Obj:
    """Return one page of objects that come oldest first."""
    limit = _LIMIT if params.get("limit") is None else params["limit"]
    if not 1 <= limit <= _LIMIT_MAX:
        raise StripeRefusal(
            400, f"This value must be between 1 and {_LIMIT_MAX}.", code="parameter_invalid_integer", param="limit"
        )
    rows = [row for row in found if _created_within(row, params.get("created"))][::-1]
    after, before = params.get("starting_after"), params.get("ending_before")
    if after and before:
        raise StripeRefusal(400, "You may only specify one of these parameters: ending_before, starting_after.")
    if before:
        rows = rows[: _place(rows, before, noun, "ending_before")]
        return _list(rows[-limit:], more=len(rows) > limit, url=url)
    if after:
        rows = rows[_place(rows, after, noun, "starting_after") + 1 :]
    return _list(rows[:limit], more=len(rows) > limit, url=url)


def matching(rows: Iterable[Obj], params: Params, *fields: str) -> list[Obj]:
    """Return the objects whose fields are what the parameters of the same name say."""
    wanted = {name: params[name] for name in fields if params.get(name) is not None}
    return [row for row in rows if all(row.get(name) == value for name, value in wanted.items())]


def _list(data: list[Obj], *, more: bool, url: str) -> Obj:
    return {"object": "list", "data": data, "has_more": more, "url": url}


def _place(rows: list[Obj], object_id: str, noun: str, param: str) -> int:
    for place, row in enumerate(rows):
        if row["id"] == object_id:
            return place
    raise missing(noun, object_id, param=param)


def _created_within(row: Obj, bounds: dict[str, Any] | None) -> bool:
    created = row.get("created", 0)
    tests = {
        "equal": lambda bound: created == bound,
        "gt": lambda bound: created > bound,
        "gte": lambda bound: created >= bound,
        "lt": lambda bound: created < bound,
        "lte": lambda bound: created <= bound,
    }
    return all(tests[name](bound) for name, bound in (bounds or {}).items() if bound is not None)
