"""Leaving an account and handing it over, over HTTP."""

from __future__ import annotations

from fastapi import Request, Response

from app import audit
from app.kit.errors import NotFound
from app.tenancy.acting import acting
from app.tenancy.errors import LastOwner, UnknownReference
from app.tenancy.forgetting import forget_person
from app.tenancy.members.changing import change_role, hold_member, role_of
from app.tenancy.members.endpoints import end_membership
from app.tenancy.members.queries import lock_member
from app.tenancy.members.schemas import Member, Transfer
from app.tenancy.models import UserRow
from app.tenancy.teams import known_user_id
from app.tenancy.teams.queries import teams_of
from app.web import Visiting, Work, answer, new_router, responses_for
from app.web.errors import Forbidden, MembershipEnded
from app.web.principal import Role

router = new_router("/v1/account", tag="members")


@router.post(
    "/leave", response_model=Member, operation_id="leave_account", responses=responses_for(LastOwner, MembershipEnded)
)
async def leave(person: Visiting, request: Request) -> Response:
    """Leave the account in which one is signed in, with one's teams and keys. What one rented stays the account's."""
    async with acting(request, person) as work:
        row = await hold_member(work.session, person.person_id, account_id=work.account_id)
        await end_membership(row, work, request)
        return answer(Member.of(row, []))


@router.post(
    "/transfer",
    response_model=Member,
    operation_id="transfer_account",
    responses=responses_for(Forbidden, MembershipEnded, UnknownReference),
)
async def transfer(body: Transfer, person: Visiting, request: Request) -> Response:
    """Hand the account over: somebody else of it owns it, and the owner who asks is something less afterwards."""
    async with acting(request, person) as work:
        giver = await hold_member(work.session, person.person_id, account_id=work.account_id)
        if giver.removed_at is not None or role_of(giver) != "owner":
            raise Forbidden("Only an owner can hand the account over.")
        heir = await _heir(body.user_id, giver, work)
        await _make(heir, "owner", work, request)
        await _make(giver, body.role_afterwards, work, request)
        teams = await teams_of(work.session, [heir.id], account_id=work.account_id)
        return answer(Member.of(heir, teams[heir.id]))


async def _heir(named: str, giver: UserRow, work: Work) -> UserRow:
    try:
        heir = await lock_member(work.session, known_user_id(named), account_id=work.account_id)
    except NotFound:
        raise UnknownReference from None
    if heir.removed_at is not None or heir.id == giver.id:
        raise UnknownReference
    return heir


async def _make(row: UserRow, role: Role, work: Work, request: Request) -> None:
    before = role_of(row)
    await change_role(work.session, row, role, at=work.at)
    if before != role:
        await audit.note(work, "member.updated", row.id, details=audit.changes({"role": before}, {"role": role}))
    forget_person(work, request, row.id)
