"""Wire shapes of people and their sessions."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field

from app.kit.ids import AccountId, SessionId
from app.web import Page, SignedIn
from app.web.principal import Role
from app.web.schemas import Text, TimeOut, Wire


def _account_id(text: str) -> str:
    try:
        return AccountId.parse(text)
    except ValueError:
        raise ValueError("must be an account's id") from None


class Person(Wire):
    """Somebody who signs in."""

    id: str
    object: Literal["person"] = "person"
    name: str
    emails: list[str] = Field(description="Verified addresses, the first one being where mail goes.")


class SessionOut(Wire):
    """The session that asks: who, in which account, as what."""

    id: str
    object: Literal["session"] = "session"
    person: Person
    account_id: str
    role: Role | None = Field(description="What the person is in the account; null when it no longer belongs there.")
    scopes: list[str]
    team_ids: list[str] | None = Field(description="The teams whose things are seen; null for all of the account.")
    leads: list[str] = Field(description="The teams that the person leads.")
    csrf_token: str = Field(
        description="What requests that change something carry as `X-CSRF-Token`; another one after a change of account."
    )
    ends_at: TimeOut = Field(description="When it ends, however much it is used; 12 hours without use end it too.")

    @classmethod
    def of(cls, signed: SignedIn) -> SessionOut:
        """Return a session as its person sees it."""
        acting = signed.principal
        reach = None if acting is None else acting.reach
        return cls(
            id=signed.session_id,
            person=Person(id=signed.person_id, name=signed.name, emails=list(signed.emails)),
            account_id=signed.account_id,
            role=acting.role if acting else None,
            scopes=sorted(acting.scopes) if acting else [],
            team_ids=None if reach is None else sorted(reach),
            leads=sorted(acting.leads) if acting else [],
            csrf_token=signed.csrf_token,
            ends_at=signed.ends_at,
        )


class SessionChoice(Wire):
    """The account in which the session acts from here on."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"account_id": "acct_01J00000000000000000000000"}]})

    account_id: Annotated[Text, Field(max_length=40), AfterValidator(_account_id)]


class Browser(Wire):
    """A browser in which the person is signed in."""

    id: str
    object: Literal["session"] = "session"
    account_id: str
    current: bool = Field(description="Whether it is the one that asks.")
    user_agent: str = Field(description="How the browser called itself at the sign-in.")
    address: str | None
    created_at: TimeOut
    last_seen_at: TimeOut

    @classmethod
    def of(cls, row: Any, *, current: SessionId) -> Browser:  # noqa: ANN401 - a driver's record
        """Return a session as a list shows it."""
        return cls(
            id=row["id"],
            account_id=row["account_id"],
            current=row["id"] == current,
            user_agent=row["user_agent"],
            address=row["address"],
            created_at=row["created_at"],
            last_seen_at=row["seen_at"],
        )


class SessionPage(Page):
    """The query of the list of sessions."""


class Membership(Wire):
    """An account that the person belongs to."""

    account_id: str
    object: Literal["membership"] = "membership"
    name: str
    kind: str
    status: str
    role: Role
    joined_at: TimeOut
    current: bool = Field(description="Whether the session acts in it.")

    @classmethod
    def of(cls, row: Any, *, current: AccountId) -> Membership:  # noqa: ANN401 - a driver's record
        """Return a membership as its person sees it."""
        return cls(
            account_id=row["account_id"],
            name=row["name"],
            kind=row["kind"],
            status=row["status"],
            role=row["role"],
            joined_at=row["joined_at"],
            current=row["account_id"] == current,
        )
