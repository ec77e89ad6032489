"""The decision: may this spender have this now? Pure, so that a dry run can't differ from the real thing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from app.kit.clock import rfc3339
from app.kit.errors import AppError
from app.kit.money import dollars
from app.policies.errors import POLICY_ERRORS, BudgetExceeded, KeyLimitExceeded, PolicyViolation, ProvisioningPaused
from app.policies.standing import BudgetName, Open, Spent, Standing
from app.policies.terms import OnExceeded, Policy

OK = "OK"
_ERRORS = {found.code: found for found in POLICY_ERRORS}
_PPM_PER_PERCENT = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is about to be rented. Unknown parts, as of a rental that waits for a listing, are None and not judged."""

    reserve: int
    """Micro-dollars to be held, beside what is held already."""
    instances: int = 1
    """0 for a rental that is counted already."""
    gpu_count: int = 1
    family: str | None = None
    provider: str | None = None
    region_id: str | None = None
    country: str | None = None
    price_micros_per_hour: int | None = None
    reliability_ppm: int | None = None
    max_duration_seconds: int | None = None


@dataclass(frozen=True, slots=True)
class Binding:
    """The limit that a wish runs into: whose, which, how much it is, what of it is gone, what was asked for."""

    subject: str
    limit: str
    value: str
    used: str | None = None
    asked: str | None = None

    @property
    def told(self) -> dict[str, str | None]:
        """Return it as JSON."""
        return {
            "subject": self.subject,
            "limit": self.limit,
            "value": self.value,
            "used": self.used,
            "asked": self.asked,
        }


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was decided, and by which limit."""

    allowed: bool = True
    reason: str = OK
    code: str | None = None
    """The code of the error with which the real thing would be refused."""
    binding: Binding | None = None
    until: datetime | None = None
    """When the limit begins anew, where it does."""

    def error(self) -> AppError:
        """Return a refusal as the error that is told."""
        kind = _ERRORS[self.code or PolicyViolation.code]
        detail = f"Policy violation: {self.reason}" if kind is PolicyViolation else self.reason
        extra: dict[str, object] = {"reason": self.reason}
        if self.binding is not None:
            extra["binding_limit"] = self.binding.told
        if self.until is not None:
            extra["until"] = rfc3339(self.until)
        return kind(detail, extra=extra)


def decide(standing: Standing, wish: Wish, *, at: datetime) -> Verdict:
    """Return whether every policy allows a wish; the first limit that does not, the widest subject first."""
    for policy in standing.policies:
        if not policy.is_binding:
            continue
        for refusal in _refusals(policy, standing.open.get(policy.subject, Open()), wish, at=at):
            return refusal
    for spent in standing.spent:
        if (
            spent.budget.on_exceeded is not OnExceeded.ALERT
            and spent.settled + spent.held + wish.reserve > spent.budget.amount
        ):
            return _over(spent, wish)
    return Verdict()


def violation(policy: Policy, limit: str, value: str, reason: str, *, asked: str | None = None) -> Verdict:
    """Return the refusal by one of a policy's limits."""
    return Verdict(
        allowed=False,
        reason=reason,
        code=PolicyViolation.code,
        binding=Binding(policy.subject, limit, value, asked=asked),
    )


def not_whitelisted(policy: Policy, family: str) -> Verdict:
    """Return the refusal of a family."""
    listed = ", ".join(policy.terms.gpu_whitelist or ())
    return violation(policy, "gpu_whitelist", listed, f"GPU {family} not in {policy.kind} whitelist", asked=family)


def not_a_provider(policy: Policy, provider: str) -> Verdict:
    """Return the refusal of a cloud."""
    listed = ", ".join(policy.terms.allowed_providers or ())
    reason = f"Provider {provider} not allowed by {policy.kind} policy"
    return violation(policy, "allowed_providers", listed, reason, asked=provider)


def too_long(policy: Policy, seconds: int | None) -> Verdict:
    """Return the refusal of a duration, or of none."""
    longest = policy.terms.max_duration_seconds
    told = "without end" if seconds is None else f"of {seconds} s"
    reason = f"Duration {told} above the {policy.kind}'s maximum of {longest} s"
    return violation(
        policy, "max_duration_seconds", str(longest), reason, asked=None if seconds is None else str(seconds)
    )


