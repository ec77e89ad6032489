"""Making a change of somebody's rights felt at once in this process; others remember for two seconds at most."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from fastapi import Request

from app.kit.ids import AccountId
from app.tenancy.authenticating import TenancyState
from app.tenancy.people.sessions import Sessions
from app.web import Work
from app.web.exchange import state_of


def forget_keys(work: Work, request: Request, key_ids: Iterable[str]) -> None:
    """Once the transaction stands, stop believing what is remembered of some keys."""
    authenticator, forgotten = cast("TenancyState", state_of(request)).authenticator, list(key_ids)

    def forget() -> None:
        """Forget each of them."""
        for key_id in forgotten:
            authenticator.forget(key_id)

    work.after_commit.append(forget)


def forget_person(work: Work, request: Request, user_id: str) -> None:
    """Once the transaction stands, stop believing what is remembered of a person and its keys in this account."""
    work.after_commit.append(lambda: forget_person_now(request, user_id, account_id=work.account_id))


def forget_person_now(request: Request, user_id: str, *, account_id: AccountId) -> None:
    """Stop believing what is remembered of a person, its sessions and its keys in an account."""
    state = cast("TenancyState", state_of(request))
    state.authenticator.forget_person(user_id, account_id=account_id)
    if isinstance(state.sessions, Sessions):
        state.sessions.forget_person(user_id)
