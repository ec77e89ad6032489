"""What a person does itself, and no key for it, in the account that it has chosen."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import Request

from app.web import SignedIn, Work
from app.web.exchange import exchange_of, state_of


@asynccontextmanager
async def acting(request: Request, person: SignedIn) -> AsyncIterator[Work]:
    """Open the one transaction of a request by a person; what follows from its commit is done when it stands.

    Raises:
        MembershipEnded, AccountSuspended: it can't act in that account (any more).
    """
    state, principal = state_of(request), person.acting()
    async with state.db.begin(principal.account_id) as session:
        work = Work(session, principal, state.clock.now(), exchange_of(request.scope).request_id, state.cursors)
        yield work
    for callback in work.after_commit:
        callback()
