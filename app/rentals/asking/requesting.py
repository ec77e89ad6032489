"""Quotes and requests: match, hold an hour, write the rental; all in the caller's transaction, no cloud involved."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from app import audit, catalog, policies, wallet
from app.kit.ids import AccountId, EventId, QuoteId, RentalId
from app.kit.leases import bucket_of
from app.kit.vault import Vault
from app.rentals import queries
from app.rentals.asking.asking import Ask, Chosen, restored_wanted, stored_wanted
from app.rentals.asking.queueing import wished
from app.rentals.errors import NoMatchingListings, PriceChanged, QuoteExpired
from app.rentals.models import QuoteRow, RentalRow
from app.rentals.states import Stage, Status

QUOTE_SECONDS = 60
ALTERNATIVES = 5
"""How many listings a quote names, in the order in which they would be tried."""


@dataclass(frozen=True, slots=True)
class Requested:
    """A rental that was just written."""

    rental_id: RentalId
    chosen: Chosen
    rate: int
    held: int
    at: datetime
    queued_until: datetime | None = None
    """Where nothing fits yet: how long it waits for something."""


async def quote(
    session: AsyncSession, *, account_id: AccountId, wanted: catalog.Wanted, at: datetime
) -> tuple[QuoteRow, list[Chosen]]:
    """Lock the cheapest match and its price for a minute; return it with the listings that would be tried after it.

    Raises:
        NoMatchingListings: nothing on offer fits.
    """
    matches = await catalog.cheapest(session, wanted, at=at, limit=ALTERNATIVES)
    if not matches:
        raise NoMatchingListings
    chosen = [Chosen.of(match) for match in matches]
    row = QuoteRow(
        account_id=account_id,
        id=QuoteId.new(),
        wanted=stored_wanted(wanted),
        listing=chosen[0].stored(),
        rate=chosen[0].all_in_micros_per_hour,
        created_at=at,
        expires_at=at + timedelta(seconds=QUOTE_SECONDS),
    )
    session.add(row)
    await session.flush()
    return row, chosen


async def accept_quote(
    session: AsyncSession, *, account_id: AccountId, quote_id: QuoteId, rental_id: RentalId, at: datetime
) -> tuple[Chosen, catalog.Wanted] | None:
    """Use up a quote for a rental; None where there is no such quote.

    Raises:
        QuoteExpired: its minute is over, or it served another rental.
        PriceChanged: its listing is gone.
    """
    row = await queries.find_quote(session, account_id=account_id, quote_id=quote_id)
    if row is None:
        return None
    if row.used_by is not None or row.expires_at <= at:
        raise QuoteExpired
    chosen = Chosen.restored(row.listing)
    listing = await catalog.find_listing(session, chosen.listing_id)
    if listing is None or not listing.is_available(at):
        raise PriceChanged
    row.used_by = rental_id
    return chosen, restored_wanted(row.wanted)


async def request(
    session: AsyncSession,
    ask: Ask,
    *,
    account_id: AccountId,
    rental_id: RentalId,
    quoted: Chosen | None,
    vault: Vault,
    actor: str,
    at: datetime,
    provisioning_seconds: int = 900,
) -> Requested:
    """Begin a rental: choose the cheapest match (or the quoted one), hold an hour, ask the policies, write the row.

    Where nothing fits and the caller waits, an hour at the highest price is held, and the row is for the waitlist.

    Whatever it raises, the caller undoes the transaction.

    Raises:
        NoMatchingListings: nothing on offer fits, and the caller does not wait.
        PolicyViolation, BudgetExceeded, ProvisioningPaused, KeyLimitExceeded: a policy says no.
        InsufficientBalance, WalletLocked: no policy says no, but the wallet does.
    """
    rules = ask.rules
    if rules is None:
        rules = await policies.terms_for(session, policies.Spender(account_id))
        ask = replace(ask, wanted=policies.narrow(rules.policies, ask.wanted))
    made = await _match(session, ask, rental_id=rental_id, quoted=quoted, at=at)
    sealed = _seal(vault, ask.launch.env, account_id=account_id, rental_id=rental_id)
    deadline_at = at + timedelta(seconds=provisioning_seconds)
    rows = _rows(ask, made, spender=rules.spender, sealed_env=sealed, actor=actor, deadline_at=deadline_at)
    await _reserve(session, ask, made, rules=rules, rows=rows, actor=actor)
    await audit.write(session, _created(ask, made, spender=rules.spender, actor=actor))
    return made


def environment(vault: Vault, rental: RentalRow) -> dict[str, str]:
    """Open a rental's sealed environment, with what we tell its scripts of checkpoints beside it."""
    opened: dict[str, str] = {}
    if rental.sealed_env is not None:
        opened = json.loads(vault.open(rental.sealed_env, cell=_cell(rental.account_id, rental.id)))
    if uri := rental.launch.get("checkpoint_uri"):
        opened["HOURGLASS_CHECKPOINT_URI"] = uri
    if rental.running_at is not None:
        opened["HOURGLASS_RESUMED"] = "1"
    return opened


