"""Rentals over HTTP: made, read, changed and stopped."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import Depends, Query, Request, Response

from app import catalog
from app.catalog import UnknownFamily
from app.kit.errors import InvalidState, NotFound
from app.machines import MalformedKey, WeakKey
from app.policies import POLICY_ERRORS, PolicyViolation, UnknownTeam
from app.rentals import queries
from app.rentals.asking.composing import begin
from app.rentals.asking.schemas import Rental
from app.rentals.asking.ssh_keys import get_key, known_key_id
from app.rentals.asking.wishes import RentalCreate, RentalExtend, RentalPage, RentalReport, RentalUpdate
from app.rentals.errors import NoMatchingListings, PriceChanged, QuoteExpired, UnknownReference
from app.rentals.keeping.stopping import stop
from app.rentals.models import RentalRow
from app.rentals.showing import (
    editing,
    key_endpoints,
    power_endpoints,
    quote_endpoints,
    record_endpoints,
    template_endpoints,
)
from app.rentals.showing.reach import require_reach, seen_by
from app.rentals.showing.views import Seen, get_seen, known_id, new_rental_view, rental_view, see
from app.rentals.states import Status
from app.wallet import InsufficientBalance, WalletLocked, asking_after
from app.web import (
    IDEMPOTENT,
    Answer,
    ListAnswer,
    Work,
    answer,
    check_match,
    etag,
    list_answer,
    new_router,
    replay_or_run,
    responses_for,
    working,
)
from app.web.errors import EtagMismatch, InvalidCursor, ValidationFailed
from app.web.exchange import state_of

router = new_router("/v1/rentals", tag="rentals")
ROUTERS: Final = (
    router,
    power_endpoints.router,
    record_endpoints.router,
    quote_endpoints.router,
    key_endpoints.router,
    template_endpoints.router,
)
"""All routers of the room."""

Reading = Annotated[Work, Depends(working("rentals:read"), scope="function")]
Writing = Annotated[Work, Depends(working("rentals:write"), scope="function")]
_LOOK_AGAIN = {"Retry-After": "2"}
_NAMED = (UnknownFamily, UnknownReference, UnknownTeam, WeakKey, MalformedKey)


@router.post(
    "",
    status_code=202,
    response_model=Rental,
    operation_id="create_rental",
    responses=responses_for(
        NoMatchingListings,
        QuoteExpired,
        PriceChanged,
        InsufficientBalance,
        WalletLocked,
        *POLICY_ERRORS,
        *_NAMED,
        *IDEMPOTENT,
    ),
)
async def create(body: RentalCreate, work: Writing, request: Request) -> Response:
    """Rent the cheapest listing that fits: an hour at its rate is reserved now, billing begins once the GPU is checked.

    With `wait_seconds` a rental that nothing fits now is `queued`: an hour at `max_price_per_hour` is reserved, and it
    is placed, in the order of creation, once something comes up.

    The answer comes before there is a machine; follow `Location`, or the rental's events, until it is `running`.
    Where there is too little money, `auto_topup` in the error says whether the card was asked for more. Where a policy
    says no, `reason` and `binding_limit` say which limit of whom it is.
    """

    async def run() -> Answer:
        made, ask = await begin(
            work.session,
            body,
            principal=work.principal,
            vault=state_of(request).vault,
            at=work.at,
        )
        headers = {"Location": f"/v1/rentals/{made.rental_id}", "ETag": etag(made.rental_id, 1), **_LOOK_AGAIN}
        return Answer(new_rental_view(made, ask, principal=work.principal), headers)

    try:
        return await replay_or_run(work, request, status=202, run=run)
    except InsufficientBalance as refused:
        work.after_rollback.append(asking_after(refused, account_id=work.account_id, at=work.at))
        raise


@router.get(
    "",
    response_model=ListAnswer[Rental],
    operation_id="list_rentals",
    responses=responses_for(InvalidCursor, UnknownFamily),
)
async def list_all(page: Annotated[RentalPage, Query()], work: Reading) -> Response:
    """Return the account's rentals, newest first, those that are over included."""
    after = work.after(page)
    rows = await queries.list_rentals(
        work.session,
        account_id=work.account_id,
        statuses=page.status,
        family=_slug(page.family),
        tag=page.tag,
        team_id=page.team_id,
        seen=seen_by(work.principal),
        before=None if after is None else str(after[0]),
        limit=page.limit + 1,
    )
    seen = await see(work.session, rows, account_id=work.account_id)

    def render(one: Seen) -> Rental:
        return rental_view(one, at=work.at)

    return answer(list_answer(seen, page, render=render, seal=lambda one: work.cursor((one.row.id,), page)))


@router.get("/{rental_id}", response_model=Rental, operation_id="get_rental", responses=responses_for(NotFound))
async def get_one(rental_id: str, work: Reading) -> Response:
    """Return one rental, its cost live at this moment."""
    return _shown(await get_seen(work.session, rental_id, principal=work.principal), work)


