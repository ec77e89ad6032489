"""Wire shapes of what is shown of policies."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import PlainSerializer, WithJsonSchema

from app.kit.errors import AppError
from app.policies.deciding import Binding, Verdict
from app.policies.schemas import OnExceededName, as_list
from app.policies.standing import Open, Spent, Standing
from app.policies.terms import Policy
from app.web import etag
from app.web.schemas import MoneyOut, TimeOut, Wire

_PPM = 1_000_000
Share = Annotated[
    int,
    PlainSerializer(lambda ppm: ppm / _PPM, return_type=float),
    WithJsonSchema({"type": "number", "examples": [0.95]}),
]


class BudgetView(Wire):
    """A budget in its present period."""

    name: Literal["daily_budget", "monthly_budget", "limit"]
    amount: MoneyOut
    spent: MoneyOut
    """Settled since the period began."""
    held: MoneyOut
    """For everything that is not over; what it has used since it was last settled is in it."""
    left: MoneyOut
    """What a new rental may still reserve."""
    since: TimeOut
    until: TimeOut | None

    @classmethod
    def of(cls, spent: Spent) -> BudgetView:
        """Return a budget as it is shown."""
        return cls(
            name=spent.budget.name.value,
            amount=spent.budget.amount,
            spent=spent.settled,
            held=spent.held,
            left=spent.left,
            since=spent.budget.since,
            until=spent.budget.until,
        )


class Usage(Wire):
    """What is gone of a policy's limits right now."""

    instances: int
    gpus: int
    held: MoneyOut
    budgets: list[BudgetView]


class PolicyView(Wire):
    """One subject's policy."""

    object: Literal["policy"] = "policy"
    subject: str
    kind: Literal["account", "team", "user", "key"]
    version: int
    """0 while it is the default: a new team's is strict, everybody else's sets no limit."""
    gpu_whitelist: list[str] | None
    max_instances: int | None
    max_gpus: int | None
    max_price_per_hour: MoneyOut | None
    daily_budget: MoneyOut | None
    monthly_budget: MoneyOut | None
    max_duration_seconds: int | None
    allowed_regions: list[str] | None
    allowed_providers: list[str] | None
    min_reliability: Share | None
    on_budget_exceeded: OnExceededName
    time_zone: str
    """Where its days and months begin."""
    paused_until: TimeOut | None
    """Nothing new is provisioned before."""
    paused_because: str | None
    usage: Usage
    updated_at: TimeOut | None
    updated_by: str | None

    @classmethod
    def of(cls, policy: Policy, standing: Standing) -> PolicyView:
        """Return a policy as it is shown."""
        terms = policy.terms
        opened = standing.open.get(policy.subject, Open())
        budgets = [BudgetView.of(spent) for spent in standing.spent if spent.budget.subject == policy.subject]
        return cls(
            subject=policy.subject,
            kind=policy.kind.value,
            version=policy.version,
            gpu_whitelist=as_list(terms.gpu_whitelist),
            max_instances=terms.max_instances,
            max_gpus=terms.max_gpus,
            max_price_per_hour=terms.max_price_micros_per_hour,
            daily_budget=terms.daily_budget_micros,
            monthly_budget=terms.monthly_budget_micros,
            max_duration_seconds=terms.max_duration_seconds,
            allowed_regions=as_list(terms.allowed_regions),
            allowed_providers=as_list(terms.allowed_providers),
            min_reliability=terms.min_reliability_ppm,
            on_budget_exceeded=terms.on_budget_exceeded.value,
            time_zone=policy.time_zone,
            paused_until=policy.paused_until,
            paused_because=policy.paused_because,
            usage=Usage(instances=opened.instances, gpus=opened.gpus, held=opened.held, budgets=budgets),
            updated_at=policy.updated_at,
            updated_by=policy.updated_by,
        )


class BindingLimit(Wire):
    """The limit that says no: whose, which, how much it is, what of it is gone, and what was asked for."""

    subject: str
    limit: str
    value: str
    used: str | None
    asked: str | None


class PolicyVerdict(Wire):
    """What the decision would be right now."""

    object: Literal["policy_verdict"] = "policy_verdict"
    allowed: bool
    reason: str
    code: str | None
    """That of the error with which the rental would be refused."""
    binding_limit: BindingLimit | None
    until: TimeOut | None
    """When the limit begins anew, where it does."""

    @classmethod
    def of(cls, verdict: Verdict) -> PolicyVerdict:
        """Return a verdict as it is shown."""
        return cls(
            allowed=verdict.allowed,
            reason=verdict.reason,
            code=verdict.code,
            binding_limit=_binding(verdict.binding),
            until=verdict.until,
        )

    @classmethod
    def of_refusal(cls, refused: AppError) -> PolicyVerdict:
        """Return what an error says that was raised before it came to a decision."""
        told: Any = refused.extra.get("binding_limit")
        return cls(
            allowed=False,
            reason=str(refused.extra.get("reason", refused.detail)),
            code=refused.code,
            binding_limit=told and BindingLimit(**told),
            until=None,
        )


def policy_etag(policy: Policy) -> str:
    """Return the entity tag of a policy's terms."""
    return etag(policy.subject, policy.version, policy.time_zone)


def _binding(binding: Binding | None) -> BindingLimit | None:
    return None if binding is None else BindingLimit(**binding.told)  # type: ignore[arg-type]
