"""Auto-top-up over HTTP: the rule, what it would do, and what it did."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Query, Request, Response

from app import refills, wallet
from app.kit.errors import InvalidState, NotFound
from app.refills import Card, Consent, Rule, State
from app.topups.charging.errors import CardRequired, UnknownCard
from app.topups.charging.schemas import (
    AutoTopup,
    AutoTopupPreview,
    AutoTopupTerms,
    AutoTopupUpdate,
    TopupAttempt,
    TopupAttemptPage,
)
from app.topups.visits import cards
from app.web import (
    IDEMPOTENT,
    Answer,
    ListAnswer,
    Work,
    answer,
    check_match,
    consulting,
    etag,
    list_answer,
    new_router,
    replay_or_run,
    responses_for,
    working,
)
from app.web.errors import EtagMismatch, InvalidCursor

router = new_router("/v1/wallet/auto-topup", tag="billing")
Reading = Annotated[Work, Depends(working("billing:read"), scope="function")]
Asking = Annotated[Work, Depends(consulting("billing:read"), scope="function")]
Writing = Annotated[Work, Depends(working("billing:write"), scope="function")]


@router.get("", response_model=AutoTopup, operation_id="get_auto_topup")
async def get(work: Reading) -> Response:
    """Return the rule and where it stands; `off` where there is none. Its entity tag stands for what can be changed."""
    return await _told(work)


@router.put(
    "",
    response_model=AutoTopup,
    operation_id="set_auto_topup",
    responses=responses_for(CardRequired, UnknownCard, EtagMismatch),
)
async def put(body: AutoTopupUpdate, work: Writing, request: Request) -> Response:
    """Set the rule and turn it on. A wallet that is below the threshold already is refilled at once.

    What a card has earned stays with it: a card that was declined for good begins anew only by another one, a payment
    by hand, or `POST …/resume`.
    """
    await _locked(work, request)
    await refills.configure(
        work.session,
        account_id=work.account_id,
        terms=body.terms,
        card=await _card(work, body.payment_method_id),
        consent=Consent(body.consent.text_version, work.at, work.principal.actor),
        at=work.at,
    )
    await wallet.watch(work.session, account_id=work.account_id)
    trigger = refills.Trigger.CONFIG
    await wallet.reconsider(work.session, account_id=work.account_id, trigger=trigger, at=work.at)
    return await _told(work)


@router.delete("", status_code=204, operation_id="delete_auto_topup", responses=responses_for(EtagMismatch))
async def delete(work: Writing, request: Request) -> Response:
    """Turn the rule off: no card is charged any more. A charge that is under way already goes on to its end."""
    await _locked(work, request)
    await refills.turn_off(work.session, account_id=work.account_id, actor=work.principal.actor, at=work.at)
    await wallet.watch(work.session, account_id=work.account_id)
    return Response(status_code=204)


@router.post(
    "/resume",
    response_model=AutoTopup,
    operation_id="resume_auto_topup",
    responses=responses_for(NotFound, InvalidState, *IDEMPOTENT),
)
async def resume(work: Writing, request: Request) -> Response:
    """Let a suspended rule, or one that backs off, try its card once more; at most once in 24 hours."""

    async def run() -> Answer:
        account_id, at = work.account_id, work.at
        rule = await refills.resume(work.session, account_id=account_id, actor=work.principal.actor, at=at)
        if rule is None:
            raise NotFound("There is no rule for auto-top-up, or it is off.")
        await wallet.reconsider(work.session, account_id=account_id, trigger=refills.Trigger.CONFIG, at=at)
        body, tag = await _read(work)
        return Answer(body, {"ETag": tag})

    return await replay_or_run(work, request, status=200, run=run)


@router.post(
    "/preview",
    response_model=AutoTopupPreview,
    operation_id="preview_auto_topup",
    responses=responses_for(CardRequired, UnknownCard),
)
async def preview(body: AutoTopupTerms, work: Asking) -> Response:
    """Return what a rule would do with these terms: now, at its threshold and when empty. Nothing is changed."""
    account_id, at = work.account_id, work.at
    card = await _card(work, body.payment_method_id)
    consent = Consent("preview", at, work.principal.actor)
    known = await refills.find_rule(work.session, account_id=account_id)
    if known is None:
        rule = refills.new_rule(account_id, body.terms, card, consent, at=at)
    else:
        rule = refills.configured(refills.lapsed(known, at), body.terms, card, consent)
    live = await wallet.is_live(work.session, account_id=account_id)
    standing = await refills.get_standing(work.session, account_id, live=live, at=at)
    return answer(AutoTopupPreview.of(refills.judge(rule, standing, at), standing))


@router.get(
    "/attempts",
    response_model=ListAnswer[TopupAttempt],
    operation_id="list_topup_attempts",
    responses=responses_for(InvalidCursor),
)
async def attempts(page: Annotated[TopupAttemptPage, Query()], work: Reading) -> Response:
    """Return the charges that the rule asked for, newest first, with how each of them ended."""
    after = work.after(page)
    rows = await refills.list_attempts(
        work.session, account_id=work.account_id, before=None if after is None else str(after[0]), limit=page.limit + 1
    )
    return answer(list_answer(rows, page, render=TopupAttempt.of, seal=lambda row: work.cursor((row.id,), page)))


async def _locked(work: Work, request: Request) -> None:
    await wallet.lock(work.session, account_id=work.account_id)
    check_match(request, _tag(work, await refills.find_rule(work.session, account_id=work.account_id)))


async def _card(work: Work, method_id: str | None) -> Card:
    """Return the card that is named, or the one that was saved last."""
    if method_id is None:
        saved = await cards.list_cards(work.session, account_id=work.account_id, limit=1)
        if not saved:
            raise CardRequired
        row = saved[0]
    else:
        try:
            row = await cards.get_card(work.session, method_id, account_id=work.account_id)
        except NotFound:
            problem = {"pointer": "/payment_method_id", "code": "unknown", "message": "names no card of this account"}
            raise UnknownCard(errors=[problem]) from None
    return Card(row.id, row.fingerprint or row.id)


async def _told(work: Work) -> Response:
    body, tag = await _read(work)
    return answer(body, headers={"ETag": tag})


async def _read(work: Work) -> tuple[AutoTopup, str]:
    session, account_id = work.session, work.account_id
    rule = await refills.find_rule(session, account_id=account_id)
    charged = await refills.get_charged(session, account_id=account_id, at=work.at)
    attempt = await refills.find_open(session, account_id=account_id)
    shown = rule and refills.lapsed(rule, work.at)
    return AutoTopup.of(shown, charged, attempt), _tag(work, rule)


def _tag(work: Work, rule: Rule | None) -> str:
    """Stand for what a customer can change: the states that the rule moves through by itself don't spoil a change."""
    if rule is None:
        return etag(work.account_id, "auto_topup")
    return etag(work.account_id, "auto_topup", rule.terms, rule.card, rule.consent, rule.state is State.OFF)
