from __future__ import annotations

import pytest

from app.kit.db import driver
from app.kit.leases import Holding, bucket_of
from app.kit.reconcile import Round
from app.ledger.reconcilers import BucketOfAccounts
from app.tenancy.invariants import broken_for
from app.worker import tenancy_auditing
from tests.conftest import open_account


@pytest.mark.parametrize(
    ("harm", "name"),
    [
        ("UPDATE users SET role = 'admin' WHERE account_id = :a", "account.is_without_an_owner"),
        ("UPDATE users SET removed_at = now() WHERE id = :m", "team.has_a_member_who_was_removed"),
        ("UPDATE users SET removed_at = now() WHERE id = :m", "key.outlives_its_maker"),
        ("UPDATE teams SET archived_at = now() WHERE account_id = :a", "key.outlives_its_team"),
        ("UPDATE users SET role = 'viewer' WHERE id = :m", "invitation.is_of_nobody_who_may_invite"),
    ],
)
async def test_what_breaks_an_invariant_is_named(lab, world, worker_db, harm, name):
    org, owner = lab
    admin = await org.join("admin")
    team = await org.team(owner, admin)
    await world.key(admin, team_id=team)
    await admin.told("POST", "/v1/invitations", {"email": "friend@example.com"})
    async with worker_db.begin_unscoped() as session:
        assert await broken_for(session, [org.id]) == []
    statement = harm.replace(":m", f"'{admin.id}'")
    await world.write_as(org.id, statement, **({"a": org.id} if ":a" in statement else {}))
    async with worker_db.begin_unscoped() as session:
        told = {broken.name for broken in await broken_for(session, [org.id])}
    assert name in told
    world.opened.clear()


async def test_the_worker_tells_of_an_account_without_an_owner(fresh_databases, at):
    account_id = await open_account(fresh_databases.worker, at=at)
    reconciler, this = tenancy_auditing(fresh_databases.worker), Round(at, Holding("wrk", {}))
    item = BucketOfAccounts(bucket_of(account_id))
    assert await reconciler.step(this, item) == "agrees"
    async with fresh_databases.api.begin(account_id) as session:
        await driver(session).execute("UPDATE users SET role = 'admin'")
    assert await reconciler.step(this, item) == "differs"
