"""SSH keys over HTTP."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Query, Request, Response

from app.kit.errors import NotFound
from app.machines import MalformedKey, WeakKey
from app.rentals import queries
from app.rentals.asking.ssh_keys import SshKey, add_key, delete_key, get_key
from app.rentals.asking.wishes import SshKeyCreate, SshKeyPage
from app.rentals.errors import DuplicateKey
from app.web import (
    IDEMPOTENT,
    Answer,
    ListAnswer,
    Work,
    answer,
    list_answer,
    new_router,
    replay_or_run,
    responses_for,
    working,
)
from app.web.errors import InvalidCursor

router = new_router("/v1/ssh-keys", tag="ssh-keys")
Reading = Annotated[Work, Depends(working("rentals:read"), scope="function")]
Writing = Annotated[Work, Depends(working("rentals:write"), scope="function")]


@router.post(
    "",
    status_code=201,
    response_model=SshKey,
    operation_id="create_ssh_key",
    responses=responses_for(DuplicateKey, WeakKey, MalformedKey, *IDEMPOTENT),
)
async def create(body: SshKeyCreate, work: Writing, request: Request) -> Response:
    """Keep a public key: Ed25519, ECDSA, or RSA of at least 2048 bits. Rentals that name no keys get all of them."""

    async def run() -> Answer:
        made = await add_key(work.session, body.public_key, name=body.name, account_id=work.account_id, at=work.at)
        return Answer(made, headers={"Location": f"/v1/ssh-keys/{made.id}"})

    return await replay_or_run(work, request, status=201, run=run)


@router.get("", response_model=ListAnswer[SshKey], operation_id="list_ssh_keys", responses=responses_for(InvalidCursor))
async def list_all(page: Annotated[SshKeyPage, Query()], work: Reading) -> Response:
    """Return the account's public keys, newest first."""
    after = work.after(page)
    rows = await queries.list_ssh_keys(
        work.session,
        account_id=work.account_id,
        before=None if after is None else str(after[0]),
        limit=page.limit + 1,
    )
    return answer(list_answer(rows, page, render=SshKey.of, seal=lambda row: work.cursor((row.id,), page)))


@router.get("/{key_id}", response_model=SshKey, operation_id="get_ssh_key", responses=responses_for(NotFound))
async def get_one(key_id: str, work: Reading) -> Response:
    """Return one public key."""
    return answer(SshKey.of(await get_key(work.session, key_id, account_id=work.account_id)))


@router.delete("/{key_id}", status_code=204, operation_id="delete_ssh_key", responses=responses_for(NotFound))
async def delete(key_id: str, work: Writing) -> Response:
    """Forget a public key. Rentals that carry it keep it until it is taken off them."""
    await delete_key(work.session, key_id, account_id=work.account_id)
    return Response(status_code=204)
