"""Auto-top-up on the wire."""

from __future__ import annotations

from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, ConfigDict, Field, model_validator
from pydantic.config import JsonDict

from app import refills
from app.kit.money import dollars
from app.refills import Attempt, Charged, Mode, Rule, Standing, State, Terms, Verdict
from app.web import Page
from app.web.schemas import MoneyOut, PositiveMoneyIn, TimeOut, Wire

RuleState = Literal["active", "cooling", "backing_off", "suspended", "capped", "off"]
_EXAMPLE: Final[JsonDict] = {
    "mode": "fixed",
    "threshold": "10.00",
    "amount": "25.00",
    "monthly_cap": "200.00",
    "payment_method_id": "pm_1Q0PsIJvEtkwdCNYMSaVuRz6",
}


def _charge(micros: int) -> int:
    if not refills.CHARGE_MIN <= micros <= refills.CHARGE_MAX:
        raise ValueError(f"must be from {dollars(refills.CHARGE_MIN)} to {dollars(refills.CHARGE_MAX)} dollars")
    if micros % refills.CENT:
        raise ValueError("must be a whole number of cents")
    return micros


def _threshold(micros: int) -> int:
    if not refills.THRESHOLD_MIN <= micros <= refills.CHARGE_MAX:
        raise ValueError(f"must be from {dollars(refills.THRESHOLD_MIN)} to {dollars(refills.CHARGE_MAX)} dollars")
    return micros


ChargeIn = Annotated[PositiveMoneyIn, AfterValidator(_charge)]


class AutoTopupTerms(Wire):
    """When the card is charged, and how much."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    mode: Annotated[
        Literal["fixed", "target"], Field(description="Charge a fixed amount, or fill the wallet up to a target.")
    ]
    threshold: Annotated[
        Annotated[PositiveMoneyIn, AfterValidator(_threshold)],
        Field(description="Charge when available and what is on its way fall below this; 5.00 at least."),
    ]
    amount: Annotated[
        ChargeIn | None,
        Field(description="With `fixed`: the charge, or its smallest multiple that brings available to the threshold."),
    ] = None
    target: Annotated[
        ChargeIn | None, Field(description="With `target`: fill up to this; at least 10.00 above the threshold.")
    ] = None
    monthly_cap: Annotated[
        PositiveMoneyIn,
        Field(description="Never charge more in a month of UTC; a charge that does not fit is not made."),
    ]
    only_while_running: Annotated[bool, Field(description="Charge only while something runs or is being started.")] = (
        True
    )
    payment_method_id: Annotated[
        str | None, Field(max_length=255, description="A saved card; without, the one that was saved last.")
    ] = None

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.mode == "fixed":
            if self.amount is None or self.target is not None:
                raise ValueError("fixed takes amount and no target")
            least = self.amount
        else:
            if self.target is None or self.amount is not None:
                raise ValueError("target takes target and no amount")
            least = self.target - self.threshold
            if least < refills.TARGET_ABOVE_THRESHOLD_MIN:
                raise ValueError("target must be at least 10.00 above threshold")
        if self.monthly_cap < least:
            raise ValueError("monthly_cap must leave room for one charge")
        return self

    @property
    def terms(self) -> Terms:
        """Return them in the rule's own words."""
        return Terms(
            Mode(self.mode), self.threshold, self.amount, self.target, self.monthly_cap, self.only_while_running
        )


class ConsentIn(Wire):
    """The customer's agreement to be charged without being asked each time."""

    text_version: Annotated[
        str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$", description="Which text was shown and agreed to.")
    ]
    accepted: Annotated[Literal[True], Field(description="Nothing but true is taken.")]


class AutoTopupUpdate(AutoTopupTerms):
    """The whole rule, and the consent to it."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [_EXAMPLE | {"consent": {"text_version": "2026-11", "accepted": True}}]}
    )

    consent: ConsentIn


class Consented(Wire):
    """What was agreed to, when and by whom."""

    text_version: str
    accepted_at: TimeOut
    actor: str


class AutoTopup(Wire):
    """The account's rule: when its card is charged for more."""

    object: Literal["auto_topup"] = "auto_topup"
    state: RuleState
    """Only ``active`` charges; ``cooling``, ``backing_off`` and ``capped`` end by themselves, ``suspended`` waits for a person."""
    state_reason: str | None
    until: TimeOut | None
    """When a state that ends by itself does."""
    mode: Literal["fixed", "target"] | None
    threshold: MoneyOut | None
    amount: MoneyOut | None
    target: MoneyOut | None
    monthly_cap: MoneyOut | None
    only_while_running: bool | None
    payment_method_id: str | None
    consent: Consented | None
    month_total: MoneyOut
    """Charged and in flight in this month of UTC."""
    incoming: MoneyOut
    """On its way into the wallet."""
    open_attempt_id: str | None
    resumable_at: TimeOut | None
    """From when it can be resumed by hand; null where there is nothing to resume."""
    updated_at: TimeOut | None

    @classmethod
    def of(cls, rule: Rule | None, charged: Charged, attempt: Attempt | None) -> AutoTopup:
        """Return a rule in its form; without one it is off."""
        counted = {
            "month_total": charged.month_total,
            "incoming": charged.incoming,
            "open_attempt_id": attempt and attempt.id,
        }
        return cls.model_validate((_nothing() if rule is None else _of_rule(rule)) | counted)


