"""The team table: for each team ``gpu_whitelist, max_instances, daily_budget, max_dph``, in any of its syntaxes."""

from __future__ import annotations

from typing import Final

from app.policies.imports.documents import read_document
from app.policies.imports.drafts import Draft, Reading
from app.policies.imports.fields import put_field
from app.policies.imports.keys import known_keys, note_odd_key, plain
from app.policies.imports.tree import Item, Table

TEAMS_MAX: Final = 500
_NAME_MAX: Final = 64
_WRAPPERS: Final = frozenset({"teams", "team", "policies", "team_policies", "policy"})
"""Tables that only hold the teams' own."""

_FIELDS: Final = {
    "gpu_whitelist": "gpu_whitelist",
    "gpus": "gpu_whitelist",
    "allowed_gpus": "gpu_whitelist",
    "gpu_types": "gpu_whitelist",
    "whitelist": "gpu_whitelist",
    "max_instances": "max_instances",
    "instances": "max_instances",
    "instance_limit": "max_instances",
    "max_gpus": "max_gpus",
    "daily_budget": "daily_budget_micros",
    "daily_budget_usd": "daily_budget_micros",
    "budget_per_day": "daily_budget_micros",
    "$/day": "daily_budget_micros",
    "max_$/day": "daily_budget_micros",
    "monthly_budget": "monthly_budget_micros",
    "monthly_budget_usd": "monthly_budget_micros",
    "max_$/month": "monthly_budget_micros",
    "max_dph": "max_price_micros_per_hour",
    "max_price": "max_price_micros_per_hour",
    "max_price_per_hour": "max_price_micros_per_hour",
    "max_$/hour": "max_price_micros_per_hour",
    "max_hourly": "max_price_micros_per_hour",
    "max_duration": "max_duration_seconds",
    "max_duration_seconds": "max_duration_seconds",
    "allowed_regions": "allowed_regions",
    "regions": "allowed_regions",
    "allowed_providers": "allowed_providers",
    "providers": "allowed_providers",
    "min_reliability": "min_reliability_ppm",
    "on_budget_exceeded": "on_budget_exceeded",
}


def read_team_table(text: str) -> Reading:
    """Return what a team table says of each team; nothing is raised, whatever the text."""
    table, notices = read_document(text)
    reading = Reading(notices=notices)
    for name, item in _teams(table).items.items():
        if not isinstance(item.value, Table):
            note_odd_key(name, item, notices)
        elif len(reading.drafts) >= TEAMS_MAX:
            reading.note(item.line, "too_many", f"Only the first {TEAMS_MAX} teams were read.")
            break
        else:
            reading.drafts.append(_draft(reading, name, item.value, item.line))
    return reading


def _teams(table: Table) -> Table:
    """Return the table whose keys are the teams: below ``teams`` or the like, or the whole."""
    for name, item in table.items.items():
        if plain(name) in _WRAPPERS and isinstance(item.value, Table):
            inner = item.value
            if all(isinstance(below.value, Table) for below in inner.items.values()):
                return inner
    return table


def _draft(reading: Reading, name: str, table: Table, line: int) -> Draft:
    draft = Draft("".join(filter(str.isprintable, name.strip()))[:_NAME_MAX], line)

    def unknown(key: str, item: Item) -> None:
        note_odd_key(key, item, reading.notices)

    for field, item in known_keys(table, _FIELDS, reading.notices, unknown=unknown):
        put_field(reading, draft, field, item)
    return draft
