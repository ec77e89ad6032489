"""What must always be true of the catalog: each query returns sample ids of what breaks it, hence nothing."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

INVARIANTS: Mapping[str, str] = MappingProxyType(
    {
        "a listing that is not gone belongs to a provider that has answered": (
            "SELECT l.id FROM listings l LEFT JOIN provider_states p ON p.provider = l.provider "
            "WHERE l.gone_at IS NULL AND p.last_success_at IS NULL LIMIT 10"
        ),
        "a provider's count is that of its listings": (
            "SELECT p.provider AS id FROM provider_states p WHERE p.listings <> "
            "(SELECT count(*) FROM listings l WHERE l.provider = p.provider AND l.gone_at IS NULL) LIMIT 10"
        ),
        "no listing changed after its provider last answered": (
            "SELECT l.id FROM listings l JOIN provider_states p ON p.provider = l.provider "
            "WHERE GREATEST(l.changed_at, l.gone_at) > p.last_success_at LIMIT 10"
        ),
        "prices of an hour are in order": (
            "SELECT concat_ws('/', family, provider, region_id, spot, hour) AS id FROM price_history "
            "WHERE NOT (0 < min_micros AND min_micros <= median_micros AND median_micros <= p90_micros) LIMIT 10"
        ),
    }
)
