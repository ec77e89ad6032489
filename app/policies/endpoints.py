"""Policies over HTTP: read, set and tried out; one for the account, for each team, person and key."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import Depends, Request, Response

from app import catalog
from app.kit.errors import NotFound
from app.policies import subjects
from app.policies.checking import rehearse
from app.policies.errors import PolicyViolation, UnknownTeam
from app.policies.reading import Rules, standing_terms_for, terms_for
from app.policies.schemas import PolicyCheck, PolicyTerms, PolicyUpdate, ZonedTerms, ZonedUpdate
from app.policies.setting import lock_policy, set_terms
from app.policies.spenders import Spender
from app.policies.standing import stand
from app.policies.terms import Policy
from app.policies.views import PolicyVerdict, PolicyView, policy_etag
from app.web import Work, answer, check_match, consulting, new_router, responses_for, working
from app.web.errors import EtagMismatch, Forbidden

router = new_router("/v1", tag="policies")
Reading = Annotated[Work, Depends(working("teams:read"), scope="function")]
Writing = Annotated[Work, Depends(working("teams:write"), scope="function")]
Asking = Annotated[Work, Depends(consulting("teams:read"), scope="function")]
_READS: Final = responses_for(NotFound)
_WRITES: Final = responses_for(NotFound, Forbidden, EtagMismatch)


@router.get("/account/policy", response_model=PolicyView, operation_id="get_account_policy")
async def get_of_account(work: Reading) -> Response:
    """Return the account's own policy, which holds for everybody in it, and what is gone of its limits."""
    return await _told(work, Spender(work.account_id))


@router.put(
    "/account/policy", response_model=PolicyView, operation_id="set_account_policy",
    responses=responses_for(Forbidden, EtagMismatch),
)  # fmt: skip
async def put_of_account(body: ZonedTerms, work: Writing, request: Request) -> Response:
    """Set the account's policy as a whole. What is open stays; what is asked for from now on is held against it."""
    return await _put(work, request, Spender(work.account_id), body, time_zone=body.time_zone)


@router.patch(
    "/account/policy", response_model=PolicyView, operation_id="update_account_policy",
    responses=responses_for(Forbidden, EtagMismatch),
)  # fmt: skip
async def patch_of_account(body: ZonedUpdate, work: Writing, request: Request) -> Response:
    """Change what is named of the account's policy; null clears."""
    return await _patch(work, request, Spender(work.account_id), body, time_zone=body.time_zone)


@router.get("/teams/{team_id}/policy", response_model=PolicyView, operation_id="get_team_policy", responses=_READS)
async def get_of_team(team_id: str, work: Reading) -> Response:
    """Return a team's policy, the default one until it is set, and what is gone of its limits."""
    return await _told(work, await subjects.team(work.session, team_id, work.principal))


@router.put("/teams/{team_id}/policy", response_model=PolicyView, operation_id="set_team_policy", responses=_WRITES)
async def put_of_team(team_id: str, body: PolicyTerms, work: Writing, request: Request) -> Response:
    """Set a team's policy as a whole. What is open stays; what is asked for from now on is held against it."""
    return await _put(work, request, await subjects.team(work.session, team_id, work.principal), body)


@router.patch(
    "/teams/{team_id}/policy", response_model=PolicyView, operation_id="update_team_policy", responses=_WRITES
)
async def patch_of_team(team_id: str, body: PolicyUpdate, work: Writing, request: Request) -> Response:
    """Change what is named of a team's policy; null clears."""
    return await _patch(work, request, await subjects.team(work.session, team_id, work.principal), body)


@router.get("/members/{user_id}/policy", response_model=PolicyView, operation_id="get_member_policy", responses=_READS)
async def get_of_member(user_id: str, work: Reading) -> Response:
    """Return a person's policy in this account, and what is gone of its limits, by own hand and by own keys."""
    return await _told(work, await subjects.member(work.session, user_id, work.principal))


@router.put("/members/{user_id}/policy", response_model=PolicyView, operation_id="set_member_policy", responses=_WRITES)
async def put_of_member(user_id: str, body: ZonedTerms, work: Writing, request: Request) -> Response:
    """Set a person's policy as a whole."""
    spender = await subjects.member(work.session, user_id, work.principal)
    return await _put(work, request, spender, body, time_zone=body.time_zone)


