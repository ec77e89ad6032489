"""Templates over HTTP."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Query, Request, Response

from app.kit.errors import NotFound
from app.rentals.asking.launching import BUILT_IN
from app.rentals.asking.templates import (
    Template,
    add_template,
    get_template,
    list_templates,
    lock_own,
    template_etag,
    update_template,
)
from app.rentals.asking.wishes import TemplateCreate, TemplatePage, TemplateUpdate
from app.rentals.errors import NameTaken
from app.rentals.models import TemplateRow
from app.web import (
    IDEMPOTENT,
    Answer,
    ListAnswer,
    Work,
    answer,
    check_match,
    list_answer,
    new_router,
    replay_or_run,
    responses_for,
    working,
)
from app.web.errors import EtagMismatch, Forbidden, InvalidCursor

router = new_router("/v1/templates", tag="templates")
Reading = Annotated[Work, Depends(working("rentals:read"), scope="function")]
Writing = Annotated[Work, Depends(working("rentals:write"), scope="function")]


@router.post(
    "",
    status_code=201,
    response_model=Template,
    operation_id="create_template",
    responses=responses_for(NameTaken, *IDEMPOTENT),
)
async def create(body: TemplateCreate, work: Writing, request: Request) -> Response:
    """Keep a template: an image with its ports, disk and startup script."""

    async def run() -> Answer:
        row = await add_template(work.session, body, account_id=work.account_id, at=work.at)
        return Answer(Template.own(row), {"Location": f"/v1/templates/{row.id}", "ETag": template_etag(row)})

    return await replay_or_run(work, request, status=201, run=run)


@router.get(
    "", response_model=ListAnswer[Template], operation_id="list_templates", responses=responses_for(InvalidCursor)
)
async def list_all(page: Annotated[TemplatePage, Query()], work: Reading) -> Response:
    """Return the account's own templates, newest first, then the built-in ones."""
    after = work.after(page)
    shown = await list_templates(
        work.session,
        account_id=work.account_id,
        after=None if after is None else str(after[0]),
        limit=page.limit + 1,
    )
    return answer(list_answer(shown, page, render=lambda one: one, seal=lambda one: work.cursor((one.id,), page)))


@router.get("/{template_id}", response_model=Template, operation_id="get_template", responses=responses_for(NotFound))
async def get_one(template_id: str, work: Reading) -> Response:
    """Return one template, by its id or name."""
    if template_id in BUILT_IN:
        return answer(Template.built(template_id))
    return _shown(await get_template(work.session, template_id, account_id=work.account_id))


@router.patch(
    "/{template_id}",
    response_model=Template,
    operation_id="update_template",
    responses=responses_for(NotFound, Forbidden, NameTaken, EtagMismatch),
)
async def update(template_id: str, body: TemplateUpdate, work: Writing, request: Request) -> Response:
    """Change an own template; what is not named stays. Rentals launched with it stay as they are."""
    row = await lock_own(work.session, template_id, account_id=work.account_id)
    check_match(request, template_etag(row))
    await update_template(work.session, row, body)
    return _shown(row)


@router.delete(
    "/{template_id}", status_code=204, operation_id="delete_template", responses=responses_for(NotFound, Forbidden)
)
async def delete(template_id: str, work: Writing) -> Response:
    """Forget an own template."""
    await work.session.delete(await lock_own(work.session, template_id, account_id=work.account_id))
    return Response(status_code=204)


def _shown(row: TemplateRow) -> Response:
    return answer(Template.own(row), headers={"ETag": template_etag(row)})
