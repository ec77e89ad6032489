"""Admission: by the policies of that very moment, and a rental never counts against itself."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from app import policies
from app.catalog import Wanted
from app.kit.db import Database, driver
from app.kit.ids import AccountId, RentalId, TeamId
from app.kit.vault import Vault
from app.rentals.asking.asking import Ask, Chosen
from app.rentals.asking.launching import BUILT_IN, DEFAULT_TEMPLATE
from app.rentals.asking.requesting import request

RATE = 360_000
CHOSEN = Chosen(
    listing_id="lst_1", provider="north", offer_id="1", host_id=None, family="rtx-4090", model="rtx-4090", gpu_count=1,
    vram_mib=24_564, interconnect=None, spot=False, region_id="us-oregon", region_name="Oregon", country="US",
    price_micros_per_hour=RATE, disk_micros_per_hour=0, all_in_micros_per_hour=RATE,
)  # fmt: skip
ROOM_FOR_ONE = {"max_instances": 1, "max_gpus": 1, "daily_budget_micros": RATE, "monthly_budget_micros": RATE}


@dataclass
class Team:
    """A team that asks for one rental at a time."""

    db: Database
    account_id: AccountId
    id: TeamId

    @property
    def spender(self) -> policies.Spender:
        return policies.Spender(self.account_id, self.id)

    async def rules(self):
        async with self.db.begin_unscoped() as session:
            return await policies.terms_for(session, self.spender)

    async def ask(self, rules, *, at):
        async with self.db.begin_unscoped() as session:
            await request(
                session,
                Ask(wanted=Wanted(families=("rtx-4090",)), launch=BUILT_IN[DEFAULT_TEMPLATE], rules=rules),
                account_id=self.account_id,
                rental_id=RentalId.new(),
                quoted=CHOSEN,
                vault=Vault(b"test"),
                actor="test",
                at=at,
            )

    async def opened(self, at):
        async with self.db.begin_unscoped() as session:
            return (await policies.stand(session, await policies.terms_for(session, self.spender), at=at)).open[self.id]


@pytest.fixture
async def team(worker_db, new_account, new_team):
    account = await new_account(micros=100_000_000)
    return Team(worker_db, account, await new_team(account))


async def test_what_was_set_since_the_policies_were_read_is_heeded(team, set_policy, at):
    rules = await team.rules()
    await set_policy(team.account_id, team.id, max_instances=0)
    with pytest.raises(policies.PolicyViolation, match="Instance limit reached"):
        await team.ask(rules, at=at)
    await set_policy(team.account_id, team.account_id, gpu_whitelist=("h100-80gb",))
    with pytest.raises(policies.PolicyViolation, match="GPU rtx-4090 not in account whitelist"):
        await team.ask(rules, at=at)
    assert (await team.opened(at)).instances == 0


async def test_a_rental_does_not_count_against_itself(team, set_policy, at):
    before = await team.rules()
    await set_policy(team.account_id, team.id, **ROOM_FOR_ONE)
    await team.ask(before, at=at)  # read anew when its row is written already
    for rules in (before, await team.rules()):
        with pytest.raises(policies.PolicyViolation, match=r"Instance limit reached \(1/1\)"):
            await team.ask(rules, at=at)
    assert (await team.opened(at)).held == RATE


async def test_nor_while_its_teams_days_are_counted_in_another_zone(team, set_policy, at):
    await set_policy(team.account_id, team.id, **ROOM_FOR_ONE)
    async with team.db.begin_unscoped() as session:
        await driver(session).execute(
            "INSERT INTO policy_zones (account_id, subject, time_zone) VALUES ($1, $2, 'Asia/Kolkata')",
            team.account_id,
            team.id,
        )
    await team.ask(await team.rules(), at=at)
    with pytest.raises(policies.PolicyViolation, match=r"Instance limit reached \(1/1\)"):
        await team.ask(await team.rules(), at=at)
