"""The wire shapes of preferences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, cast

from pydantic import ConfigDict, Field

from app.notifications.letters.kinds import KIND_NAMES, KINDS, KindName
from app.web.schemas import Wire


class NotificationChoices(Wire):
    """Which mails are wanted. What is left out, or null, follows the account's choice, or comes as described."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"budget_alerts": True, "rental_interruptions": True}]})

    budget_alerts: bool | None = None
    low_balance: bool | None = None
    policy_requests: bool | None = None
    rental_failures: bool | None = None
    rental_interruptions: bool | None = None
    rental_stops: bool | None = None
    webhooks: bool | None = None

    @property
    def chosen(self) -> dict[KindName, bool]:
        """Return what was chosen, by kind."""
        given = self.model_dump(exclude_none=True)
        return {kind: given[kind] for kind in KIND_NAMES if kind in given}


class NotificationKind(Wire):
    """One kind of mail, and whether it is wanted."""

    kind: KindName
    about: str = Field(description="What it tells, and whom.")
    wanted: bool
    chosen_by: Literal["person", "account", "default"]


class NotificationPreferences(Wire):
    """Which mails a person gets, or everybody of the account who has not chosen."""

    object: Literal["notification_preferences"] = "notification_preferences"
    kinds: list[NotificationKind]

    @classmethod
    def of(cls, account: Mapping[str, bool], person: Mapping[str, bool] | None = None) -> NotificationPreferences:
        """Return what follows from an account's choices, and a person's where it is a person's."""
        return cls(kinds=[_kind(name, account, person or {}) for name in KIND_NAMES])


def _kind(name: KindName, account: Mapping[str, bool], person: Mapping[str, bool]) -> NotificationKind:
    by = "person" if name in person else "account" if name in account else "default"
    wanted = person.get(name, account.get(name, KINDS[name].unasked))
    chosen_by = cast("Literal['person', 'account', 'default']", by)
    return NotificationKind(kind=name, about=KINDS[name].about, wanted=wanted, chosen_by=chosen_by)
