"""What a customer does to a rule: set it, turn it off, resume it. Each locks the wallet; each change is an event."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from app import ledger
from app.kit.ids import AccountId
from app.kit.money import dollars
from app.refills import states
from app.refills.keeping import add, change, find_rule
from app.refills.resolving import cancel_unsent
from app.refills.telling import tell
from app.refills.terms import Card, Consent, Rule, State, Terms


async def configure(
    session: AsyncSession, *, account_id: AccountId, terms: Terms, card: Card, consent: Consent, at: datetime
) -> Rule:
    """Set an account's rule, with the consent to it; return it as it stands. It is not judged here.

    An attempt that was not sent yet is ended: it asked by the old terms. The caller has the wallet look up at the new
    threshold and judges the rule.
    """
    await ledger.lock_wallet(session, account_id)
    before = await find_rule(session, account_id=account_id)
    await _tell(session, account_id, terms, consent, at=at)
    if before is None:
        rule = new_rule(account_id, terms, card, consent, at=at)
        await add(session, rule, actor=consent.actor, at=at)
        return rule
    await cancel_unsent(session, account_id=account_id, reason="configured", at=at)
    after = states.configured(states.lapsed(before, at), terms, card, consent)
    return await change(session, before, after, actor=consent.actor, at=at)


async def turn_off(session: AsyncSession, *, account_id: AccountId, actor: str, at: datetime) -> Rule | None:
    """Charge nothing more; return the rule, or None when there is none. What was sent goes on to its outcome."""
    await ledger.lock_wallet(session, account_id)
    before = await find_rule(session, account_id=account_id)
    if before is None or before.state is State.OFF:
        return before
    await cancel_unsent(session, account_id=account_id, reason="off", at=at)
    return await change(session, before, states.turned_off(before), actor=actor, at=at)


async def resume(session: AsyncSession, *, account_id: AccountId, actor: str, at: datetime) -> Rule | None:
    """Let a suspended rule, or one that backs off, make one attempt more; None when there is no rule.

    Raises:
        InvalidState: it is neither, or has no card.
        ResumedRecently: that was done less than 24 hours ago.
    """
    await ledger.lock_wallet(session, account_id)
    before = await find_rule(session, account_id=account_id)
    if before is None or before.state is State.OFF:
        return None
    return await change(session, before, states.resumed(states.lapsed(before, at), at), actor=actor, at=at)


def new_rule(account_id: AccountId, terms: Terms, card: Card, consent: Consent, *, at: datetime) -> Rule:
    """Return a rule that was never set before: active, nothing held against any card."""
    return Rule(
        account_id=account_id,
        terms=terms,
        card=card,
        consent=consent,
        state=State.ACTIVE,
        reason=None,
        until=None,
        failures=0,
        bad_fingerprints=(),
        last_manual_resume_at=None,
        created_at=at,
        updated_at=at,
        version=1,
    )


async def _tell(session: AsyncSession, account_id: AccountId, terms: Terms, consent: Consent, *, at: datetime) -> None:
    """Keep in the outbox what was agreed to, for ever."""
    told = {
        "mode": terms.mode,
        "threshold": dollars(terms.threshold),
        "amount": None if terms.amount is None else dollars(terms.amount),
        "target": None if terms.target is None else dollars(terms.target),
        "monthly_cap": dollars(terms.monthly_cap),
        "only_while_running": terms.only_while_running,
        "consent_text_version": consent.text_version,
    }
    await tell(session, account_id, "auto_topup.configured", told, at=at, actor=consent.actor)
