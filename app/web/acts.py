"""Acts: what a request has changed, told to the application's witness in the transaction that changed it.

Every request by an unsafe method that is about to commit is such an act, unless it says that it changed nothing: a
replay, a question that is asked by POST, a second stop.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, cast

from fastapi import FastAPI, Request
from sqlalchemy.ext.asyncio import AsyncSession

from app.kit.ids import AccountId
from app.web.browsing import SAFE_METHODS
from app.web.reading import JsonRequest

_NOTHING: Final = "hourglass.changed_nothing"
_MADE: Final = "hourglass.made"


@dataclass(frozen=True, slots=True)
class Act:
    """One request that changed something."""

    account_id: AccountId
    at: datetime
    operation: str
    """The operation's id in the OpenAPI document."""
    ids: Mapping[str, str]
    """The path's parameters."""
    made: str | None
    """The id of what it made."""
    document: Any
    """The body as it was read; None without one. May hold secrets."""


Witness = Callable[[AsyncSession, Act], Awaitable[None]]
"""Writes down, in the transaction, what nobody else wrote down of an act."""


def changed_nothing(session: AsyncSession) -> None:
    """Say that this transaction's request leaves everything as it was."""
    session.info[_NOTHING] = True


def name_made(session: AsyncSession, made: object) -> None:
    """Say what this transaction's request made: something with an ``id``."""
    if isinstance(made_id := getattr(made, "id", None), str):
        session.info[_MADE] = made_id


def keep_witness(app: FastAPI, witness: Witness) -> None:
    """Let an application's acts be told to a witness."""
    app.state.witness = witness


async def bear_witness(request: Request, session: AsyncSession, *, account_id: AccountId, at: datetime) -> None:
    """Tell the application's witness, if it has one, of what a request is about to commit."""
    witness = cast("Witness | None", getattr(request.scope["app"].state, "witness", None))
    if witness is None or request.method in SAFE_METHODS or _NOTHING in session.info:
        return
    route = request.scope["route"]
    act = Act(
        account_id=account_id,
        at=at,
        operation=route.operation_id or route.name,
        ids=request.path_params,
        made=session.info.get(_MADE),
        document=request.document if isinstance(request, JsonRequest) else None,
    )
    await witness(session, act)
