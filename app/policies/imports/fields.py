"""One field of a policy out of a file: read, checked, and told where it makes no sense. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from app import catalog
from app.policies.imports import values
from app.policies.imports.drafts import Draft, Reading
from app.policies.imports.keys import shown
from app.policies.imports.tree import Item
from app.policies.terms import OnExceeded

PROVIDERS: Final[Mapping[str, str]] = {
    "vast": "vast",
    "vastai": "vast",
    "vast.ai": "vast",
    "vast_ai": "vast",
    "runpod": "runpod",
    "runpod.io": "runpod",
    "lambda": "lambda",
    "lambdalabs": "lambda",
    "lambda_labs": "lambda",
    "lambda_cloud": "lambda",
    "hyperstack": "hyperstack",
    "modal": "modal",
    "manual": "manual",
}
"""What clouds are called → their names here."""

_ALERTS: Final = {
    "alert": OnExceeded.ALERT,
    "notify": OnExceeded.ALERT,
    "warn": OnExceeded.ALERT,
    "pause": OnExceeded.PAUSE_NEW,
    "pause_new": OnExceeded.PAUSE_NEW,
    "stop": OnExceeded.STOP_ALL,
    "stop_all": OnExceeded.STOP_ALL,
    "kill": OnExceeded.STOP_ALL,
}
_LABEL_MAX: Final = 64
_MINUTE: Final = 60


def put_field(reading: Reading, draft: Draft, name: str, item: Item) -> None:
    """Put one field into a draft; what makes no sense is told and left out, and the policy's own stays."""
    if item.value is None and name != "on_budget_exceeded":
        reading.note(item.line, "no_limit_left_out", f"{name} is given no value; what the policy says of it stays.")
        return
    read, wanted = _READERS[name]
    value = read(reading, item)
    if value is None:
        reading.note(item.line, "value_left_out", f"{name} must be {wanted}; what the policy says of it stays.")
    else:
        draft.put(name, value, item.line)


def families(reading: Reading, item: Item) -> tuple[str, ...] | None:
    """Return slugs of families; names that nobody knows are told. None when none is left of some."""
    found: list[str] = []
    listed = values.words(item)
    for one in listed or ():
        family = catalog.find_family(str(one.value))
        if family is None:
            name = shown(str(one.value))
            reading.note(one.line, "unknown_family", f"No GPU family is called {name!r}; it is not in the whitelist.")
        else:
            found.append(family.slug)
    if listed is None or (listed and not found):
        return None
    return tuple(dict.fromkeys(found))


def provider(reading: Reading, name: str, line: int) -> str | None:
    """Return our name of a cloud; None, and told, for one that nothing is rented at."""
    known = PROVIDERS.get(name.strip().lower().replace("-", "_").replace(" ", "_"))
    if known is None:
        reading.note(line, "unknown_provider", f"Nothing is rented at {shown(name)!r}; it was left out.")
    return known


def regions(_: Reading, item: Item) -> tuple[str, ...] | None:
    """Return region ids and country codes."""
    named = [str(one.value).strip() for one in values.words(item) or ()]
    if not named or any(len(name) > _LABEL_MAX or not name.isprintable() for name in named):
        return None
    return tuple(dict.fromkeys(name.upper() if len(name) == len("US") else name for name in named))


def _providers(reading: Reading, item: Item) -> tuple[str, ...] | None:
    found = [provider(reading, str(one.value), one.line) for one in values.words(item) or ()]
    return tuple(dict.fromkeys(name for name in found if name)) or None


def _on_exceeded(_: Reading, item: Item) -> OnExceeded | None:
    return _ALERTS.get(str(item.value).strip().lower().replace("-", "_").replace(" ", "_"))


def _price(_: Reading, item: Item) -> int | None:
    return values.money(item) or None


def _duration(_: Reading, item: Item) -> int | None:
    span = values.seconds(item)
    return span if span is not None and _MINUTE <= span <= 365 * 86_400 else None


_MONEY: Final = (lambda _, item: values.money(item), "an amount in dollars, such as 50 or 12.50")
_COUNT: Final = (lambda _, item: values.count(item), "a whole number")
_READERS: Final[Mapping[str, tuple[Callable[[Reading, Item], Any], str]]] = {
    "gpu_whitelist": (families, "a list of GPU families of which at least one is known"),
    "max_instances": _COUNT,
    "max_gpus": _COUNT,
    "daily_budget_micros": _MONEY,
    "monthly_budget_micros": _MONEY,
    "max_price_micros_per_hour": (_price, "a price in dollars an hour, above nothing"),
    "max_duration_seconds": (_duration, "from a minute to a year, such as 8h"),
    "allowed_regions": (regions, "a list of region ids or country codes"),
    "allowed_providers": (_providers, "a list of clouds of which at least one is known"),
    "min_reliability_ppm": (lambda _, item: values.share(item), "a part of 1, or in per cent"),
    "on_budget_exceeded": (_on_exceeded, "alert, pause_new or stop_all"),
}
