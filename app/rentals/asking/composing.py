"""From a caller's wish to a request: what a listing must have, what runs on the machine, whose keys it takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from app import catalog, policies
from app.kit.ids import AccountId, QuoteId, RentalId
from app.kit.vault import Vault
from app.rentals.asking.asking import Ask, Chosen, stored_wanted
from app.rentals.asking.launching import DEFAULT_TEMPLATE, Launch
from app.rentals.asking.requesting import Requested, accept_quote, quote, request
from app.rentals.asking.ssh_keys import all_keys, inline_keys, named_keys
from app.rentals.asking.templates import launch_of
from app.rentals.asking.wishes import ListingWishes, QuoteCreate, RentalCreate
from app.rentals.errors import NoMatchingListings, UnknownReference
from app.rentals.models import QuoteRow
from app.web import Principal

_PPM = 1_000_000
_Keys = tuple[Mapping[str, str | None], ...]


async def begin(
    session: AsyncSession, body: RentalCreate, *, principal: Principal, vault: Vault, at: datetime
) -> tuple[Requested, Ask]:
    """Begin the rental that a caller wishes for. Reads come first: the wallet is locked last and shortest.

    Raises:
        UnknownFamily, UnknownReference, UnknownTeam: the body names what there is not.
        NoMatchingListings, QuoteExpired, PriceChanged: there is nothing to rent.
        PolicyViolation, BudgetExceeded, ProvisioningPaused, KeyLimitExceeded: a policy says no.
        InsufficientBalance, WalletLocked: there is no money for it.
    """
    rental_id, account_id = RentalId.new(), principal.account_id
    rules = await policies.terms_for(session, policies.Spender.of(principal, body.team_id))
    launch = await _launch(session, body, account_id=account_id)
    keys = await _keys(session, body, account_id=account_id)
    quoted, wanted = await _wanted(session, body, launch, account_id=account_id, rental_id=rental_id, at=at)
    ask = _ask(body, wanted, rules=rules, launch=launch, keys=keys)
    try:
        made = await request(
            session,
            ask,
            account_id=account_id,
            rental_id=rental_id,
            quoted=quoted or await _first_choice(session, body, ask.wanted, at=at),
            vault=vault,
            actor=principal.actor,
            at=at,
        )
    except NoMatchingListings:
        raise await _none_left(session, wanted, ask.wanted, at=at) from None
    return made, ask


async def new_quote(
    session: AsyncSession, body: QuoteCreate, *, principal: Principal, at: datetime
) -> tuple[QuoteRow, list[Chosen]]:
    """Lock the best listing for a wish, with those that would be tried after it, as far as every policy allows.

    Raises:
        UnknownFamily, UnknownReference, UnknownTeam: the body names what there is not.
        NoMatchingListings: nothing on offer fits.
        PolicyViolation: nothing that is named is allowed.
    """
    account_id = principal.account_id
    rules = await policies.terms_for(session, policies.Spender.of(principal, body.team_id))
    launch = await launch_of(session, body.template or DEFAULT_TEMPLATE, account_id=account_id)
    wanted = wanted_of(body, disk_gb=body.disk_gb or launch.disk_gb)
    allowed = policies.narrow(rules.policies, wanted)
    for choice in _in_order(body, allowed):
        try:
            row, chosen = await quote(session, account_id=account_id, wanted=choice, at=at)
        except NoMatchingListings:
            continue
        row.wanted = stored_wanted(allowed)  # a fall-through may use every family that was named
        return row, chosen
    raise await _none_left(session, wanted, allowed, at=at)


def wanted_of(wishes: ListingWishes, *, disk_gb: int) -> catalog.Wanted:
    """Return what a listing must have, in the catalog's terms.

    Raises:
        UnknownFamily: a name that is no family's.
    """
    named = [] if wishes.family is None else [wishes.family, *wishes.fallback_families]
    return catalog.Wanted(
        families=tuple(dict.fromkeys(_slug(name) for name in named)) or None,
        min_vram_gb=wishes.min_vram_gb,
        gpu_count=wishes.gpu_count,
        regions=tuple(wishes.region) or None,
        providers=tuple(wishes.providers) or None,
        spot=catalog.Spot(wishes.spot),
        max_price_micros_per_hour=wishes.max_price_per_hour,
        disk_gb=disk_gb,
        min_reliability_ppm=None if wishes.min_reliability is None else int(wishes.min_reliability * _PPM),
        min_cpu=wishes.min_cpu,
        min_ram_gb=wishes.min_ram_gb,
        min_inet_mbps=wishes.min_inet_mbps,
        cuda_min=wishes.cuda_min,
        security_tier=wishes.security_tier,
    )


def _ask(body: RentalCreate, wanted: catalog.Wanted, *, rules: policies.Rules, launch: Launch, keys: _Keys) -> Ask:
    """Return what is asked for, as far as every policy allows it.

    Raises:
        PolicyViolation: nothing that is named is allowed.
    """
    return Ask(
        wanted=policies.narrow(rules.policies, wanted),
        launch=replace(launch, disk_gb=wanted.disk_gb),
        name=body.name,
        tags=body.tags,
        ssh_keys=keys,
        max_duration_seconds=body.max_duration_seconds or policies.longest(rules.policies),
        max_spend=body.max_spend,
        wait_seconds=body.wait_seconds,
        rules=rules,
    )


async def _none_left(
    session: AsyncSession, wanted: catalog.Wanted, allowed: catalog.Wanted, *, at: datetime
) -> NoMatchingListings:
    """Return the error that tells whether it is the policies that nothing on offer fits."""
    if allowed != wanted and await catalog.cheapest(session, wanted, at=at, limit=1):
        return NoMatchingListings(policies.NONE_ALLOWED)
    return NoMatchingListings()


def _slug(name: str) -> str:
    family = catalog.find_family(name)
    if family is None:
        raise catalog.UnknownFamily
    return family.slug


def _in_order(wishes: ListingWishes, wanted: catalog.Wanted) -> list[catalog.Wanted]:
    """Return one search per family in the caller's order: a fallback is no competitor of the family."""
    if not wishes.fallback_families or wanted.families is None:
        return [wanted]
    return [replace(wanted, families=(slug,)) for slug in wanted.families]


