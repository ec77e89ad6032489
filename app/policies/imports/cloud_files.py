"""The ``cloud.toml`` shape: providers with filters, and a budget. It comes to the account's policy.

Each cloud of the file may be rented at, no other; of ceilings that differ the lowest holds for all. What belongs to a
single launch is no policy: it is told, with the field of POST /v1/rentals that takes it.
"""

from __future__ import annotations

from typing import Any, Final

from app import catalog
from app.policies.imports import values
from app.policies.imports.documents import read_document
from app.policies.imports.drafts import Draft, Reading
from app.policies.imports.fields import provider, put_field, regions
from app.policies.imports.keys import known_keys, note_odd_key, plain
from app.policies.imports.tree import Item, Table

_PROVIDER: Final = {
    "min_vram_gb": "min_vram_gb",
    "min_vram": "min_vram_gb",
    "max_$/hour": "max_price_micros_per_hour",
    "max_$/hr": "max_price_micros_per_hour",
    "max_dph": "max_price_micros_per_hour",
    "max_price_per_hour": "max_price_micros_per_hour",
    "filter": "filter",
    "filters": "filter",
    "location": "location",
    "min_bandwidth_gbps": "min_bandwidth_gbps",
}
_FILTER: Final = {
    "location": "location",
    "locations": "location",
    "region": "location",
    "regions": "location",
    "country": "location",
    "min_bandwidth_gbps": "min_bandwidth_gbps",
    "min_bandwidth": "min_bandwidth_gbps",
}
_BUDGET: Final = {
    "total_$/month": "monthly_budget_micros",
    "monthly_budget": "monthly_budget_micros",
    "max_$/month": "monthly_budget_micros",
    "total_$/day": "daily_budget_micros",
    "daily_budget": "daily_budget_micros",
    "alert_at_$/hour": "alert_at",
    "prefer_spot": "prefer_spot",
    "timeout_on_interrupt": "timeout_on_interrupt",
    "on_budget_exceeded": "on_budget_exceeded",
}
_SCRIPT_SECONDS_MAX: Final = 600
_MBPS_PER_GBPS: Final = 1000


def read_cloud_file(text: str) -> Reading:
    """Return what a cloud file says; nothing is raised, whatever the text."""
    table, notices = read_document(text)
    reading, draft = Reading(notices=notices), Draft(None, 1)
    for name, item in table.items.items():
        match plain(name), item.value:
            case "providers" | "provider" | "clouds", Table() as below:
                _read_providers(reading, draft, below)
            case "budget" | "budgets", Table() as below:
                _read_budget(reading, draft, below)
            case _:
                _unknown(reading, name, item)
    if draft.changes:
        reading.drafts.append(draft)
    return reading


def _read_providers(reading: Reading, draft: Draft, table: Table) -> None:
    allowed: dict[str, int] = {}
    for name, item in table.items.items():
        known = provider(reading, name, item.line)
        if known is not None:
            allowed.setdefault(known, item.line)
        if isinstance(item.value, Table):
            _read_provider(reading, draft, item.value, counts=known is not None)
    if allowed:
        draft.put("allowed_providers", tuple(allowed), next(iter(allowed.values())))


def _read_provider(reading: Reading, draft: Draft, table: Table, *, counts: bool) -> None:
    """Read one cloud's settings; of one that nothing is rented at only the credentials are warned of."""
    reader = reading if counts else Reading()
    aim = draft if counts else Draft(None, 1)
    for key, item in known_keys(table, _PROVIDER, reading.notices, unknown=lambda *odd: _unknown(reader, *odd)):
        if key == "filter" and isinstance(item.value, Table):
            for name, one in known_keys(
                item.value, _FILTER, reader.notices, unknown=lambda *odd: _unknown(reader, *odd)
            ):
                _put(reader, aim, name, one)
        else:
            _put(reader, aim, key, item)


def _read_budget(reading: Reading, draft: Draft, table: Table) -> None:
    for key, item in known_keys(table, _BUDGET, reading.notices, unknown=lambda *odd: _unknown(reading, *odd)):
        _put(reading, draft, key, item)


def _put(reading: Reading, draft: Draft, key: str, item: Item) -> None:
    match key:
        case "max_price_micros_per_hour":
            _tighten_price(reading, draft, item)
        case "location":
            _add_regions(reading, draft, item)
        case "min_vram_gb":
            _allow_memory(reading, draft, item)
        case "alert_at":
            message = (
                "No policy holds an alert on dollars an hour: leads are told when a budget will not last its period."
            )
            reading.note(item.line, "not_a_policy", f"alert_at_$/hour was left out. {message}")
        case "prefer_spot":
            _default(reading, key, item, {"spot": "prefer" if item.value is True else "never"})
        case "timeout_on_interrupt":
            span = values.seconds(item)
            seconds = None if span is None else min(span, _SCRIPT_SECONDS_MAX)
            _default(reading, key, item, {} if seconds is None else {"timeout_on_interrupt": seconds})
        case "min_bandwidth_gbps":
            gbps = values.money(item)  # in millionths, as amounts are
            _default(reading, key, item, {} if gbps is None else {"min_inet_mbps": gbps * _MBPS_PER_GBPS // 1_000_000})
        case _:
            put_field(reading, draft, key, item)


def _tighten_price(reading: Reading, draft: Draft, item: Item) -> None:
    price = values.money(item)
    if not price:
        put_field(reading, draft, "max_price_micros_per_hour", item)
    elif draft.tighten("max_price_micros_per_hour", price, item.line):
        reading.note(
            item.line, "lowest_holds", "Clouds have different ceilings; a policy has one: the lowest holds for all."
        )


def _add_regions(reading: Reading, draft: Draft, item: Item) -> None:
    named = regions(reading, item)
    if named is None:
        put_field(reading, draft, "allowed_regions", item)
        return
    before = draft.changes.get("allowed_regions", ())
    if before and set(before) != set(named):
        reading.note(item.line, "all_hold", "Clouds have different locations; a policy has one list: all of them.")
    draft.put("allowed_regions", tuple(dict.fromkeys((*before, *named))), item.line)


def _allow_memory(reading: Reading, draft: Draft, item: Item) -> None:
    """Allow the families with so much memory; of several amounts the largest holds, which allows the fewest."""
    least = values.count(item)
    allowed = () if least is None else tuple(family.slug for family in catalog.families_with_vram(least))
    if not allowed:
        reading.note(item.line, "value_left_out", "min_vram_gb must be what some GPU has; it was left out.")
        return
    before = draft.changes.get("gpu_whitelist")
    if before is not None and set(before) != set(allowed):
        reading.note(
            item.line, "lowest_holds", "Clouds ask for different memory; the most that is asked for holds for all."
        )
    if before is None or len(allowed) < len(before):
        draft.put("gpu_whitelist", allowed, item.line)


def _default(reading: Reading, key: str, item: Item, told: dict[str, Any]) -> None:
    reading.launch_defaults |= told
    into = " and ".join(told) or "nothing"
    reading.note(item.line, "not_a_policy", f"{key} is no policy: it belongs into each launch, as {into}.")


def _unknown(reading: Reading, key: str, item: Item) -> None:
    note_odd_key(key, item, reading.notices)
