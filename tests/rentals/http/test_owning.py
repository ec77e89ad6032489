"""Whose a rental is, as it is told to those who tell others."""

from __future__ import annotations

from app.kit.ids import RentalId
from app.rentals.owning import owners_of


async def test_a_rental_is_its_makers_and_the_persons_behind_and_no_other_accounts(
    app, ada, new_account, worker_db, make_caller
) -> None:
    [[person]] = await fetch(worker_db, "SELECT id FROM users WHERE account_id = $1", ada.account_id)
    caller = await make_caller(app, worker_db, ada.account_id, created_by=person)
    machines, persons = (await ada.rent())["id"], (await caller.rent())["id"]
    stranger = await new_account()
    asked = [
        (ada.account_id, machines),
        (ada.account_id, persons),
        (stranger, machines),
        (ada.account_id, RentalId.new()),
    ]
    async with worker_db.begin_unscoped() as session:
        told = await owners_of(session, asked)
        assert await owners_of(session, []) == {}
    assert {rental_id: (owner.made_by, owner.person, owner.team_id) for (_, rental_id), owner in told.items()} == {
        machines: (ada.key_id, None, None),
        persons: (caller.key_id, person, None),
    }


async def fetch(db, statement, *args):
    return [list(row) for row in await db.fetch_once(statement, *args)]