@router.patch(
    "/members/{user_id}/policy", response_model=PolicyView, operation_id="update_member_policy", responses=_WRITES
)
async def patch_of_member(user_id: str, body: ZonedUpdate, work: Writing, request: Request) -> Response:
    """Change what is named of a person's policy; null clears."""
    spender = await subjects.member(work.session, user_id, work.principal)
    return await _patch(work, request, spender, body, time_zone=body.time_zone)


@router.get("/api-keys/{key_id}/policy", response_model=PolicyView, operation_id="get_key_policy", responses=_READS)
async def get_of_key(key_id: str, work: Reading) -> Response:
    """Return an API key's policy, and what is gone of its limits and of the key's own spend limit. Days are UTC's."""
    return await _told(work, await subjects.key(work.session, key_id, work.principal))


@router.put("/api-keys/{key_id}/policy", response_model=PolicyView, operation_id="set_key_policy", responses=_WRITES)
async def put_of_key(key_id: str, body: PolicyTerms, work: Writing, request: Request) -> Response:
    """Set an API key's policy as a whole."""
    return await _put(work, request, await subjects.key(work.session, key_id, work.principal), body)


@router.patch(
    "/api-keys/{key_id}/policy", response_model=PolicyView, operation_id="update_key_policy", responses=_WRITES
)
async def patch_of_key(key_id: str, body: PolicyUpdate, work: Writing, request: Request) -> Response:
    """Change what is named of an API key's policy; null clears."""
    return await _patch(work, request, await subjects.key(work.session, key_id, work.principal), body)


@router.post("/account/policy/check", response_model=PolicyVerdict, operation_id="check_account_policy")
async def check_of_account(body: PolicyCheck, work: Asking) -> Response:
    """Say whether the caller could rent this right now, for no team, and which limit says no. Nothing is reserved."""
    return await _verdict(work, body, await terms_for(work.session, Spender.of_no_team(work.principal)))


@router.post(
    "/teams/{team_id}/policy/check", response_model=PolicyVerdict, operation_id="check_team_policy",
    responses=responses_for(NotFound, UnknownTeam),
)  # fmt: skip
async def check_of_team(team_id: str, body: PolicyCheck, work: Asking) -> Response:
    """Say whether the caller could rent this for a team right now, and which limit says no. Nothing is reserved.

    All that applies is asked: the account's policy, the team's, the caller's and its key's, with the key's own limit.
    """
    team = await subjects.team(work.session, team_id, work.principal)
    return await _verdict(work, body, await terms_for(work.session, Spender.of(work.principal, team.team_id)))


async def _told(work: Work, spender: Spender) -> Response:
    rules = await standing_terms_for(work.session, spender)
    policy = rules.policies[-1]
    view = PolicyView.of(policy, await stand(work.session, Rules(spender, (policy,), ()), at=work.at))
    return answer(view, headers={"ETag": policy_etag(policy)})


async def _put(
    work: Work, request: Request, spender: Spender, body: PolicyTerms, *, time_zone: str | None = None
) -> Response:
    before = await _locked(work, request, spender)
    await set_terms(
        work.session,
        before,
        body.terms(),
        account_id=work.account_id,
        time_zone=time_zone,
        actor=work.principal.actor,
        at=work.at,
    )
    return await _told(work, spender)


async def _patch(
    work: Work, request: Request, spender: Spender, body: PolicyUpdate, *, time_zone: str | None = None
) -> Response:
    before = await _locked(work, request, spender)
    await set_terms(
        work.session,
        before,
        body.changed(before.terms),
        account_id=work.account_id,
        time_zone=time_zone,
        actor=work.principal.actor,
        at=work.at,
    )
    return await _told(work, spender)


async def _locked(work: Work, request: Request, spender: Spender) -> Policy:
    subjects.require_administrator(work.principal)
    policy = await lock_policy(work.session, account_id=work.account_id, subject=spender.subjects[-1])
    check_match(request, policy_etag(policy))
    return policy


async def _verdict(work: Work, body: PolicyCheck, rules: Rules) -> Response:
    wanted = catalog.Wanted(
        families=(body.family,),
        gpu_count=body.gpu_count,
        regions=None if body.region is None else tuple(body.region),
        providers=None if body.provider is None else (body.provider,),
        spot=catalog.Spot(body.spot),
        disk_gb=body.disk_gb,
    )
    try:
        verdict = await rehearse(
            work.session,
            rules,
            wanted,
            price=body.price_per_hour,
            max_duration_seconds=body.max_duration_seconds,
            max_spend=body.max_spend,
            at=work.at,
        )
    except PolicyViolation as refused:
        return answer(PolicyVerdict.of_refusal(refused))
    return answer(PolicyVerdict.of(verdict))
