"""What may be rented of what is wanted: the catalog's terms, narrowed by every policy that applies. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from app.catalog import Wanted
from app.policies.deciding import Verdict, not_a_provider, not_whitelisted, too_long
from app.policies.terms import Policy


def narrow(policies: Sequence[Policy], wanted: Wanted) -> Wanted:
    """Return what is wanted, as far as every policy allows it. What falls through to another listing stays within.

    Raises:
        PolicyViolation: nothing that was named is allowed. Whether anything is on offer is the catalog's to say.
    """
    limiting = [policy for policy in policies if not policy.terms.sets_nothing]
    if not limiting:
        return wanted
    families, providers = wanted.families, wanted.providers
    for policy in limiting:
        families, providers = _families(policy, wanted, families), _providers(policy, providers)
    terms = [policy.terms for policy in limiting]
    return replace(
        wanted,
        families=families,
        providers=providers,
        region_bounds=(
            *wanted.region_bounds,
            *(one.allowed_regions for one in terms if one.allowed_regions is not None),
        ),
        max_price_micros_per_hour=_least(
            (wanted.max_price_micros_per_hour, *(one.max_price_micros_per_hour for one in terms))
        ),
        min_reliability_ppm=_most((wanted.min_reliability_ppm, *(one.min_reliability_ppm for one in terms))),
    )


def longest(policies: Sequence[Policy]) -> int | None:
    """Return the shortest of the longest durations that policies allow, in seconds; None where none sets any."""
    return _least(policy.terms.max_duration_seconds for policy in policies)


def require_duration(policies: Sequence[Policy], seconds: int | None) -> None:
    """Pass when every policy allows a rental to run so long; None is without end.

    Raises:
        PolicyViolation: one does not.
    """
    for policy in policies:
        most = policy.terms.max_duration_seconds
        if most is not None and (seconds is None or seconds > most):
            raise too_long(policy, seconds).error()


def _families(policy: Policy, wanted: Wanted, left: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """Return what a policy allows of the families that the ones before it left."""
    listed = policy.terms.gpu_whitelist
    if listed is None:
        return left
    named = left or tuple(family.slug for family in wanted.resolved_families())
    allowed = tuple(slug for slug in named if slug in listed)
    if left and not allowed:
        raise not_whitelisted(policy, left[0]).error()
    if not allowed:  # none of those with so much memory
        raise _none_with_memory(policy, wanted).error()
    return allowed


def _none_with_memory(policy: Policy, wanted: Wanted) -> Verdict:
    return not_whitelisted(policy, f"with {wanted.min_vram_gb or 0} GB")


def _providers(policy: Policy, left: tuple[str, ...] | None) -> tuple[str, ...] | None:
    listed = policy.terms.allowed_providers
    if listed is None or left is None:
        return left if listed is None else listed
    allowed = tuple(name for name in left if name in listed)
    if not allowed:
        raise not_a_provider(policy, left[0]).error()
    return allowed


def _least(values: Iterable[int | None]) -> int | None:
    return min((value for value in values if value is not None), default=None)


def _most(values: Iterable[int | None]) -> int | None:
    return max((value for value in values if value is not None), default=None)
