"""Teams over HTTP."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Query, Request, Response

from app import audit
from app.kit.errors import NotFound
from app.kit.finding import nothing
from app.kit.ids import TeamId
from app.tenancy.errors import NameTaken, TeamArchived, TooMany
from app.tenancy.forgetting import forget_keys
from app.tenancy.models import TeamRow
from app.tenancy.revoking import revoke_keys_of_team
from app.tenancy.teams import queries
from app.tenancy.teams.changing import add_team, change_team, require_administrator
from app.tenancy.teams.schemas import TeamCreate, TeamOut, TeamPage, TeamUpdate, team_etag
from app.tenancy.teams.teams import known_team_id
from app.web import (
    IDEMPOTENT,
    Answer,
    ListAnswer,
    Work,
    answer,
    check_match,
    list_answer,
    moment_in,
    new_router,
    replay_or_run,
    responses_for,
    working,
)
from app.web.acts import changed_nothing
from app.web.errors import EtagMismatch, Forbidden, InvalidCursor

router = new_router("/v1/teams", tag="teams")
Reading = Annotated[Work, Depends(working("teams:read"), scope="function")]
Writing = Annotated[Work, Depends(working("teams:write"), scope="function")]


@router.post(
    "",
    status_code=201,
    response_model=TeamOut,
    operation_id="create_team",
    responses=responses_for(Forbidden, NameTaken, TooMany, *IDEMPOTENT),
)
async def create(body: TeamCreate, work: Writing, request: Request) -> Response:
    """Make a team. Until it has a policy of its own, the default one holds for it."""
    require_administrator(work.principal)

    async def run() -> Answer:
        """Write the team."""
        row = await add_team(
            work.session, account_id=work.account_id, name=body.name, time_zone=body.time_zone, at=work.at
        )
        await audit.note(work, "team.created", row.id, team_id=row.id, details={"after": _told(row)})
        return Answer(TeamOut.of(row), {"Location": f"/v1/teams/{row.id}", "ETag": team_etag(row)})

    return await replay_or_run(work, request, status=201, run=run)


@router.get("", response_model=ListAnswer[TeamOut], operation_id="list_teams", responses=responses_for(InvalidCursor))
async def list_all(page: Annotated[TeamPage, Query()], work: Reading) -> Response:
    """Return the teams that the caller sees, newest first."""
    rows = await queries.page_of_teams(
        work.session,
        work.principal,
        before=moment_in(work.after(page)),
        limit=page.limit + 1,
        only_active=not page.archived,
    )
    return answer(
        list_answer(
            rows, page, render=TeamOut.of, seal=lambda row: work.cursor((row.created_at.isoformat(), row.id), page)
        )
    )


@router.get("/{team_id}", response_model=TeamOut, operation_id="get_team", responses=responses_for(NotFound))
async def get_one(team_id: str, work: Reading) -> Response:
    """Return one team."""
    return _shown(await queries.get_row(work.session, seen_team_id(team_id, work), account_id=work.account_id))


@router.patch(
    "/{team_id}",
    response_model=TeamOut,
    operation_id="update_team",
    responses=responses_for(NotFound, Forbidden, NameTaken, TeamArchived, EtagMismatch),
)
async def update(team_id: str, body: TeamUpdate, work: Writing, request: Request) -> Response:
    """Change a team's name or time zone; what is not named stays."""
    row = await _held(team_id, work, request)
    before = _told(row)
    await change_team(work.session, row, {name: getattr(body, name) for name in body.model_fields_set})
    await audit.note(work, "team.updated", row.id, team_id=row.id, details=audit.changes(before, _told(row)))
    return _shown(row)


@router.delete(
    "/{team_id}",
    response_model=TeamOut,
    operation_id="archive_team",
    responses=responses_for(NotFound, Forbidden, EtagMismatch),
)
async def archive(team_id: str, work: Writing, request: Request) -> Response:
    """Archive a team, for good: its keys are revoked, nothing new is rented for it, and what it spent stays told.

    Rentals of the team that run go on. Archiving it again changes nothing.
    """
    row = await _held(team_id, work, request)
    if row.archived_at is not None:
        changed_nothing(work.session)
    else:
        row.archived_at = work.at
        await work.session.flush()
        keys = await revoke_keys_of_team(work.session, row.id, account_id=work.account_id, at=work.at)
        await audit.note(work, "team.archived", row.id, team_id=row.id, details={"keys_revoked": keys})
        forget_keys(work, request, keys)
    return _shown(row)


def seen_team_id(text: str, work: Work) -> TeamId:
    """Return the id of a team that the caller sees, if there is one of this id.

    Raises:
        NotFound: it does not see it, which is told like one that nobody has.
    """
    team_id = known_team_id(text)
    if not work.principal.reaches(team_id, created_by=None):
        raise nothing("team")
    return team_id


async def _held(text: str, work: Work, request: Request) -> TeamRow:
    team_id = seen_team_id(text, work)
    row = await queries.lock_row(work.session, team_id, account_id=work.account_id)
    require_administrator(work.principal)
    check_match(request, team_etag(row))
    return row


def _shown(row: TeamRow) -> Response:
    return answer(TeamOut.of(row), headers={"ETag": team_etag(row)})


def _told(row: TeamRow) -> dict[str, Any]:
    """Return a team as the audit tells it."""
    return {"name": row.name, "time_zone": row.time_zone}
