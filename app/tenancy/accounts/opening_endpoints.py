"""Opening an organization over HTTP, and the ones a person belongs to. For people, not for keys."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Any, Protocol, cast

from fastapi import Request, Response
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from ulid import ULID

from app import audit
from app.kit.ids import AccountId
from app.tenancy.accounts.schemas import AccountCreate, MembershipOut
from app.tenancy.authenticating import TenancyState
from app.tenancy.errors import TooMany
from app.tenancy.opening import open_account
from app.tenancy.people.signing_in import OpenWallet
from app.tenancy.queries import FIND_MEMBERSHIPS
from app.web import ListAnswer, SignedIn, Visiting, answer, idempotency_key, new_router, responses_for
from app.web.errors import IdempotencyKeyMissing, IdempotencyMismatch
from app.web.exchange import state_of

ORGANIZATIONS_MAX = 20
router = new_router("/v1/accounts", tag="account")


class OpeningState(TenancyState, Protocol):
    """What opening an account needs beside what the room's other endpoints do."""

    @property
    def open_wallet(self) -> OpenWallet:
        """How a new account gets its wallet."""
        ...


@router.post(
    "",
    status_code=201,
    response_model=MembershipOut,
    operation_id="open_account",
    responses=responses_for(TooMany, IdempotencyKeyMissing, IdempotencyMismatch),
)
async def create(body: AccountCreate, person: Visiting, request: Request) -> Response:
    """Open an organization with a wallet of its own, owned by the person who is signed in."""
    state = cast("OpeningState", state_of(request))
    account_id = _opened_by(person, idempotency_key(request))
    found = await _organizations(state, person)
    replayed = account_id in found
    if not replayed:
        if sum(row["role"] == "owner" for row in found.values()) >= ORGANIZATIONS_MAX:
            raise TooMany(f"A person owns at most {ORGANIZATIONS_MAX} organizations.")
        replayed = not await _open(state, person, body, account_id=account_id, at=state.clock.now())
        found = await _organizations(state, person)
    row = found.get(account_id)
    if row is None or row["opened_as"] != body.name:
        raise IdempotencyMismatch
    told = {"Idempotency-Replayed": "true"} if replayed else {}
    return answer(MembershipOut.of(row), status=201, headers={"Location": "/v1/account", **told})


@router.get("", response_model=ListAnswer[MembershipOut], operation_id="list_accounts", responses=responses_for())
async def list_all(person: Visiting, request: Request) -> Response:
    """Return the organizations that the person belongs to, the one joined last first."""
    found = await _organizations(cast("OpeningState", state_of(request)), person)
    return answer(ListAnswer[MembershipOut](data=[MembershipOut.of(row) for row in found.values()], has_more=False))


async def _open(
    state: OpeningState, person: SignedIn, body: AccountCreate, *, account_id: AccountId, at: datetime
) -> bool:
    """Open an account in a transaction of its own; return False where a twin was quicker."""

    async def opening(session: AsyncSession) -> None:
        """Write the account, its wallet and the entry."""
        await open_account(
            session,
            name=body.name,
            email=person.emails[0],
            at=at,
            kind="organization",
            account_id=account_id,
            user_id=person.person_id,
            owner_name=person.name,
        )
        await state.open_wallet(session, account_id=account_id, at=at)
        entry = audit.Entry(account_id, "account.opened", account_id, at, details={"after": {"name": body.name}})
        await audit.write(session, entry)

    try:
        await state.db.run(opening, account_id=account_id)
    except IntegrityError:
        return False
    return True


def _opened_by(person: SignedIn, key: str) -> AccountId:
    """Return the id of the account that a person opens with a key: the same key opens no second one."""
    digest = hashlib.sha256(f"account {person.person_id} {key}".encode()).digest()
    return AccountId(f"{AccountId.prefix}_{ULID.from_bytes(digest[:16])}")


async def _organizations(state: TenancyState, person: SignedIn) -> dict[str, Any]:
    rows = await state.auth_db.fetch_once(FIND_MEMBERSHIPS, person.person_id)
    return {row["account_id"]: row for row in rows if row["kind"] == "organization"}
