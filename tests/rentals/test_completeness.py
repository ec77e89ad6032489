"""What a rental is and what the audit tells of it are the same, and where they are not it is found."""

from __future__ import annotations

import asyncpg
import pytest

from app import audit
from app.kit.db import driver
from app.rentals.completeness import untold_for


@pytest.fixture
async def told(stage, rich):
    """An account with a rental that ran and was stopped; return what the audit tells of it, and what is untold."""
    account = await rich()
    made = await stage.request(account)
    await stage.until_status(made.rental_id, "running")
    await stage.stop(account, made.rental_id)
    await stage.until_rest()

    async def entries():
        async with stage.databases.api.begin(account) as session:
            return await driver(session).fetch(
                "SELECT action, actor, details->'after'->>'status' AS status FROM audit_entries "
                "WHERE account_id = $1 AND target = $2 ORDER BY seq",
                account,
                made.rental_id,
            )

    async def untold():
        async with stage.databases.worker.begin_unscoped() as session:
            return [(found.name, case.what) for found in await untold_for(session, [account]) for case in found.sample]

    async def tamper(statement):
        connection = await asyncpg.connect(stage.databases.urls.admin)
        try:
            async with connection.transaction():
                await connection.execute("SET LOCAL session_replication_role = replica")
                await connection.execute(statement, account)
        finally:
            await connection.close()

    return account, made.rental_id, entries, untold, tamper


async def test_a_rentals_whole_life_is_told_and_every_gap_is_found(told, stage) -> None:
    account, rental_id, entries, untold, tamper = told
    assert [tuple(row) for row in await entries()] == [
        ("rental.created", "test", "provisioning"),
        ("rental.running", "system", "running"),
        ("rental.stopping", "test", "stopping"),
        ("rental.stopped", "system", "stopped"),
    ]
    assert await untold() == []
    async with stage.databases.api.begin(account) as session:
        assert (await audit.verify(session, account_id=account)).ok

    await tamper("UPDATE rentals SET status = 'failed' WHERE account_id = $1")
    assert await untold() == [("audit.tells_another_status", rental_id)]
    await tamper("UPDATE rentals SET id = id || 'x', status = 'stopped' WHERE account_id = $1")
    assert await untold() == [
        ("audit.leaves_a_rental_untold", f"{rental_id}x"),
        ("audit.tells_of_no_rental", rental_id),
    ]
    await tamper("DELETE FROM rentals WHERE account_id = $1")
    assert await untold() == [("audit.tells_of_no_rental", rental_id)]


async def test_what_was_there_before_the_audit_is_not_missed(told) -> None:
    _, _, _, untold, tamper = told
    await tamper("DELETE FROM audit_entries WHERE account_id = $1 AND target LIKE 'rent_%'")
    assert len(await untold()) == 1
    await tamper("UPDATE rentals SET audited = false WHERE account_id = $1")
    assert await untold() == []
