"""The audit over HTTP: a page, everything as lines, and its verification."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Final

from fastapi import Depends, Query, Request, Response
from fastapi.responses import StreamingResponse

from app.audit.listing import every_entry, list_entries
from app.audit.rendering import flat, full
from app.audit.schemas import AuditEntry, AuditExport, AuditPage, AuditPlace, AuditVerification
from app.audit.verifying import Place, verify
from app.web import ListAnswer, Principal, Work, answer, calling, list_answer, new_router, responses_for, working
from app.web.errors import Forbidden, InvalidCursor, ValidationFailed
from app.web.exchange import state_of

router = new_router("/v1/audit", tag="audit")
Reading = Annotated[Work, Depends(working("audit:read"), scope="function")]
Reader = Annotated[Principal, Depends(calling("audit:read"))]

_JSONL: Final = "application/jsonl"
_STREAMED: Final = {_JSONL: {"schema": {"type": "string"}, "example": "{…}\n{…}\n"}}
_VERIFIED_MAX: Final = 20_000
"""How many entries one request verifies: a second or two."""


@router.get(
    "",
    response_model=ListAnswer[AuditEntry],
    operation_id="list_audit_entries",
    responses=responses_for(InvalidCursor),
)
async def list_all(page: Annotated[AuditPage, Query()], work: Reading) -> Response:
    """Return who changed what, newest first. Whoever sees some teams only sees these teams' acts, and its own."""
    after = work.after(page)
    rows = await list_entries(
        work.session,
        page.wanted(),
        caller=work.principal,
        before_seq=None if after is None else int(after[0]),
        limit=page.limit + 1,
    )
    return answer(list_answer(rows, page, render=AuditEntry.of, seal=lambda row: work.cursor((row.seq,), page)))


@router.get(
    "/export",
    operation_id="export_audit",
    response_class=Response,
    responses={200: {"content": _STREAMED}, **responses_for()},
)
async def export(wanted: Annotated[AuditExport, Query()], caller: Reader, request: Request) -> Response:
    """Stream every entry that matches as JSON lines, oldest first, whatever the limit.

    A full export without filters can be verified without us: each `hash` is the SHA-256 of the hash before it and of
    the entry's canonical JSON. `hourglass audit verify FILE` does so.
    """
    db, line = state_of(request).db, flat if wanted.form == "flat" else full

    async def lines() -> AsyncIterator[str]:
        """Yield the lines of one group of entries after the other."""
        async for rows in every_entry(db, wanted.wanted(), caller=caller):
            yield "".join(map(line, rows))

    headers = {"Content-Disposition": 'attachment; filename="audit.jsonl"'}
    return StreamingResponse(lines(), media_type=_JSONL, headers=headers)


@router.get(
    "/verify",
    response_model=AuditVerification,
    operation_id="verify_audit",
    responses=responses_for(Forbidden, ValidationFailed),
)
async def verify_chain(place: Annotated[AuditPlace, Query()], work: Reading) -> Response:
    """Recompute the hash chain of the account's audit, from its beginning or from a place that an earlier answer told.

    A row that was changed, taken out, put in or moved is found. Up to 20,000 entries are read at once.
    """
    if work.principal.reach is not None:
        raise Forbidden("The chain is the whole account's; this caller sees some teams only.")
    after = _place(place)
    found = await verify(work.session, account_id=work.account_id, after=after, rows_max=_VERIFIED_MAX)
    return answer(AuditVerification.of(found))


def _place(place: AuditPlace) -> Place | None:
    if place.after_seq is not None and place.hash is not None:
        return Place(place.after_seq, bytes.fromhex(place.hash))
    if place.after_seq is None and place.hash is None:
        return None
    problem = {"pointer": "query:", "code": "value_error", "message": "takes after_seq and hash together, or neither"}
    raise ValidationFailed(errors=[problem])
