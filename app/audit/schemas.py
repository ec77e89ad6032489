"""The audit on the wire."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from app.audit.entries import stamp
from app.audit.listing import Wanted
from app.audit.models import EntryRow
from app.audit.verifying import Trouble, Verified
from app.web import Page
from app.web.schemas import Text, TimeIn, TimeOut, Wire

_Name = Annotated[Text | None, Field(min_length=1, max_length=128)]
_Moment = TimeIn | None


class AuditFilter(BaseModel):
    """Which entries to read."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    actor: Annotated[_Name, Field(description="Only acts of this key or person, of `operator` or of `system`.")] = None
    action: Annotated[_Name, Field(description="Only this act, or all of a kind: `rental` for `rental.created`.")] = (
        None
    )
    target: Annotated[_Name, Field(description="Only acts on the thing of this id.")] = None
    team_id: Annotated[_Name, Field(description="Only what is this team's.")] = None
    since: Annotated[_Moment, Field(description="Only what was done then or later.")] = None
    until: Annotated[_Moment, Field(description="Only what was done before then.")] = None

    def wanted(self) -> Wanted:
        """Return the filter alone."""
        return Wanted(self.actor, self.action, self.target, self.team_id, self.since, self.until)


class AuditPage(Page, AuditFilter):
    """Which entries to read, and how many of them at once."""


class AuditExport(AuditFilter):
    """Which entries to export, and in which form."""

    form: Annotated[
        Literal["full", "flat"],
        Field(description="`full` can be verified by anybody; `flat` is `timestamp, team, action` and the details."),
    ] = "full"


class AuditPlace(Wire):
    """The query of a verification: where to go on, as an earlier answer told."""

    model_config = ConfigDict(strict=False)  # a query is text

    after_seq: Annotated[int, Field(ge=1, le=2**53 - 1)] | None = None
    hash: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None


class AuditEntry(Wire):
    """One act: who did what, to which thing, when and from where. Never changed."""

    id: str
    object: Literal["audit_entry"] = "audit_entry"
    account_id: str
    seq: int
    """Counts the account's entries from 1 without gaps."""
    at: str
    """RFC 3339 in UTC, to the microsecond, as the hash has it."""
    actor: str
    """A key's or a person's id; `operator`; `stripe`; or `system` for what the service does by itself."""
    user_id: str | None
    """The person behind the actor, where one is known."""
    action: str
    target: str
    team_id: str | None
    request_id: str | None
    address: str | None
    """Where the request came from."""
    details: dict[str, Any]
    """With `before` and `after` where something changed. What is secret is never in it."""
    hash: str
    """SHA-256, in hex, of the entry's predecessor's hash and of this entry."""

    @classmethod
    def of(cls, row: EntryRow) -> Self:
        """Return an entry as it is shown."""
        return cls(
            id=row.id,
            account_id=row.account_id,
            seq=row.seq,
            at=stamp(row.at),
            actor=row.actor,
            user_id=row.user_id,
            action=row.action,
            target=row.target,
            team_id=row.team_id,
            request_id=row.request_id,
            address=row.address,
            details=row.details,
            hash=row.hash.hex(),
        )


class AuditVerification(Wire):
    """What recomputing the account's chain found."""

    object: Literal["audit_verification"] = "audit_verification"
    ok: bool
    """Whether everything agrees as far as was read."""
    complete: bool
    """Whether that was the end. Where it is not, go on with `seq` as `after_seq`, and `hash`."""
    seq: int
    """Up to which entry everything agrees."""
    hash: str
    """That entry's hash. Keep both: a chain that is rewritten later no longer leads through them."""
    first_bad_seq: int | None
    trouble: Trouble | None
    """`changed`, `missing`, `beyond_the_end`, or `not_as_kept`: another history than the one that was seen before."""
    checked_at: TimeOut | None
    """When the service last looked by itself."""

    @classmethod
    def of(cls, found: Verified) -> Self:
        """Return what was found as it is shown."""
        return cls(
            ok=found.ok,
            complete=found.is_whole,
            seq=found.reached.seq,
            hash=found.reached.hash.hex(),
            first_bad_seq=found.first_bad_seq,
            trouble=found.trouble,
            checked_at=found.checked_at,
        )
