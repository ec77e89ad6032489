from __future__ import annotations

from datetime import timedelta

import pytest

from app.kit.ids import SessionId, UserId
from app.kit.leases import Holding
from app.kit.reconcile import Round, Runner
from app.tenancy.people.reconcilers import pruning
from app.tenancy.people.sessions import ABSOLUTE


@pytest.fixture
async def person_id(fresh_databases, at):
    made = UserId.new()
    await fresh_databases.auth.fetch_once(
        "INSERT INTO people (id, github_id, login, name, emails, personal_account_id, created_at, signed_in_at) "
        "VALUES ($1, 1, 'x', 'x', '{x@example.com}', 'acct_x', $2, $2)",
        made,
        at,
    )
    return made


async def sign_in(databases, key, *, expires_at):
    await databases.auth.fetch_once(
        "INSERT INTO sign_ins (state_hash, browser_hash, return_to, created_at, expires_at) VALUES ($1, $1, '/', $2, $2)",
        key * 32,
        expires_at,
    )


async def session(databases, person_id, key, *, created_at):
    await databases.auth.fetch_once(
        "INSERT INTO sessions (id, secret_hash, person_id, account_id, user_agent, created_at, seen_at, rotated_at) "
        "VALUES ($1, $2, $3, 'acct_x', '', $4, $4, $4)",
        SessionId.new(),
        key * 32,
        person_id,
        created_at,
    )


async def left(databases):
    sign_ins = await databases.auth.fetch_once("SELECT state_hash AS key FROM sign_ins")
    sessions = await databases.auth.fetch_once("SELECT secret_hash AS key FROM sessions")
    return {row["key"][:1] for row in sign_ins}, {row["key"][:1] for row in sessions}


async def test_what_has_ended_long_since_goes_and_the_rest_stays_however_often_it_runs(fresh_databases, person_id, at):
    databases, runner = fresh_databases, Runner(pruning(fresh_databases.worker))
    assert await runner.run_once(Round(at, Holding("nobody", {}))) == {"pruned": 2}
    await sign_in(databases, b"a", expires_at=at - timedelta(seconds=1))
    await sign_in(databases, b"b", expires_at=at)
    await session(databases, person_id, b"c", created_at=at - timedelta(days=30, seconds=1))
    await session(databases, person_id, b"d", created_at=at - timedelta(days=30))
    await session(databases, person_id, b"e", created_at=at)
    for _ in range(2):
        assert await runner.run_once(Round(at, Holding("nobody", {}))) == {"pruned": 2}
        assert await left(databases) == ({b"b"}, {b"d", b"e"})


async def test_nothing_that_could_still_open_is_forgotten():
    from app.tenancy.people.reconcilers import KEPT

    assert KEPT > ABSOLUTE
