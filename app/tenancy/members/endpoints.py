"""The people of an account over HTTP."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Query, Request, Response

from app import audit
from app.kit.errors import NotFound
from app.kit.ids import TeamId
from app.tenancy.errors import LastOwner
from app.tenancy.forgetting import forget_keys, forget_person
from app.tenancy.members import queries
from app.tenancy.members.changing import change_role, hold_member, remove, require_role_change, role_of
from app.tenancy.members.schemas import Member, MemberUpdate, member_etag
from app.tenancy.models import UserRow
from app.tenancy.teams import known_user_id
from app.tenancy.teams.queries import teams_of
from app.web import (
    ListAnswer,
    Page,
    Work,
    answer,
    check_match,
    list_answer,
    moment_in,
    new_router,
    responses_for,
    working,
)
from app.web.acts import changed_nothing
from app.web.errors import EtagMismatch, Forbidden, InvalidCursor

router = new_router("/v1/members", tag="members")
Reading = Annotated[Work, Depends(working("teams:read"), scope="function")]
Writing = Annotated[Work, Depends(working("teams:write"), scope="function")]


class MemberPage(Page):
    """The query of the list of members."""


@router.get("", response_model=ListAnswer[Member], operation_id="list_members", responses=responses_for(InvalidCursor))
async def list_all(page: Annotated[MemberPage, Query()], work: Reading) -> Response:
    """Return the people of the account, the one that joined last first. A team's key sees those of its team."""
    rows = await queries.page_of_members(
        work.session,
        account_id=work.account_id,
        teams=_seen_teams(work),
        before=moment_in(work.after(page)),
        limit=page.limit + 1,
    )
    teams = await teams_of(work.session, [row.id for row in rows], account_id=work.account_id)
    return answer(
        list_answer(
            rows,
            page,
            render=lambda row: Member.of(row, teams[row.id]),
            seal=lambda row: work.cursor((row.joined_at.isoformat(), row.id), page),
        )
    )


@router.get("/{user_id}", response_model=Member, operation_id="get_member", responses=responses_for(NotFound))
async def get_one(user_id: str, work: Reading) -> Response:
    """Return one person of the account."""
    person = known_user_id(user_id)
    row = await queries.get_member(work.session, person, account_id=work.account_id, teams=_seen_teams(work))
    return await _shown(row, work)


@router.patch(
    "/{user_id}",
    response_model=Member,
    operation_id="update_member",
    responses=responses_for(NotFound, Forbidden, LastOwner, EtagMismatch),
)
async def update(user_id: str, body: MemberUpdate, work: Writing, request: Request) -> Response:
    """Give somebody another role. Its keys go as far as that from now on. Only owners make and unmake owners."""
    row = await hold_member(work.session, known_user_id(user_id), account_id=work.account_id)
    require_role_change(work.principal, was=role_of(row), becomes=body.role)
    check_match(request, member_etag(row))
    before = row.role
    await change_role(work.session, row, body.role, at=work.at)
    if before == row.role:
        changed_nothing(work.session)
    else:
        await audit.note(work, "member.updated", row.id, details=audit.changes({"role": before}, {"role": row.role}))
    forget_person(work, request, row.id)
    return await _shown(row, work)


@router.delete(
    "/{user_id}",
    response_model=Member,
    operation_id="remove_member",
    responses=responses_for(NotFound, Forbidden, LastOwner),
)
async def delete(user_id: str, work: Writing, request: Request) -> Response:
    """Remove somebody from the account, with its teams, its keys and what it invited others to.

    What it rented runs on and stays the account's. Removing it again changes nothing.
    """
    row = await hold_member(work.session, known_user_id(user_id), account_id=work.account_id)
    require_role_change(work.principal, was=role_of(row), becomes=None)
    await end_membership(row, work, request)
    return await _shown(row, work)


async def end_membership(row: UserRow, work: Work, request: Request) -> None:
    """Remove a person whose row is held, tell it in the audit, and let it be felt at once.

    Raises:
        LastOwner: nobody else owns the account.
    """
    if row.removed_at is not None:
        changed_nothing(work.session)
    else:
        ended = await remove(work.session, row, at=work.at)
        await audit.note(work, "member.removed", row.id, details={"before": {"role": row.role}, **ended.told})
        forget_keys(work, request, ended.keys)
    forget_person(work, request, row.id)


def _seen_teams(work: Work) -> frozenset[TeamId] | None:
    """Return the teams to whose people a caller is confined: a team's key only. People know who else is in the account."""
    return work.principal.reach if work.principal.team_id is not None else None


async def _shown(row: UserRow, work: Work) -> Response:
    teams = await teams_of(work.session, [row.id], account_id=work.account_id)
    return answer(Member.of(row, teams[row.id]), headers={"ETag": member_etag(row)})
