"""Hibernation over HTTP: a rental's machine off and on again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Depends, Request, Response

from app.kit.errors import InvalidState, NotFound
from app.policies import POLICY_ERRORS
from app.rentals.asking.schemas import Rental
from app.rentals.keeping.hibernating import hibernate
from app.rentals.models import RentalRow
from app.rentals.placing.resuming import resume
from app.rentals.showing.reach import require_reach
from app.rentals.showing.views import known_id, rental_view, see
from app.wallet import InsufficientBalance, WalletLocked, asking_after
from app.web import IDEMPOTENT, Answer, Work, new_router, replay_or_run, responses_for, working

router = new_router("/v1/rentals", tag="rentals")
Writing = Annotated[Work, Depends(working("rentals:write"), scope="function")]


@router.post(
    "/{rental_id}/hibernate",
    status_code=202,
    response_model=Rental,
    operation_id="hibernate_rental",
    responses=responses_for(NotFound, InvalidState, *IDEMPOTENT),
)
async def hibernate_one(rental_id: str, work: Writing, request: Request) -> Response:
    """Turn a running rental's machine off and keep its disk, where its cloud can: `actions` tells.

    Nothing is billed until it is off; then only `rate.stopped_per_hour`, of which an hour stays reserved. What is in
    memory is lost where the cloud keeps only the disk.
    """
    return await _done(hibernate, rental_id, work, request)


@router.post(
    "/{rental_id}/resume",
    status_code=202,
    response_model=Rental,
    operation_id="resume_rental",
    responses=responses_for(NotFound, InvalidState, InsufficientBalance, WalletLocked, *POLICY_ERRORS, *IDEMPOTENT),
)
async def resume_one(rental_id: str, work: Writing, request: Request) -> Response:
    """Run a hibernated rental again: an hour at its own rate is reserved, billing begins once the GPU is checked again.

    Where its machine can't be woken, another is rented at the same rate; then what was on the disk is lost, and
    `disk_lost` says so. The startup script runs again, with `HOURGLASS_RESUMED=1`.
    """
    try:
        return await _done(resume, rental_id, work, request)
    except InsufficientBalance as refused:
        work.after_rollback.append(asking_after(refused, account_id=work.account_id, at=work.at))
        raise


async def _done(deed: Callable[..., Awaitable[RentalRow]], rental_id: str, work: Work, request: Request) -> Response:
    async def run() -> Answer:
        await require_reach(work.session, known_id(rental_id), work.principal)
        row = await deed(
            work.session,
            account_id=work.account_id,
            rental_id=known_id(rental_id),
            actor=work.principal.actor,
            at=work.at,
        )
        [seen] = await see(work.session, [row], account_id=work.account_id)
        return Answer(rental_view(seen, at=work.at), {"ETag": seen.etag, "Retry-After": "2"})

    return await replay_or_run(work, request, status=202, run=run)
