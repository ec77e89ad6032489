"""Reading and writing rules: every change of a rule's state is an event in the same transaction."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime

import asyncpg
from sqlalchemy.ext.asyncio import AsyncSession

from app.kit.clock import rfc3339
from app.kit.db import driver
from app.kit.ids import AccountId
from app.kit.leases import bucket_of
from app.refills import queries
from app.refills.mailing import write_mail
from app.refills.telling import tell
from app.refills.terms import Card, Consent, Mode, Reason, Rule, State, Terms


async def find_rule(session: AsyncSession, *, account_id: AccountId) -> Rule | None:
    """Return an account's rule. To change it, the caller locks the wallet first."""
    row = await driver(session).fetchrow(queries.READ_RULE, account_id)
    return None if row is None else _rule(row)


async def get_threshold(session: AsyncSession, *, account_id: AccountId) -> int:
    """Return below which available an account's rule asks for more, in micro-dollars; 0 without a rule."""
    return await driver(session).fetchval(queries.READ_THRESHOLD, account_id) or 0


async def add(session: AsyncSession, rule: Rule, *, actor: str, at: datetime) -> None:
    """Write an account's first rule. The caller holds the wallet's lock."""
    await driver(session).execute(queries.INSERT_RULE, *_columns(rule, at))
    await _tell(session, None, rule, actor=actor, at=at)


async def change(session: AsyncSession, before: Rule, after: Rule, *, at: datetime, actor: str = "system") -> Rule:
    """Write what has changed of a rule, tell it when its state did, and return it. The caller holds the wallet's lock."""
    if after == before:
        return before
    after = replace(after, version=before.version + 1, updated_at=at)
    await driver(session).execute(queries.SAVE_RULE, *_columns(after, at))
    await _tell(session, before, after, actor=actor, at=at)
    return after


async def _tell(session: AsyncSession, before: Rule | None, after: Rule, *, actor: str, at: datetime) -> None:
    if before is not None and _place(before) == _place(after):
        return
    account_id = after.account_id
    told: dict[str, object] = {"from": before and before.state, "to": after.state}
    if after.state is not State.OFF:
        told |= {"reason": after.reason, "until": after.until and rfc3339(after.until)}
    await tell(session, account_id, f"auto_topup.{after.state}", told, at=at, actor=actor)
    if after.state is State.SUSPENDED and after.reason is not Reason.ACTION_REQUIRED:
        cause = f"auto_topup:{after.version}"
        mailed = {"reason": after.reason}
        await write_mail(session, "auto_topup_suspended", mailed, account_id=account_id, cause=cause, at=at)


def _place(rule: Rule) -> tuple[object, ...]:
    return rule.state, rule.reason, rule.until


def _columns(rule: Rule, at: datetime) -> tuple[object, ...]:
    terms, card, consent = rule.terms, rule.card, rule.consent
    return (
        rule.account_id,
        bucket_of(rule.account_id),
        terms.mode,
        terms.threshold,
        terms.amount,
        terms.target,
        terms.monthly_cap,
        terms.only_while_running,
        card and card.payment_method_id,
        card and card.fingerprint,
        rule.state,
        rule.reason,
        rule.until,
        rule.failures,
        json.dumps(rule.bad_fingerprints),
        consent.text_version,
        consent.at,
        consent.actor,
        rule.last_manual_resume_at,
        at,
    )


def _rule(row: asyncpg.Record) -> Rule:
    card = row["payment_method_id"] and Card(row["payment_method_id"], row["card_fingerprint"])
    return Rule(
        account_id=AccountId(row["account_id"]),
        terms=Terms(
            mode=Mode(row["mode"]),
            threshold=row["threshold"],
            amount=row["amount"],
            target=row["target"],
            monthly_cap=row["monthly_cap"],
            only_while_running=row["only_while_running"],
        ),
        card=card or None,
        consent=Consent(row["consent_text_version"], row["consent_at"], row["consent_actor"]),
        state=State(row["state"]),
        reason=row["state_reason"] and Reason(row["state_reason"]),
        until=row["until"],
        failures=row["failures"],
        bad_fingerprints=tuple(json.loads(row["bad_fingerprints"])),
        last_manual_resume_at=row["last_manual_resume_at"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        version=row["version"],
    )