def _nothing() -> dict[str, object]:
    empty = dict.fromkeys(AutoTopup.model_fields)
    return empty | {"object": "auto_topup", "state": "off"}


def _of_rule(rule: Rule) -> dict[str, object]:
    off, terms, consent = rule.state is State.OFF, rule.terms, rule.consent
    return {
        "state": rule.state.value,
        "state_reason": None if off or rule.reason is None else rule.reason.value,
        "until": None if off else rule.until,
        "mode": terms.mode.value,
        "threshold": terms.threshold,
        "amount": terms.amount,
        "target": terms.target,
        "monthly_cap": terms.monthly_cap,
        "only_while_running": terms.only_while_running,
        "payment_method_id": rule.card and rule.card.payment_method_id,
        "consent": Consented(text_version=consent.text_version, accepted_at=consent.at, actor=consent.actor),
        "resumable_at": _resumable_at(rule),
        "updated_at": rule.updated_at,
    }


def _resumable_at(rule: Rule) -> object:
    if rule.state not in (State.SUSPENDED, State.BACKING_OFF) or rule.card is None:
        return None
    last = rule.last_manual_resume_at
    return rule.updated_at if last is None else max(rule.updated_at, last + refills.RESUME_EVERY)


class AutoTopupPreview(Wire):
    """What the rule would do; nothing is changed or charged."""

    object: Literal["auto_topup_preview"] = "auto_topup_preview"
    state: RuleState
    """Where the rule would stand."""
    state_reason: str | None
    until: TimeOut | None
    charge_now: MoneyOut | None
    """What would be charged at once; null for nothing."""
    because: str | None
    """Why nothing would be."""
    charge_at_threshold: MoneyOut
    """What one charge is when available has just fallen below the threshold."""
    charge_when_empty: MoneyOut
    """What one charge is when nothing is available: the most there can be."""
    month_total: MoneyOut
    month_left: MoneyOut
    """What this month's cap leaves."""

    @classmethod
    def of(cls, verdict: Verdict, standing: Standing) -> AutoTopupPreview:
        """Return a judgement in its form."""
        rule, month_total = verdict.rule, standing.charged.month_total
        terms = rule.terms
        return cls(
            state=rule.state.value,
            state_reason=None if rule.reason is None else rule.reason.value,
            until=rule.until,
            charge_now=verdict.amount or None,
            because=verdict.because,
            charge_at_threshold=refills.charge_for(terms, have=terms.threshold - 1),
            charge_when_empty=refills.charge_for(terms, have=0),
            month_total=month_total,
            month_left=max(0, terms.monthly_cap - month_total),
        )


class TopupAttempt(Wire):
    """One charge that the rule asked for."""

    id: str
    object: Literal["topup_attempt"] = "topup_attempt"
    state: Literal["created", "submitted", "unknown", "succeeded", "declined", "action_required", "canceled"]
    """``unknown``: the card processor did not answer; it is being looked up and never charged twice."""
    amount: MoneyOut
    trigger: str
    """What made us look: a decrease of available, a change of the rule, a refused rental, or the regular sweep."""
    payment_method_id: str
    decline_code: str | None
    advice_code: str | None
    payment_id: str | None
    checkout_session_id: str | None
    """Where the card's owner confirms, when the bank asked for that."""
    created_at: TimeOut
    submitted_at: TimeOut | None
    resolved_at: TimeOut | None

    @classmethod
    def of(cls, attempt: Attempt) -> TopupAttempt:
        """Return an attempt in its form."""
        return cls(
            id=attempt.id,
            state=attempt.state.value,
            amount=attempt.amount,
            trigger=attempt.trigger,
            payment_method_id=attempt.payment_method_id,
            decline_code=attempt.decline_code,
            advice_code=attempt.advice_code,
            payment_id=attempt.payment_id,
            checkout_session_id=attempt.checkout_id,
            created_at=attempt.created_at,
            submitted_at=attempt.submitted_at,
            resolved_at=attempt.resolved_at,
        )


class TopupAttemptPage(Page):
    """The query of the list of attempts."""
