"""A team's members over HTTP."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Query, Request, Response

from app import audit
from app.kit.errors import NotFound
from app.kit.finding import found
from app.kit.ids import TeamId, UserId
from app.tenancy.acting import acting
from app.tenancy.errors import TeamArchived
from app.tenancy.forgetting import forget_keys, forget_person
from app.tenancy.models import TeamRow
from app.tenancy.revoking import revoke_keys_in_team
from app.tenancy.teams import queries
from app.tenancy.teams.changing import drop_member, put_member, require_manager
from app.tenancy.teams.endpoints import seen_team_id
from app.tenancy.teams.queries import Membership
from app.tenancy.teams.schemas import TeamMemberOut, TeamMemberPage, TeamMemberPut
from app.tenancy.teams.teams import known_user_id
from app.web import (
    ListAnswer,
    Page,
    Visiting,
    Work,
    answer,
    list_answer,
    moment_in,
    new_router,
    responses_for,
    working,
)
from app.web.acts import changed_nothing
from app.web.errors import Forbidden, InvalidCursor, MembershipEnded

router = new_router("/v1/teams/{team_id}/members", tag="teams")
leaving_router = new_router("/v1/teams/{team_id}", tag="teams")
Reading = Annotated[Work, Depends(working("teams:read"), scope="function")]
Writing = Annotated[Work, Depends(working("teams:write"), scope="function")]


@router.get(
    "",
    response_model=ListAnswer[TeamMemberOut],
    operation_id="list_team_members",
    responses=responses_for(NotFound, InvalidCursor),
)
async def list_all(team_id: str, page: Annotated[Page, Query()], work: Reading) -> Response:
    """Return a team's members, the one added last first."""
    known = seen_team_id(team_id, work)
    of_team = TeamMemberPage(limit=page.limit, cursor=page.cursor, team_id=known)
    after = work.after(of_team)
    await queries.get_row(work.session, known, account_id=work.account_id)
    members = await queries.page_of_members(
        work.session,
        known,
        account_id=work.account_id,
        before=moment_in(after),
        limit=page.limit + 1,
    )
    return answer(
        list_answer(
            members,
            page,
            render=lambda one: TeamMemberOut.of(*one),
            seal=lambda one: work.cursor((one[0].added_at.isoformat(), one[0].user_id), of_team),
        )
    )


@router.get(
    "/{user_id}", response_model=TeamMemberOut, operation_id="get_team_member", responses=responses_for(NotFound)
)
async def get_one(team_id: str, user_id: str, work: Reading) -> Response:
    """Return one member of a team."""
    known = seen_team_id(team_id, work)
    member = await queries.find_member(work.session, known, known_user_id(user_id), account_id=work.account_id)
    return answer(TeamMemberOut.of(*found(member, "member")))


@router.put(
    "/{user_id}",
    response_model=TeamMemberOut,
    operation_id="put_team_member",
    responses=responses_for(NotFound, Forbidden, TeamArchived),
)
async def put(team_id: str, user_id: str, body: TeamMemberPut, work: Writing, request: Request) -> Response:
    """Put somebody of the account into a team, as a member or as who leads it, or make it the other."""
    known, person = seen_team_id(team_id, work), known_user_id(user_id)
    team = await queries.lock_row(work.session, known, account_id=work.account_id)
    member = await queries.find_member(work.session, known, person, account_id=work.account_id)
    was = member[0].role if member else None
    require_manager(work.principal, known, was=was, becomes=body.role)
    membership = await put_member(work.session, team, person, role=body.role, at=work.at)
    if was == body.role:
        changed_nothing(work.session)
    else:
        action = "team_member.added" if was is None else "team_member.updated"
        details = audit.changes({"role": was}, {"role": body.role})
        await audit.note(work, action, person, team_id=known, details=details)
        forget_person(work, request, person)
    return answer(TeamMemberOut.of(*membership))


@router.delete(
    "/{user_id}",
    response_model=TeamMemberOut,
    operation_id="remove_team_member",
    responses=responses_for(NotFound, Forbidden),
)
async def remove(team_id: str, user_id: str, work: Writing, request: Request) -> Response:
    """Take somebody out of a team. The keys that it made for the team are revoked."""
    known, person = seen_team_id(team_id, work), known_user_id(user_id)
    team, member = await _held(known, person, work)
    require_manager(work.principal, known, was=member[0].role, becomes=None)
    return await _taken_out(team, member, work, request)


@leaving_router.post(
    "/leave",
    response_model=TeamMemberOut,
    operation_id="leave_team",
    responses=responses_for(NotFound, MembershipEnded),
)
async def leave(team_id: str, person: Visiting, request: Request) -> Response:
    """Leave a team, as the person signed in. The keys that one made for it are revoked."""
    async with acting(request, person) as work:
        team, member = await _held(seen_team_id(team_id, work), person.person_id, work)
        return await _taken_out(team, member, work, request)


async def _held(team_id: TeamId, user_id: UserId, work: Work) -> tuple[TeamRow, Membership]:
    team = await queries.lock_row(work.session, team_id, account_id=work.account_id)
    return team, found(await queries.find_member(work.session, team_id, user_id, account_id=work.account_id), "member")


async def _taken_out(team: TeamRow, member: Membership, work: Work, request: Request) -> Response:
    known, person = TeamId(team.id), UserId(member[0].user_id)
    await drop_member(work.session, team, person)
    keys = await revoke_keys_in_team(work.session, known, person, account_id=work.account_id, at=work.at)
    details = {"before": {"role": member[0].role}, "keys_revoked": keys}
    await audit.note(work, "team_member.removed", person, team_id=known, details=details)
    forget_keys(work, request, keys)
    forget_person(work, request, person)
    return answer(TeamMemberOut.of(*member))
