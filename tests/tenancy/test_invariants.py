from __future__ import annotations

import pytest

from app.tenancy.invariants import broken_for


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