def not_a_region(policy: Policy, region: str) -> Verdict:
    """Return the refusal of a place."""
    listed = ", ".join(policy.terms.allowed_regions or ())
    reason = f"Region {region} not allowed by {policy.kind} policy"
    return violation(policy, "allowed_regions", listed, reason, asked=region)


def is_in_region(terms_regions: tuple[str, ...], region_id: str, country: str | None) -> bool:
    """Say whether a place is one of those named, by its id or its country, in any case."""
    named = {name.lower() for name in terms_regions}
    return region_id.lower() in named or (country or "").lower() in named


def _refusals(policy: Policy, opened: Open, wish: Wish, *, at: datetime) -> Iterator[Verdict]:
    if policy.is_paused(at):
        yield Verdict(
            allowed=False,
            reason=f"Provisioning is paused: {policy.paused_because}",
            code=ProvisioningPaused.code,
            binding=Binding(policy.subject, "paused_until", rfc3339(policy.paused_until or at)),
            until=policy.paused_until,
        )
    if wish.instances:
        yield from _of_machine(policy, wish)
        yield from _of_price(policy, wish)
        yield from _of_counts(policy, opened, wish)


def _of_machine(policy: Policy, wish: Wish) -> Iterator[Verdict]:
    terms = policy.terms
    if wish.family and terms.gpu_whitelist is not None and wish.family not in terms.gpu_whitelist:
        yield not_whitelisted(policy, wish.family)
    if wish.provider and terms.allowed_providers is not None and wish.provider not in terms.allowed_providers:
        yield not_a_provider(policy, wish.provider)
    if (
        wish.region_id
        and terms.allowed_regions is not None
        and not is_in_region(terms.allowed_regions, wish.region_id, wish.country)
    ):
        yield not_a_region(policy, wish.region_id)
    least, told = terms.min_reliability_ppm, wish.reliability_ppm
    if least is not None and told is not None and told < least:
        value = f"{least / _PPM_PER_PERCENT:g} %"
        reason = f"Reliability below the {policy.kind}'s minimum of {value}"
        yield violation(policy, "min_reliability", value, reason, asked=f"{told / _PPM_PER_PERCENT:g} %")


def _of_price(policy: Policy, wish: Wish) -> Iterator[Verdict]:
    ceiling, price = policy.terms.max_price_micros_per_hour, wish.price_micros_per_hour
    if ceiling is not None and price is not None and price > ceiling:
        reason = f"Price ${dollars(price)}/h above the {policy.kind}'s maximum of ${dollars(ceiling)}/h"
        yield violation(policy, "max_price_per_hour", dollars(ceiling), reason, asked=dollars(price))
    longest, asked = policy.terms.max_duration_seconds, wish.max_duration_seconds
    if longest is not None and asked is not None and asked > longest:
        yield too_long(policy, asked)


def _of_counts(policy: Policy, opened: Open, wish: Wish) -> Iterator[Verdict]:
    for limit, most, used, asked, word in (
        ("max_instances", policy.terms.max_instances, opened.instances, wish.instances, "Instance"),
        ("max_gpus", policy.terms.max_gpus, opened.gpus, wish.gpu_count, "GPU"),
    ):
        if most is not None and used + asked > most:
            yield Verdict(
                allowed=False,
                reason=f"{word} limit reached ({used}/{most})",
                code=PolicyViolation.code,
                binding=Binding(policy.subject, limit, str(most), str(used), str(asked)),
            )


def _over(spent: Spent, wish: Wish) -> Verdict:
    budget = spent.budget
    is_limit = budget.name is BudgetName.LIMIT
    what = {
        BudgetName.DAILY: "Daily budget",
        BudgetName.MONTHLY: "Monthly budget",
        BudgetName.LIMIT: "The key's limit",
    }[budget.name]
    reason = (
        f"{what} of ${dollars(budget.amount)} does not cover ${dollars(wish.reserve)} more: "
        f"${dollars(spent.settled)} spent, ${dollars(spent.held)} held"
    )
    return Verdict(
        allowed=False,
        reason=reason,
        code=KeyLimitExceeded.code if is_limit else BudgetExceeded.code,
        binding=Binding(
            budget.subject,
            budget.name,
            dollars(budget.amount),
            dollars(spent.settled + spent.held),
            dollars(wish.reserve),
        ),
        until=budget.until,
    )
