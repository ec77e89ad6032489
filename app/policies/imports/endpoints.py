"""Imports over HTTP: shown first, then applied."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import Depends, Response

from app.policies.imports.applying import apply, plan, tell
from app.policies.imports.cloud_files import read_cloud_file
from app.policies.imports.errors import ImportRefused
from app.policies.imports.schemas import PolicyImport, PolicyImported
from app.policies.imports.team_tables import read_team_table
from app.policies.subjects import require_administrator
from app.web import Work, answer, new_router, responses_for, working
from app.web.errors import EtagMismatch, Forbidden

router = new_router("/v1", tag="policies")
Writing = Annotated[Work, Depends(working("teams:write"), scope="function")]
_READERS: Final = {"team-table": read_team_table, "cloud-toml": read_cloud_file}


@router.post(
    "/policies/import", response_model=PolicyImported, operation_id="import_policies",
    responses=responses_for(Forbidden, EtagMismatch, ImportRefused),
)  # fmt: skip
async def import_policies(body: PolicyImport, work: Writing) -> Response:
    """Turn a configuration file into policies: say what would change, or with `dry_run: false` change all of it at once.

    Reading is tolerant: unquoted and misspelt keys, prices with a dollar sign, GPU names as people write them. What is
    not understood is told with its line and left out, and never allows more than the policy did. Keys and secrets of
    clouds are never kept.
    """
    require_administrator(work.principal)
    reading = _READERS[body.format](body.text)
    if not reading.drafts and not body.dry_run:
        raise ImportRefused.of_nothing()
    planned = await plan(work.session, reading, account_id=work.account_id)
    if not body.dry_run:
        planned = await apply(
            work.session,
            planned,
            account_id=work.account_id,
            versions=body.versions,
            create_teams=body.create_teams,
            actor=work.principal.actor,
            at=work.at,
        )
    await tell(
        work.session,
        planned,
        "policies.import_read" if body.dry_run else "policies.imported",
        account_id=work.account_id,
        actor=work.principal.actor,
        at=work.at,
    )
    return answer(PolicyImported.of(body, reading, planned, applied=not body.dry_run))
