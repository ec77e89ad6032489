"""The wording: which mails there are, what each must be told, and how it reads.

A template is plain text whose first line is the subject. What is put into it is one line of printable characters, so
that no value can end a line, turn the direction of the text or begin a header.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, Literal, get_args

from jinja2 import ChainableUndefined, Environment, PackageLoader, TemplateError

TemplateName = Literal[
    "auto_topup_action_required",
    "auto_topup_declined",
    "auto_topup_succeeded",
    "auto_topup_suspended",
    "budget_alert",
    "debt",
    "deposit_received",
    "dispute_closed",
    "dispute_opened",
    "invitation",
    "low_balance",
    "policy_request",
    "refund_failed",
    "refund_made",
    "rental_failed",
    "rental_interrupted",
    "rental_stopped",
    "webhook_disabled",
]

TEMPLATES: Final[tuple[str, ...]] = get_args(TemplateName)

_TOLD: Final[Mapping[str, frozenset[str]]] = {
    "auto_topup_action_required": frozenset({"amount", "url"}),
    "auto_topup_declined": frozenset({"amount", "reason"}),
    "auto_topup_succeeded": frozenset({"amount", "available"}),
    "auto_topup_suspended": frozenset({"reason"}),
    "budget_alert": frozenset({"happened", "subject"}),
    "debt": frozenset({"owed"}),
    "deposit_received": frozenset({"amount", "available"}),
    "dispute_closed": frozenset({"amount", "outcome"}),
    "dispute_opened": frozenset({"amount"}),
    "invitation": frozenset({"account_name", "expires_at", "page", "role", "token"}),
    "low_balance": frozenset({"available"}),
    "policy_request": frozenset({"happened", "request_id", "team_id"}),
    "refund_failed": frozenset({"amount", "reason"}),
    "refund_made": frozenset({"amount"}),
    "rental_failed": frozenset({"rental_id", "reason"}),
    "rental_interrupted": frozenset({"rental_id", "happened"}),
    "rental_stopped": frozenset({"rental_id", "reason"}),
    "webhook_disabled": frozenset({"failing_since", "reason", "url", "webhook_id"}),
}
"""What each can't do without. Whatever else a template names, it leaves out when it isn't told."""

_VALUE_MAX = 2_000
_SUBJECT = "Subject: "


@dataclass(frozen=True, slots=True)
class Wording:
    """A subject and a text."""

    subject: str
    text: str


def check_data(template: str, data: Mapping[str, Any]) -> None:
    """Pass when the data have what a template must tell.

    Raises:
        ValueError: they lack something, or there is no such template.
    """
    if template not in _TOLD:
        raise ValueError(f"no such mail: {template}")
    if lacking := sorted(name for name in _TOLD[template] if data.get(name) is None):
        raise ValueError(f"the mail {template} must be told {', '.join(lacking)}")


def worded(template: str, data: Mapping[str, Any]) -> Wording:
    """Return a mail's subject and text.

    Raises:
        ValueError: it can't be written of these data; see ``check_data``.
    """
    check_data(template, data)
    try:
        head, _, text = _environment().get_template(f"{template}.txt").render(data).partition("\n")
    except (TemplateError, TypeError) as error:
        raise ValueError(f"the mail {template} can't be written: {error}") from error
    if not head.startswith(_SUBJECT):
        raise ValueError(f"the template {template} has no subject")
    return Wording(head.removeprefix(_SUBJECT), text.strip() + "\n")


def in_one_line(value: object) -> str:
    """Return a value as printable text on one line, of bounded length."""
    if value is None:
        return ""
    text = " ".join(str(value).split())
    return "".join(filter(str.isprintable, text))[:_VALUE_MAX]


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("app.mail", "templates"),
        autoescape=False,  # noqa: S701 - plain text, where markup means nothing
        undefined=ChainableUndefined,
        finalize=in_one_line,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
