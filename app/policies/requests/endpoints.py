"""Change requests over HTTP."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Query, Request, Response

from app.kit.errors import NotFound
from app.kit.ids import TeamId
from app.policies import subjects
from app.policies.reading import get_policies
from app.policies.requests.errors import REQUEST_ERRORS
from app.policies.requests.models import RequestRow
from app.policies.requests.requesting import approve, ask, deny, get_request, list_requests, lock_request
from app.policies.requests.schemas import RequestCreate, RequestDecision, RequestPage, RequestView
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
from app.web.errors import Forbidden, InvalidCursor

router = new_router("/v1/teams/{team_id}/policy/requests", tag="policies")
Reading = Annotated[Work, Depends(working("teams:read"), scope="function")]
Asking = Annotated[Work, Depends(working("rentals:write"), scope="function")]
Writing = Annotated[Work, Depends(working("teams:write"), scope="function")]


@router.post(
    "", status_code=201, response_model=RequestView, operation_id="request_policy_change",
    responses=responses_for(NotFound, *IDEMPOTENT),
)  # fmt: skip
async def create(team_id: str, body: RequestCreate, work: Asking, request: Request) -> Response:
    """Ask that a team's policy be changed: for whoever rents in it. Owners and admins decide; they see it among the events."""
    team = await _team(work, team_id)

    async def run() -> Answer:
        row = await ask(work.session, team, body.fields(), caller=work.principal, reason=body.reason, at=work.at)
        return Answer(RequestView.of(row, version=row.version), {"Location": f"{request.url.path}/{row.id}"})

    return await replay_or_run(work, request, status=201, run=run)


@router.get(
    "", response_model=ListAnswer[RequestView], operation_id="list_policy_requests",
    responses=responses_for(NotFound, InvalidCursor),
)  # fmt: skip
async def list_all(team_id: str, page: Annotated[RequestPage, Query()], work: Reading) -> Response:
    """Return a team's requests, newest first."""
    team, after = await _team(work, team_id), work.after(page)
    rows = await list_requests(
        work.session,
        account_id=work.account_id,
        team_id=team,
        state=page.state,
        before=None if after is None else str(after[0]),
        limit=page.limit + 1,
    )
    version = await _version(work, team)
    return answer(
        list_answer(
            rows,
            page,
            render=lambda row: RequestView.of(row, version=version),
            seal=lambda row: work.cursor((row.id,), page),
        )
    )


@router.get("/{request_id}", response_model=RequestView, operation_id="get_policy_request",
            responses=responses_for(NotFound))  # fmt: skip
async def get(team_id: str, request_id: str, work: Reading) -> Response:
    """Return one of a team's requests."""
    team = await _team(work, team_id)
    return await _told(work, await get_request(work.session, request_id, account_id=work.account_id, team_id=team))


@router.post(
    "/{request_id}/approve", response_model=RequestView, operation_id="approve_policy_request",
    responses=responses_for(NotFound, Forbidden, *REQUEST_ERRORS),
)  # fmt: skip
async def approve_one(team_id: str, request_id: str, body: RequestDecision, work: Writing) -> Response:
    """Set what was asked for, at once: for owners and admins, and nobody but an owner decides about an own request."""
    row = await _locked(work, team_id, request_id)
    return await _told(work, await approve(work.session, row, caller=work.principal, note=body.note, at=work.at))


@router.post(
    "/{request_id}/deny", response_model=RequestView, operation_id="deny_policy_request",
    responses=responses_for(NotFound, Forbidden, *REQUEST_ERRORS),
)  # fmt: skip
async def deny_one(team_id: str, request_id: str, body: RequestDecision, work: Writing) -> Response:
    """Leave the policy as it is: for owners and admins, and nobody but an owner decides about an own request."""
    row = await _locked(work, team_id, request_id)
    return await _told(work, await deny(work.session, row, caller=work.principal, note=body.note, at=work.at))


async def _locked(work: Work, team_id: str, request_id: str) -> RequestRow:
    team = await _team(work, team_id)
    subjects.require_administrator(work.principal)
    return await lock_request(work.session, request_id, account_id=work.account_id, team_id=team)


async def _told(work: Work, row: RequestRow) -> Response:
    return answer(RequestView.of(row, version=await _version(work, TeamId(row.team_id))))


async def _version(work: Work, team_id: TeamId) -> int:
    [policy] = await get_policies(work.session, account_id=work.account_id, subjects=[team_id])
    return policy.version


async def _team(work: Work, text: str) -> TeamId:
    spender = await subjects.team(work.session, text, work.principal)
    if spender.team_id is None:
        raise NotFound("There is no such team.")
    return spender.team_id
