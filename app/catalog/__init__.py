"""What can be rented, where, and at what price.

Promises: a listing's id stays the same for ever; what is quoted was seen within the hour; ``cheapest`` is exact for every
disk size: all-in, times the launches that a machine takes there; nobody sees half of a refresh; a dead cloud makes its
listings stale and nothing else fail.

Tables, all global: listings, provider_states, refresh_requests, listing_failures, quarantined_hosts, price_history (a
partition per month), machine_facts, machine_health, place_latencies. The worker writes them; the API reads, and may ask
for a refresh.

A listing: seen ─► gone ─► seen again …; available = seen ∧ provider fresh ∧ provider not paused ∧ its price sheet, if it
comes from one, not out of date.
"""

from app.catalog.avoidance import (
    QuarantinedHost,
    list_quarantined_hosts,
    quarantine_host,
    release_host,
    remember_failure,
)
from app.catalog.daily_medians import Loaded, NotDailyMedians, load_daily_medians
from app.catalog.discounts import SpotDiscount, list_spot_discounts
from app.catalog.errors import UnknownFamily
from app.catalog.families import (
    FAMILIES,
    Family,
    FamilyMatch,
    families_with_vram,
    find_family,
    get_family,
    match_family,
)
from app.catalog.health import record_machine
from app.catalog.history import PricePoint, PricesWanted, list_prices
from app.catalog.listing import HARD_BOUND_SECONDS, Listing, Spot, Wanted
from app.catalog.matching import Match, cheapest
from app.catalog.normalising import DEFAULT_DISK_GB, TIERS, all_in_micros_per_hour, cuda_rank
from app.catalog.polling import pause_provider, register_providers, request_refresh, resume_provider
from app.catalog.queries import (
    Facet,
    ProviderStatus,
    Sort,
    facets,
    find_listing,
    get_listing,
    list_listings,
    list_providers,
)
from app.catalog.refreshing import RefreshResult, refresh_due, refresh_provider

__all__ = [
    "DEFAULT_DISK_GB",
    "FAMILIES",
    "HARD_BOUND_SECONDS",
    "TIERS",
    "Facet",
    "Family",
    "FamilyMatch",
    "Listing",
    "Loaded",
    "Match",
    "NotDailyMedians",
    "PricePoint",
    "PricesWanted",
    "ProviderStatus",
    "QuarantinedHost",
    "RefreshResult",
    "Sort",
    "Spot",
    "SpotDiscount",
    "UnknownFamily",
    "Wanted",
    "all_in_micros_per_hour",
    "cheapest",
    "cuda_rank",
    "facets",
    "families_with_vram",
    "find_family",
    "find_listing",
    "get_family",
    "get_listing",
    "list_listings",
    "list_prices",
    "list_providers",
    "list_quarantined_hosts",
    "list_spot_discounts",
    "load_daily_medians",
    "match_family",
    "pause_provider",
    "quarantine_host",
    "record_machine",
    "refresh_due",
    "refresh_provider",
    "register_providers",
    "release_host",
    "remember_failure",
    "request_refresh",
    "resume_provider",
]
