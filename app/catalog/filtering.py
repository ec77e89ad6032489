"""What is wanted as SQL: one set of conditions for matching, lists and facets, so that they never disagree.

Statements are text for the driver's positional parameters; only names of ours are ever part of the text. The
listings are called ``l`` in them.
"""

from __future__ import annotations

from datetime import datetime

from app.catalog.listing import LISTING_FIELDS, Wanted
from app.catalog.normalising import HOURS_PER_MONTH, TIERS, cuda_rank

BYTES_PER_GB, BYTES_PER_MIB = 10**9, 2**20

_ELSEWHERE = {
    "observed_at": "COALESCE(l.gone_at, p.last_success_at, l.changed_at) AS observed_at",
    "paused": "p.paused",
    "provider_title": "p.capability ->> 'title' AS provider_title",
    "launch_success_ppm": "h.launch_success_ppm",
    "provision_seconds_p50": "h.provision_seconds_p50",
    "interruptions_per_hour_ppm": "h.interruptions_per_hour_ppm",
    "tries_permille": "COALESCE(h.tries_permille, 1000) AS tries_permille",
}
LISTING_COLUMNS = ", ".join(_ELSEWHERE.get(name, f"l.{name}") for name in LISTING_FIELDS)
LISTING_JOINS = (
    "JOIN provider_states p ON p.provider = l.provider "
    "LEFT JOIN machine_health h ON h.provider = l.provider AND h.family = l.family AND h.spot = l.spot"
)


class Parameters:
    """The positional parameters of one statement, collected while its text is built."""

    def __init__(self) -> None:
        self.values: list[object] = []

    def bind(self, value: object, kind: str) -> str:
        """Keep a value and return the text that stands for it."""
        self.values.append(value)
        return f"${len(self.values)}::{kind}"


def all_in_sql(disk_gb: str) -> str:
    """Return ``all_in_micros_per_hour`` in SQL; both operands are whole and not negative."""
    ceiling = f"(l.disk_micros_per_gb_month * {disk_gb} + {HOURS_PER_MONTH - 1}) / {HOURS_PER_MONTH}"
    return f"(l.price_micros_per_hour + {ceiling})"


def committed_sql(all_in: str, expected_seconds: str) -> str:
    """Return the all-in price per hour with a minimum commitment spread over the expected time, rounded up."""
    return (
        f"CASE WHEN l.min_commitment_seconds <= {expected_seconds} THEN {all_in} ELSE "
        f"({all_in} * l.min_commitment_seconds + {expected_seconds} - 1) / {expected_seconds} END"
    )


def listing_conditions(wanted: Wanted, parameters: Parameters, *, at: datetime) -> str:
    """Return everything that makes a listing ``l`` one that is wanted and may be quoted now."""
    clauses = ["l.gone_at IS NULL", *wanted_clauses(wanted, parameters)]
    if wanted.families is not None or wanted.min_vram_gb is not None:
        slugs = [family.slug for family in wanted.resolved_families()]
        clauses.append(f"l.family = ANY ({parameters.bind(slugs, 'text[]')})")
    if wanted.gpu_count is not None:
        clauses.append(f"l.gpu_count = {parameters.bind(wanted.gpu_count, 'bigint')}")
    clauses.append(f"l.spot = ANY ({parameters.bind(wanted.spot.kinds, 'boolean[]')})")
    return " AND ".join([*clauses, *availability_clauses(wanted, parameters, at=at)])


def availability_clauses(wanted: Wanted, parameters: Parameters, *, at: datetime) -> list[str]:
    """Return the conditions for one that is not gone to be quotable now: its provider fresh, and nothing against it."""
    fresh = f"SELECT p.provider FROM provider_states p WHERE {fresh_sql(wanted, parameters, at=at)}"  # noqa: S608 - text of ours
    return [f"l.provider = ANY (ARRAY({fresh}))", *avoidance_clauses(parameters, at=at)]


def fresh_sql(wanted: Wanted, parameters: Parameters, *, at: datetime) -> str:
    """Return the condition on a provider ``p``: heard of lately, and not paused."""
    return f"p.last_success_at >= {parameters.bind(wanted.fresh_since(at), 'timestamptz')} AND NOT p.paused"


def avoidance_clauses(parameters: Parameters, *, at: datetime) -> list[str]:
    """Return the conditions that nothing is known against a listing: no failure, no quarantine, no sheet out of date.

    The small tables are read once per statement, as hashed sets, never once per listing.
    """
    now = parameters.bind(at, "timestamptz")
    failing = f"SELECT provider, offer_id FROM listing_failures WHERE until > {now}"  # noqa: S608 - text of ours
    broken = f"SELECT provider, host_id FROM quarantined_hosts WHERE until IS NULL OR until > {now}"  # noqa: S608 - as above
    return [
        f"(l.priced_until IS NULL OR l.priced_until > {now})",
        f"(l.provider, l.offer_id) NOT IN ({failing})",
        f"(l.provider, COALESCE(l.host_id, '')) NOT IN ({broken})",
    ]


def wanted_clauses(wanted: Wanted, parameters: Parameters) -> list[str]:
    """Return the conditions on what a listing has; family, count and kind are left to the caller's index walk."""
    bind = parameters.bind
    clauses = [
        f"(l.disk_gb_max IS NULL OR l.disk_gb_max >= {bind(max(wanted.disk_gb, wanted.min_disk_gb or 0), 'bigint')})"
    ]
    for regions in (wanted.regions, *wanted.region_bounds):
        if regions is not None:
            names = bind(sorted({form for region in regions for form in (region.lower(), region.upper())}), "text[]")
            clauses.append(f"(l.region_id = ANY ({names}) OR l.country = ANY ({names}))")
    if wanted.providers is not None:
        clauses.append(f"l.provider = ANY ({bind(sorted(wanted.providers), 'text[]')})")
    if wanted.max_price_micros_per_hour is not None:
        ceiling = bind(wanted.max_price_micros_per_hour, "bigint")
        clauses.append(f"{all_in_sql(bind(wanted.disk_gb, 'bigint'))} <= {ceiling}")
    if wanted.min_reliability_ppm is not None:
        minimum = bind(wanted.min_reliability_ppm, "bigint")
        clauses.append(f"COALESCE(l.reliability_ppm >= {minimum}, l.security_tier <> '{TIERS[0]}')")
    if wanted.security_tier is not None:
        clauses.append(f"l.security_tier = ANY ({bind(list(TIERS[TIERS.index(wanted.security_tier) :]), 'text[]')})")
    if wanted.cuda_min is not None:
        clauses.append(f"l.cuda_rank >= {bind(cuda_rank(wanted.cuda_min), 'bigint')}")
    if wanted.exclude_listing_ids:
        clauses.append(f"l.id <> ALL ({bind(list(wanted.exclude_listing_ids), 'text[]')})")
    return clauses + _minimum_clauses(wanted, parameters)


def _minimum_clauses(wanted: Wanted, parameters: Parameters) -> list[str]:
    ram_mib = None if wanted.min_ram_gb is None else -(-wanted.min_ram_gb * BYTES_PER_GB // BYTES_PER_MIB)
    minimums = {
        "cpu_cores": wanted.min_cpu,
        "ram_mib": ram_mib,
        "inet_down_mbps": wanted.min_inet_mbps,
    }
    return [
        f"l.{column} >= {parameters.bind(minimum, 'bigint')}"
        for column, minimum in minimums.items()
        if minimum is not None
    ]
