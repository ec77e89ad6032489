"""Wire shapes of imports."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from app.policies.imports.applying import Change, Planned
from app.policies.imports.drafts import Reading
from app.policies.wording import told_name, told_value
from app.web.schemas import Lines, Text, Wire

TEXT_MAX = 256 * 1024
_Subject = Annotated[Text, Field(pattern="^(acct|team|usr|key)_[0-9A-Z]{26}$")]


Format = Literal["team-table", "cloud-toml"]
"""The shape of a file."""


class PolicyImport(Wire):
    """A file that says what policies are to be."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "format": "team-table",
                    "text": '[teams.vision]\ngpu_whitelist = ["RTX 4090", "H100"]\nmax_instances = 4\ndaily_budget = 50\n',
                    "dry_run": True,
                }
            ]
        }
    )

    format: Format
    """`team-table`: per team its whitelist, instances, daily budget and highest price (TOML, JSON, YAML or CSV).
    `cloud-toml`: providers with filters and a budget, for the account's own policy."""
    text: Annotated[Lines, Field(min_length=1, max_length=TEXT_MAX)]
    """The file. Credentials in it are not kept; better take them out before."""
    dry_run: bool = True
    """Only say what would change; false sets all of it, or nothing."""
    create_teams: bool = False
    """Make teams that do not exist yet; without it they are refused."""
    versions: dict[_Subject, int] = Field(default={}, max_length=1000)
    """By subject, the versions that a dry run has shown; should one be another by now, nothing is set."""


class FieldChange(Wire):
    """One field of a policy, and the line of the file that changes it."""

    field: str
    before: Any
    after: Any
    line: int

    @classmethod
    def of(cls, change: Change) -> FieldChange:
        """Return a change in the words of the policy's own form."""
        return cls(
            field=told_name(change.field),
            before=told_value(change.field, change.before),
            after=told_value(change.field, change.after),
            line=change.line,
        )


class PolicyPlan(Wire):
    """What one policy is to say."""

    subject: str | None
    """Null for a team that does not exist."""
    team: str | None
    """As the file calls it; null for the account."""
    version: int | None
    """At which it was read; in the answer to an import that was applied, before it."""
    changes: list[FieldChange]

    @classmethod
    def of(cls, planned: Planned) -> PolicyPlan:
        """Return a part of a plan as it is shown."""
        policy = planned.policy
        return cls(
            subject=None if policy is None else policy.subject,
            team=planned.draft.team,
            version=None if policy is None else policy.version,
            changes=[FieldChange.of(change) for change in planned.changes],
        )


class ImportNotice(Wire):
    """Something odd on a line: left out, corrected, or told."""

    line: int
    code: str
    message: str


class PolicyImported(Wire):
    """What a file comes to."""

    object: Literal["policy_import"] = "policy_import"
    applied: bool
    format: Format
    policies: list[PolicyPlan]
    launch_defaults: dict[str, Any]
    """What belongs into each launch rather than into a policy: fields of POST /v1/rentals."""
    warnings: list[ImportNotice]
    """In the order of lines."""

    @classmethod
    def of(cls, body: PolicyImport, reading: Reading, planned: list[Planned], *, applied: bool) -> PolicyImported:
        """Return the answer to an import."""
        notices = sorted(reading.notices, key=lambda notice: notice.line)
        return cls(
            applied=applied,
            format=body.format,
            policies=[PolicyPlan.of(one) for one in planned],
            launch_defaults=reading.launch_defaults,
            warnings=[ImportNotice(line=one.line, code=one.code, message=one.message) for one in notices],
        )