async def _match(
    session: AsyncSession, ask: Ask, *, rental_id: RentalId, quoted: Chosen | None, at: datetime
) -> Requested:
    """Return the rental of the cheapest match, or of what is waited for.

    Raises:
        NoMatchingListings: nothing on offer fits, and the caller does not wait.
    """
    queued_until = None
    try:
        chosen = quoted or await _cheapest(session, ask.wanted, at=at)
    except NoMatchingListings:
        if ask.wait_seconds is None:
            raise
        chosen, queued_until = wished(ask.wanted), at + timedelta(seconds=ask.wait_seconds)
    rate = chosen.all_in_micros_per_hour
    held = rate if ask.max_spend is None else min(rate, ask.max_spend)
    return Requested(rental_id, chosen, rate, held, at, queued_until)


async def _reserve(
    session: AsyncSession, ask: Ask, made: Requested, *, rules: policies.Rules, rows: policies.Rows, actor: str
) -> None:
    """Hold the money, then ask the policies and write the rental under the lock on the wallet that holding it takes.

    A policy's no comes before the wallet's: no card is asked to pay for what may not be rented.
    """
    wish, account_id = _wish(ask, made), rules.spender.account_id
    try:
        await wallet.hold(
            session,
            account_id=account_id,
            rental_id=made.rental_id,
            rate=made.rate,
            at=made.at,
            actor=actor,
            max_spend=ask.max_spend,
        )
    except (wallet.InsufficientBalance, wallet.WalletLocked):
        await wallet.lock(session, account_id=account_id)
        await policies.require(session, rules, wish, at=made.at)
        raise
    await policies.admit(session, rules, wish, rental_id=made.rental_id, rows=rows, at=made.at)


async def _cheapest(session: AsyncSession, wanted: catalog.Wanted, *, at: datetime) -> Chosen:
    matches = await catalog.cheapest(session, wanted, at=at, limit=1)
    if not matches:
        raise NoMatchingListings
    return Chosen.of(matches[0])


def _wish(ask: Ask, made: Requested) -> policies.Wish:
    chosen = made.chosen
    return policies.Wish(
        reserve=made.held,
        gpu_count=chosen.gpu_count,
        family=chosen.family or None,
        provider=chosen.provider or None,
        region_id=chosen.region_id or None,
        country=chosen.country,
        price_micros_per_hour=chosen.all_in_micros_per_hour,
        reliability_ppm=chosen.reliability_ppm,
        max_duration_seconds=ask.max_duration_seconds,
    )


def _cell(account_id: str, rental_id: str) -> str:
    return f"rentals|sealed_env|{account_id}|{rental_id}"


def _seal(vault: Vault, env: Mapping[str, str], *, account_id: AccountId, rental_id: RentalId) -> bytes | None:
    return vault.seal(json.dumps(dict(env)), cell=_cell(account_id, rental_id)) if env else None


def _created(ask: Ask, made: Requested, *, spender: policies.Spender, actor: str) -> audit.Entry:
    chosen = made.chosen
    told = {
        "status": Status.PROVISIONING if made.queued_until is None else Status.QUEUED,
        "name": ask.name,
        "family": chosen.family or None,
        "gpu_count": chosen.gpu_count,
        "provider": chosen.provider or None,
        "region": chosen.region_id or None,
        "spot": chosen.spot,
        "image": ask.launch.image,
        "rate_micros_per_hour": made.rate,
        "held_micros": made.held,
        "max_duration_seconds": ask.max_duration_seconds,
        "max_spend_micros": ask.max_spend,
        "ssh_key_ids": [key["id"] for key in ask.ssh_keys if key["id"]],
        "tags": dict(ask.tags),
    }
    return audit.Entry(
        spender.account_id,
        "rental.created",
        made.rental_id,
        made.at,
        actor=actor,
        team_id=spender.team_id,
        details={"after": told},
    )


def _rows(
    ask: Ask, made: Requested, *, spender: policies.Spender, sealed_env: bytes | None, actor: str, deadline_at: datetime
) -> policies.Rows:
    """Return the rental and its first event, in the order of ``RENTAL_PARTS``."""
    chosen, waits = made.chosen, made.queued_until is not None
    told = {
        "family": chosen.family or None,
        "provider": chosen.provider or None,
        "rate_micros_per_hour": made.rate,
    }
    values = (
        *(spender.account_id, made.rental_id, actor, made.at, bucket_of(spender.account_id)),
        *(spender.team_id, spender.key_id, spender.user_id),
        *_asked(ask),
        *(json.dumps(chosen.stored()), made.rate),
        *((Status.QUEUED, None) if waits else (Status.PROVISIONING, Stage.MATCHING)),
        *(made.queued_until or made.at, made.queued_until),
        *(sealed_env, deadline_at),
        *(EventId.new(), json.dumps(told)),
    )
    return policies.Rows(queries.RENTAL_PARTS, values)


def _asked(ask: Ask) -> tuple[object, ...]:
    return (
        ask.name,
        json.dumps(dict(ask.tags)),
        json.dumps(stored_wanted(ask.wanted)),
        json.dumps(ask.launch.stored()),
        json.dumps([dict(key) for key in ask.ssh_keys]),
        ask.max_duration_seconds,
        ask.max_spend,
    )
