"""Callers of the rentals API with teams and policies; what is on offer comes from the rentals' own scenes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from app import policies
from app.kit.ids import AccountId, TeamId, UserId
from app.policies import endpoints as policy_endpoints
from app.policies.setting import lock_policy, set_terms
from app.rentals.showing.endpoints import ROUTERS
from app.tenancy import add_team
from app.tenancy.models import TeamMemberRow, UserRow
from tests.applications import new_app
from tests.rentals.http.conftest import (
    PEPPER,
    Caller,
    clock,
    hand,
    make_caller,
    market,
    state,
    statements,
)

__all__ = ["PEPPER", "Caller", "clock", "hand", "make_caller", "market", "state", "statements"]

SetTerms = Callable[..., Awaitable[policies.Policy]]


@pytest.fixture
def app(state):
    return new_app(state, policy_endpoints.router, *ROUTERS)


@pytest.fixture
def new_team(worker_db, at):
    """Make a team: ``await new_team(account, time_zone=…)``."""

    async def making(account: AccountId, *, name: str = "vision", time_zone: str = "UTC") -> TeamId:
        async with worker_db.begin_unscoped() as session:
            row = await add_team(session, account_id=account, name=name, time_zone=time_zone, at=at)
        return TeamId(row.id)

    return making


@pytest.fixture
def new_member(worker_db, at):
    """Let a person join an account, and teams of it: ``await new_member(account, team, …, role=…)``."""

    async def making(account: AccountId, *teams: TeamId, role: str = "member") -> UserId:
        user_id = UserId.new()
        async with worker_db.begin_unscoped() as session:
            session.add(
                UserRow(
                    account_id=account, id=user_id, email=f"{user_id}@example.com", name="A", role=role, joined_at=at
                )
            )
            await session.flush()
            for team in teams:
                session.add(
                    TeamMemberRow(account_id=account, team_id=team, user_id=user_id, role="member", added_at=at)
                )
        return user_id

    return making


@pytest.fixture
def set_policy(worker_db, at):
    """Set a subject's terms: ``await set_policy(account, subject, max_instances=…)``."""

    async def setting(
        account: AccountId, subject: str, *, time_zone: str | None = None, **terms: object
    ) -> policies.Policy:
        async with worker_db.begin_unscoped() as session:
            before = await lock_policy(session, account_id=account, subject=subject)
            return await set_terms(
                session,
                before,
                policies.Terms(**terms),
                account_id=account,
                time_zone=time_zone,
                actor="test",
                at=at,
            )

    return setting


@pytest.fixture
async def new_caller(app, new_account, worker_db, market, make_caller):
    """Open an account with a key: ``await new_caller(micros=…, account_id=…, team_id=…, created_by=…, limit=…)``."""

    async def opening(*, micros=100_000_000, account_id=None, **terms):
        account_id = account_id or await new_account(micros=micros)
        return await make_caller(app, worker_db, account_id, **terms)

    return opening


@pytest.fixture
async def ada(new_caller):
    return await new_caller()