async def _first_choice(
    session: AsyncSession, body: RentalCreate, wanted: catalog.Wanted, *, at: datetime
) -> Chosen | None:
    """Return the cheapest of the first family that has anything; None leaves the choice to the request."""
    if not body.fallback_families:
        return None
    for choice in _in_order(body, wanted):
        if matches := await catalog.cheapest(session, choice, at=at, limit=1):
            return Chosen.of(matches[0])
    if body.wait_seconds is not None:
        return None
    raise NoMatchingListings


async def _wanted(
    session: AsyncSession,
    body: RentalCreate,
    launch: Launch,
    *,
    account_id: AccountId,
    rental_id: RentalId,
    at: datetime,
) -> tuple[Chosen | None, catalog.Wanted]:
    """Return what a quote holds and was made for, or what the body says."""
    if body.quote_id is None:
        return None, wanted_of(body, disk_gb=launch.disk_gb)
    return await _quoted(session, body.quote_id, account_id=account_id, rental_id=rental_id, at=at)


async def _quoted(
    session: AsyncSession, text: str, *, account_id: AccountId, rental_id: RentalId, at: datetime
) -> tuple[Chosen, catalog.Wanted]:
    try:
        quote_id = QuoteId.parse(text)
    except ValueError:
        raise _unknown_quote() from None
    found = await accept_quote(session, account_id=account_id, quote_id=quote_id, rental_id=rental_id, at=at)
    if found is None:
        raise _unknown_quote()
    return found


def _unknown_quote() -> UnknownReference:
    problem = {"pointer": "/quote_id", "code": "unknown", "message": "names no quote of this account"}
    return UnknownReference(errors=[problem])


async def _launch(session: AsyncSession, body: RentalCreate, *, account_id: AccountId) -> Launch:
    """Return the template with what the body changes of it."""
    if body.image is None:
        base = await launch_of(session, body.template or DEFAULT_TEMPLATE, account_id=account_id)
    else:
        base = Launch(image=body.image)
    return replace(
        base,
        disk_gb=body.disk_gb or base.disk_gb,
        ports=tuple(dict.fromkeys((*base.ports, *body.ports))),
        startup_script=body.startup_script or base.startup_script,
        probe=body.probe.stored() if body.probe else base.probe,
        **body.on_interruption(base),
        env=body.environment,
    )


async def _keys(session: AsyncSession, body: RentalCreate, *, account_id: AccountId) -> _Keys:
    keys: Sequence[Mapping[str, str | None]]
    if body.ssh_public_keys is not None:
        keys = inline_keys(body.ssh_public_keys)
    elif body.ssh_key_ids is not None:
        keys = await named_keys(session, body.ssh_key_ids, account_id=account_id)
    else:
        keys = await all_keys(session, account_id=account_id)
    return tuple(keys)