@router.patch(
    "/{rental_id}",
    response_model=Rental,
    operation_id="update_rental",
    responses=responses_for(NotFound, InvalidState, EtagMismatch, ValidationFailed, PolicyViolation),
)
async def update(rental_id: str, body: RentalUpdate, work: Writing, request: Request) -> Response:
    """Change a rental's name, tags or longest duration; what is not named stays, `null` clears."""
    row = await _locked(rental_id, work, request)
    await editing.update(work.session, row, body, actor=work.principal.actor, at=work.at)
    return await _changed(row, work)


@router.delete(
    "/{rental_id}",
    response_model=Rental,
    operation_id="delete_rental",
    responses={202: {"model": Rental, "description": "Stopping"}, **responses_for(NotFound)},
)
async def delete(rental_id: str, work: Writing) -> Response:
    """Stop a rental, as `POST …/stop` does."""
    return await _stop(rental_id, work)


@router.post(
    "/{rental_id}/stop",
    response_model=Rental,
    operation_id="stop_rental",
    responses={202: {"model": Rental, "description": "Stopping"}, **responses_for(NotFound)},
)
async def stop_one(rental_id: str, work: Writing) -> Response:
    """Stop a rental: nothing is billed from this moment on, and the unused reserve is back. 200 when it was stopped before.

    `stopped` follows once the machine is seen to be gone.
    """
    return await _stop(rental_id, work)


@router.post(
    "/{rental_id}/extend",
    response_model=Rental,
    operation_id="extend_rental",
    responses=responses_for(NotFound, InvalidState, ValidationFailed, PolicyViolation, *IDEMPOTENT),
)
async def extend(rental_id: str, body: RentalExtend, work: Writing, request: Request) -> Response:
    """Move the end of a running rental that has a longest duration."""

    async def run() -> Answer:
        row = await editing.lock(work.session, rental_id, principal=work.principal)
        await editing.extend(work.session, row, body.seconds, actor=work.principal.actor, at=work.at)
        [seen] = await see(work.session, [row], account_id=work.account_id)
        return Answer(rental_view(seen, at=work.at), {"ETag": seen.etag})

    return await replay_or_run(work, request, status=200, run=run)


@router.post(
    "/{rental_id}/report",
    status_code=202,
    response_model=Rental,
    operation_id="report_rental",
    responses=responses_for(NotFound, InvalidState),
)
async def report(rental_id: str, body: RentalReport, work: Writing) -> Response:
    """Say that a running rental's machine is bad. It stands in the rental's events, and the host is looked at."""
    row = await editing.lock(work.session, rental_id, principal=work.principal)
    await editing.report(work.session, row, body.reason, actor=work.principal.actor, at=work.at)
    return await _changed(row, work, status=202)


@router.put(
    "/{rental_id}/ssh-keys/{key_id}",
    status_code=202,
    response_model=Rental,
    operation_id="add_rental_ssh_key",
    responses=responses_for(NotFound, InvalidState, EtagMismatch, ValidationFailed),
)
async def add_key(rental_id: str, key_id: str, work: Writing, request: Request) -> Response:
    """Let one of the account's SSH keys open the machine, within seconds if it runs."""
    row = await _locked(rental_id, work, request)
    key = await get_key(work.session, key_id, account_id=work.account_id)
    await editing.add_key(work.session, row, key, actor=work.principal.actor, at=work.at)
    return await _changed(row, work, status=202)


@router.delete(
    "/{rental_id}/ssh-keys/{key_id}",
    status_code=202,
    response_model=Rental,
    operation_id="remove_rental_ssh_key",
    responses=responses_for(NotFound, InvalidState, EtagMismatch),
)
async def remove_key(rental_id: str, key_id: str, work: Writing, request: Request) -> Response:
    """Take an SSH key off the machine, also one that the account no longer has."""
    row = await _locked(rental_id, work, request)
    await editing.remove_key(work.session, row, known_key_id(key_id), actor=work.principal.actor, at=work.at)
    return await _changed(row, work, status=202)


async def _locked(rental_id: str, work: Work, request: Request) -> RentalRow:
    row = await editing.lock(work.session, rental_id, principal=work.principal)
    check_match(request, etag(row.id, row.version))
    return row


async def _stop(rental_id: str, work: Work) -> Response:
    await require_reach(work.session, known_id(rental_id), work.principal)
    row = await stop(
        work.session,
        account_id=work.account_id,
        rental_id=known_id(rental_id),
        reason="user",
        actor=work.principal.actor,
        at=work.at,
    )
    accepted_now = row.settled_at == work.at and row.status == Status.STOPPING
    return await _changed(row, work, status=202 if accepted_now else 200)


async def _changed(row: RentalRow, work: Work, *, status: int = 200) -> Response:
    [seen] = await see(work.session, [row], account_id=work.account_id)
    return _shown(seen, work, status=status)


def _shown(seen: Seen, work: Work, *, status: int = 200) -> Response:
    headers = {"ETag": seen.etag} | (_LOOK_AGAIN if status == 202 else {})  # noqa: PLR2004 - accepted
    return answer(rental_view(seen, at=work.at), status=status, headers=headers)


def _slug(name: str | None) -> str | None:
    if name is None:
        return None
    family = catalog.find_family(name)
    if family is None:
        raise UnknownFamily
    return family.slug
