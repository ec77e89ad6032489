"""Policies under everything at once: parallel requests, clocks that jump over midnights and changes of them, policies that
change, days that are counted or not.

An oracle keeps its own books, second by second. After every request it holds: no cap and no budget is exceeded, exactly as
many were let in as there was room for, and a dry run said so before.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from app import policies
from app.catalog import Wanted
from app.kit.days import day_of, zone_named
from app.kit.db import Database, driver
from app.kit.ids import AccountId, ApiKeyId, RentalId, TeamId, UserId
from app.kit.money import cost
from app.kit.vault import Vault
from app.policies import invariants
from app.policies.checking import rehearse
from app.policies.counting import Miszoned, count, find_miszoned, recount
from app.policies.setting import lock_policy, set_terms
from app.rentals.asking.asking import Ask, Chosen
from app.rentals.asking.launching import BUILT_IN, DEFAULT_TEMPLATE
from app.rentals.asking.requesting import request
from app.rentals.keeping.stopping import stop
from app.tenancy import add_team
from app.web.principal import SpendLimit
from tests.conftest import open_account
from tests.rentals.http.hand import Hand
from tests.state_machines import run_machine

START = datetime(2026, 3, 28, 20, 0, tzinfo=UTC)  # Berlin's clocks go forward in the night that follows
ZONES = ("UTC", "Europe/Berlin", "Asia/Kolkata", "Australia/Lord_Howe", "America/New_York")
FAMILIES = ("rtx-4090", "h100-80gb")
QUARTER = 900

rates = st.sampled_from([360_000, 500_000, 3_000_000]) | st.integers(100_000, 3_000_000)
amounts = st.none() | st.integers(1_000_000, 20_000_000) | st.integers(0, 2_000_000)
caps = st.none() | st.integers(1, 8) | st.integers(0, 2)
families = st.sampled_from([*FAMILIES[:1] * 3, *FAMILIES])
terms = st.builds(
    policies.Terms,
    gpu_whitelist=st.sampled_from([None, FAMILIES, FAMILIES, FAMILIES[:1]]),
    max_instances=caps,
    max_gpus=st.none() | st.integers(2, 20),
    daily_budget_micros=amounts,
    monthly_budget_micros=amounts,
    on_budget_exceeded=st.sampled_from([policies.OnExceeded.PAUSE_NEW, policies.OnExceeded.ALERT]),
)
pauses = st.sampled_from([1, 59, 600, 3600]) | st.integers(1, 12 * 3600)
choice = st.integers(0, 10**6)


@dataclass
class Rental:
    """What the oracle knows of a rental: whose it is, and what each quarter of an hour of it has cost, as far as settled."""

    spender: policies.Spender
    rate: int
    gpus: int
    held: int
    started: datetime | None = None
    seconds: int = 0
    is_open: bool = True
    quarters: dict[datetime, int] = field(default_factory=lambda: defaultdict(int))

    def settle(self, at: datetime) -> None:
        """Note what it cost up to a moment, second by second; the hold is filled up to an hour again."""
        assert self.started is not None
        ran = int((at - self.started).total_seconds())
        for n in range(self.seconds + 1, ran + 1):
            began = int(self.started.timestamp()) + n - 1
            quarter = datetime.fromtimestamp(began - began % QUARTER, UTC)
            self.quarters[quarter] += cost(self.rate, n) - cost(self.rate, n - 1)
        self.seconds = ran


class PolicyMachine(RuleBasedStateMachine):
    """One account, two teams, two people with a key each; one key has a limit of its own."""

    loop: asyncio.AbstractEventLoop
    db: Database
    api_url: str

    def __init__(self):
        super().__init__()
        self.clock = SimpleNamespace(at=START)
        self.clock.now = lambda: self.clock.at
        self.rentals: dict[RentalId, Rental] = {}

    def teardown(self):
        if hasattr(self, "api"):
            self.run(self.api.aclose())

    def run(self, work):
        return self.loop.run_until_complete(work)

    @initialize()
    def begin(self):
        self.run(self._begin())

    async def _begin(self):
        self.api = Database.connect(self.api_url, role="api", pool_size=1)
        self.account = AccountId(await open_account(self.db, at=START, micros=10**10))
        async with self.db.begin_unscoped() as session:
            self.teams = [
                TeamId((await add_team(session, account_id=self.account, name=zone, time_zone=zone, at=START)).id)
                for zone in ZONES[1:3]
            ]
        self.keys = [ApiKeyId.new(), ApiKeyId.new()]
        self.people = [UserId.new(), UserId.new()]
        self.limits = {self.keys[0]: SpendLimit(8_000_000, "daily")}
        self.zones = dict(zip(self.teams, ZONES[1:3], strict=True))
        self.hand = Hand(self.db, self.clock)
        self.caller = SimpleNamespace(account_id=self.account)

    @rule(pick=choice, seconds=st.integers(-2, 2))
    def wait_for_midnight(self, pick, seconds):
        """To a second or two beside a local midnight."""
        zone = zone_named(ZONES[pick % len(ZONES)])
        local = self.clock.at.astimezone(zone)
        midnight = datetime.combine(local.date() + timedelta(days=1), datetime.min.time(), tzinfo=zone)
        self.clock.at = max(self.clock.at, midnight.astimezone(UTC) + timedelta(seconds=seconds))

    @rule(pick=choice, terms=terms, zone=st.sampled_from(ZONES))
    def set_policy(self, pick, terms, zone):
        self.run(self._set(self._subjects[pick % len(self._subjects)], terms, zone))

    async def _set(self, subject, terms, zone):
        async with self.db.begin_unscoped() as session:
            before = await lock_policy(session, account_id=self.account, subject=subject)
            await set_terms(
                session, before, terms, account_id=self.account, time_zone=zone, actor="test", at=self.clock.at
            )

    @rule(pick=choice, zone=st.sampled_from(ZONES))
    def move_team(self, pick, zone):
        self.run(self._move(self.teams[pick % 2], zone))

    async def _move(self, team, zone):
        async with self.api.begin(self.account) as session:
            await driver(session).execute("UPDATE teams SET time_zone = $2 WHERE id = $1", team, zone)

    @rule(who=choice, rate=rates, gpus=st.integers(1, 4), family=families, many=st.integers(1, 6))
    def ask(self, who, rate, gpus, family, many):
        self.run(self._ask_at_once(self._spender(who), rate, gpus, family, many))

    @rule(who=choice, rate=rates, family=families)
    def ask_for_five_at_once(self, who, rate, family):
        self.run(self._ask_at_once(self._spender(who), rate, 1, family, 5))

    @rule(who=choice, seconds=pauses, picks=st.lists(choice, min_size=1, max_size=3))
    def ask_and_live(self, who, seconds, picks):
        """Ask for one and let time pass, in which some start, or are settled."""
        self.run(self._ask_at_once(self._spender(who), 400_000, 1, FAMILIES[0], 1))
        for pick in picks:
            self.clock.at += timedelta(seconds=seconds)
            if found := self._open(pick):
                self.run(self._go_on(*found))

    async def _ask_at_once(self, spender, rate, gpus, family, many):
        room = await self._room(spender, rate, gpus, family)
        verdict = await self._rehearse(spender, rate, gpus, family)
        assert (verdict is None) == (room > 0), verdict
        asked = [self._ask(spender, rate, gpus, family) for _ in range(many)]
        outcomes = await asyncio.gather(*asked)
        assert outcomes.count(None) == min(room, many), outcomes
        if room == 0:
            assert set(outcomes) == {verdict}
        else:
            await self._nothing_is_exceeded(spender)

    async def _ask(self, spender, rate, gpus, family):
        """Ask for one rental; return the refusal's words, None where there is none."""
        rental_id = RentalId.new()
        try:
            async with self.db.begin_unscoped() as session:
                rules = await policies.terms_for(session, spender)
                await request(
                    session,
                    Ask(
                        wanted=policies.narrow(rules.policies, Wanted(families=(family,))),
                        launch=BUILT_IN[DEFAULT_TEMPLATE],
                        rules=rules,
                    ),
                    account_id=self.account,
                    rental_id=rental_id,
                    quoted=_chosen(rate, gpus, family),
                    vault=Vault(b"test"),
                    actor="test",
                    at=self.clock.at,
                )
        except policies.POLICY_ERRORS as refused:
            return refused.detail
        self.rentals[rental_id] = Rental(spender, rate, gpus, rate)
        return None

    async def _rehearse(self, spender, rate, gpus, family):
        """Return the words of the refusal that a dry run foretells."""
        async with self.db.begin_unscoped() as session:
            rules = await policies.terms_for(session, spender)
            wanted = Wanted(families=(family,), gpu_count=gpus)
            more = {"price": rate, "max_duration_seconds": None, "max_spend": None}
            try:
                verdict = await rehearse(session, rules, wanted, **more, at=self.clock.at)
            except policies.PolicyViolation as refused:
                return refused.detail
        return None if verdict.allowed else verdict.error().detail

    async def _go_on(self, rental_id, rental):
        if rental.started is None:
            await self.hand.start(self.caller, rental_id)
            rental.started = self.clock.at
        else:
            await self.hand.settle(self.caller, rental_id)
            rental.settle(self.clock.at)

    @rule(pick=choice, seconds=pauses)
    def end(self, pick, seconds):
        if found := self._open(pick):
            self.clock.at += timedelta(seconds=seconds)
            self.run(self._end(*found))

    async def _end(self, rental_id, rental):
        async with self.db.begin_unscoped() as session:
            at = self.clock.at
            await stop(session, account_id=self.account, rental_id=rental_id, reason="user", actor="test", at=at)
        if rental.started is not None:
            await self.hand.finish(self.caller, rental_id)
            rental.settle(self.clock.at)
        rental.is_open, rental.held = False, 0

    @rule(again=st.booleans())
    def count(self, again):
        self.run(self._recount() if again else self._count())

    async def _count(self):
        async with self.db.begin_unscoped() as session:
            await count(session, [self.account])

    async def _recount(self):
        async with self.db.begin_unscoped() as session:
            for found in await find_miszoned(session, buckets=range(64), limit=10**6):
                if found.account_id == self.account:
                    await recount(session, Miszoned(found.account_id, found.subject, found.time_zone))

    @invariant()
    def books_agree(self):
        if hasattr(self, "account"):
            self.run(self._books_agree())

    async def _books_agree(self):
        async with self.db.begin_unscoped() as session:
            assert await invariants.broken_for(session, [self.account]) == []

    @property
    def _subjects(self):
        return [self.account, *self.teams, *self.people, *self.keys]

    def _spender(self, who):
        n = who % 2
        team = [*self.teams, None][who // 2 % 3]
        return policies.Spender(self.account, team, self.people[n], self.keys[n], self.limits.get(self.keys[n]))

    def _open(self, pick):
        found = [(rental_id, rental) for rental_id, rental in self.rentals.items() if rental.is_open]
        return found[pick % len(found)] if found else None

    async def _policies(self, spender):
        async with self.db.begin_unscoped() as session:
            return await policies.get_policies(session, account_id=self.account, subjects=spender.subjects)

    def _of(self, subject):
        return [rental for rental in self.rentals.values() if subject in rental.spender.subjects]

    async def _held(self):
        """What is held for each rental by the wallet's own word; that it is right is the wallet's own machine's to show."""
        async with self.db.begin_unscoped() as session:
            rows = await driver(session).fetch("SELECT rental_id, held FROM holds WHERE account_id = $1", self.account)
        for rental_id, held in rows:
            self.rentals[RentalId(rental_id)].held = held

    def _spent(self, subject, since: date, zone: str):
        """What was settled since a local day."""
        where = zone_named(zone)
        return sum(
            micros
            for rental in self._of(subject)
            for quarter, micros in rental.quarters.items()
            if day_of(quarter, where) >= since
        )

    def _budgets(self, policy):
        """Every budget that refuses: (amount, settled, held)."""
        today = day_of(self.clock.at, zone_named(policy.time_zone))
        held = sum(rental.held for rental in self._of(policy.subject))
        if policy.terms.on_budget_exceeded is not policies.OnExceeded.ALERT:
            for amount, since in (
                (policy.terms.daily_budget_micros, today),
                (policy.terms.monthly_budget_micros, today.replace(day=1)),
            ):
                if amount is not None:
                    yield amount, self._spent(policy.subject, since, policy.time_zone), held
        if limit := self.limits.get(policy.subject):
            yield limit.micros, self._spent(policy.subject, self.clock.at.date(), "UTC"), held

    async def _room(self, spender, rate, gpus, family):
        """How many more of these there is room for."""
        await self._held()
        room = 10**6
        for policy in await self._policies(spender):
            if policy.is_paused(self.clock.at):
                return 0
            if policy.terms.gpu_whitelist is not None and family not in policy.terms.gpu_whitelist:
                return 0
            mine = [rental for rental in self._of(policy.subject) if rental.is_open]
            if policy.terms.max_instances is not None:
                room = min(room, policy.terms.max_instances - len(mine))
            if policy.terms.max_gpus is not None:
                room = min(room, (policy.terms.max_gpus - sum(rental.gpus for rental in mine)) // gpus)
            for amount, settled, held in self._budgets(policy):
                room = min(room, (amount - settled - held) // rate)
        return max(0, room)

    async def _nothing_is_exceeded(self, spender):
        """Something was let in at this very moment: every limit that stands is kept."""
        await self._held()
        for policy in await self._policies(spender):
            mine = [rental for rental in self._of(policy.subject) if rental.is_open]
            assert len(mine) <= (10**6 if policy.terms.max_instances is None else policy.terms.max_instances)
            gpus = sum(rental.gpus for rental in mine)
            assert gpus <= (10**6 if policy.terms.max_gpus is None else policy.terms.max_gpus)
            for amount, settled, held in self._budgets(policy):
                assert settled + held <= amount


def _chosen(rate, gpus, family):
    return Chosen(
        listing_id="lst_1", provider="north", offer_id="1", host_id=None, family=family, model=family, gpu_count=gpus,
        vram_mib=24_564, interconnect=None, spot=False, region_id="us-oregon", region_name="Oregon", country="US",
        price_micros_per_hour=rate, disk_micros_per_hour=0, all_in_micros_per_hour=rate,
    )  # fmt: skip


def _machine(databases):
    return type("PolicyMachine", (PolicyMachine,), {"api_url": databases.urls.api})


def test_no_limit_is_ever_exceeded(databases):
    run_machine(_machine(databases), databases, max_examples=5, stateful_step_count=20)


@pytest.mark.soak
def test_no_limit_is_ever_exceeded_in_long_lives(databases):
    run_machine(_machine(databases), databases, max_examples=60, stateful_step_count=60)
