"""Mails: each to those whom an event concerns and who want it, once."""

from __future__ import annotations

import asyncio

import pytest

from app import tenancy
from app.kit.ids import TeamId
from app.mail.wording import worded
from app.notifications.letters.kinds import KIND_NAMES
from app.web import SCOPES
from tests.notifications.conftest import key

LOW = {"level": "balance", "threshold": "5.00", "available": "4.20", "total": "4.20"}
SPENT = {"period": "monthly", "limit": "300.00", "spent": "270.00", "percent": 90}


@pytest.fixture
async def house(office):
    """An account with somebody of every role, one of whom leads a team."""
    return await House.built(office)


class House:
    def __init__(self, office, account, people):
        self.office, self.account, self.people = office, account, people

    @classmethod
    async def built(cls, office):
        account, owner = await office.open(email="owner@example.com")
        people = {"owner": owner}
        for role in ("admin", "billing", "member", "viewer"):
            people[role] = await office.join(account, email=f"{role}@example.com", role=role)
        house = cls(office, account, people)
        house.team = await house.found("research", lead=people["member"])
        return house

    async def found(self, name, *, lead):
        team = TeamId.new()
        await self.office.fetch(
            "INSERT INTO teams (account_id, id, name, time_zone, created_at) VALUES ($1, $2, $3, 'UTC', $4)",
            self.account, team, name, self.office.clock.at,
        )  # fmt: skip
        await self.office.fetch(
            "INSERT INTO team_members (account_id, team_id, user_id, role, added_at) VALUES ($1, $2, $3, 'lead', $4)",
            self.account, team, lead, self.office.clock.at,
        )  # fmt: skip
        return team

    async def key_of(self, role):
        """Make a key of somebody's; return its id."""
        async with self.office.databases.worker.begin_unscoped() as session:
            terms = tenancy.KeyTerms("x", SCOPES, created_by=self.people[role])
            made = await tenancy.create_key(
                session, terms, account_id=self.account, pepper=b"pepper", at=self.office.clock.at
            )
        return made.row.id

    async def told(self, type_, subject=None, **data):
        """Return who is written to of an event, and the texts."""
        await self.office.fetch("DELETE FROM mails WHERE account_id = $1", self.account)
        await self.office.happen(self.account, type_, subject, **data)
        await self.office.tell()
        rows = await self.office.fetch("SELECT * FROM mails WHERE account_id = $1", self.account)
        self.texts = {worded(row["template"], {**row["data"], "account_id": self.account}) for row in rows}
        return {row["to_address"].partition("@")[0] for row in rows}

    def browser(self, role):
        return self.office.person(self.account, self.people[role], role=role)

    async def choose(self, role, **choices):
        async with self.browser(role) as browser:
            answer = await browser.put("/v1/me/notifications", json=choices)
            assert answer.status_code == 200, answer.text
            return {one["kind"]: (one["wanted"], one["chosen_by"]) for one in answer.json()["kinds"]}

    async def choose_for_all(self, **choices):
        async with self.office.caller(self.account, scopes={"admin"}) as admin:
            answer = await admin.put("/v1/account/notifications", json=choices)
            assert answer.status_code == 200, answer.text
            return {one["kind"]: (one["wanted"], one["chosen_by"]) for one in answer.json()["kinds"]}


async def test_those_are_written_to_whom_an_event_concerns(house):
    rental = await house.office.rental(house.account, made_by="key_1", person=house.people["viewer"])
    nobodys = await house.office.rental(house.account, made_by="key_2")
    assert await house.told("budget.threshold", house.team, **SPENT) == {"owner", "billing", "member"}
    assert await house.told("budget.exceeded", house.account, **SPENT) == {"owner", "billing"}
    assert await house.told("budget.paused", house.people["viewer"], **SPENT) == {"owner", "billing", "viewer"}
    assert await house.told("wallet.low", **LOW) == {"owner", "billing"}
    assert await house.told("wallet.depleted", **LOW) == {"owner", "billing"}
    assert await house.told("rental.failed", rental, reason="host_lost") == {"viewer"}
    assert await house.told("rental.failed", nobodys, reason="host_lost") == {"owner"}
    assert await house.told("rental.stopped", rental, end_reason="wallet_empty") == {"viewer"}
    asked = {"request_id": "chg_1", "team_id": house.team, "changes": {}, "asked_by": house.people["member"]}
    assert await house.told("policy.requested", house.team, **asked) == {"owner", "admin"}
    assert await house.told("policy.request_approved", house.team, **asked) == {"member"}
    by_key = {**asked, "asked_by": await house.key_of("viewer")}
    assert await house.told("policy.request_denied", house.team, **by_key) == {"viewer"}
    assert await house.told("policy.request_denied", house.team, **{**asked, "asked_by": "key_nobodys"}) == set()
    hook = {"webhook_id": "whk_1", "url": "https://a.example.com/", "reason": "failing", "failing_since": "x"}
    assert await house.told("webhook.disabled", "whk_1", **hook) == {"owner", "admin"}
    for type_, data in (
        ("rental.stopped", {"end_reason": "user"}), ("rental.running", {}), ("rental.interrupted", {}), ("payment.made", {}),
        ("wallet.owed", {}), ("webhook.test", {}), ("policy.updated", {}),
    ):  # fmt: skip
        assert await house.told(type_, rental, **data) == set()


async def test_what_is_written_says_what_happened(house):
    await house.told("budget.threshold", house.team, **SPENT)
    [text] = house.texts
    assert text.subject == "90% of a budget is spent"
    assert f"Whose: research, {house.team}\nBudget: $300.00\nSpent: $270.00\n" in text.text
    await house.told("wallet.low", **LOW)
    [text] = house.texts
    assert "Available now: $4.20" in text.text
    rental = await house.office.rental(house.account, person=house.people["member"])
    await house.told("rental.failed", rental, reason="host_lost")
    [text] = house.texts
    assert (text.subject, rental in text.text) == ("A rental has failed: host lost", True)


async def test_a_request_for_another_policy_is_written_out(house):
    asked = {"request_id": "chg_1", "team_id": house.team, "asked_by": house.people["member"]}
    wanted = {"daily_budget": "50.00", "gpu_whitelist": ["h100", "a100"], "max_gpus": None, "max_instances": 4}
    await house.told("policy.requested", house.team, **asked, changes=wanted)
    [text] = house.texts
    assert text.subject == "Another policy is asked for"
    assert text.text.startswith("x asks for another policy.")
    assert (
        f"Whose: research, {house.team}\nDaily budget: 50.00\nGpu whitelist: h100, a100\n"
        "Max gpus: no limit\nMax instances: 4\nRequest: chg_1\n"
    ) in text.text
    await house.told("policy.request_denied", house.team, **asked, changes=wanted)
    [text] = house.texts
    assert text.subject == "A change of policy was denied"
    assert text.text.startswith("system has denied what you asked for. Nothing has changed.")


async def test_everybody_chooses_and_the_account_for_who_has_not(house):
    rental = await house.office.rental(house.account, person=house.people["member"])
    assert await house.choose("billing", low_balance=False) == {
        kind: (kind not in {"low_balance", "rental_interruptions"}, "person" if kind == "low_balance" else "default")
        for kind in KIND_NAMES
    }
    assert await house.told("wallet.low", **LOW) == {"owner"}
    assert (await house.choose_for_all(low_balance=False, rental_interruptions=True))["low_balance"] == (
        False,
        "account",
    )
    assert await house.told("wallet.low", **LOW) == set()
    assert await house.told("rental.interrupted", rental) == {"member"}
    assert (await house.choose("member", rental_interruptions=False))["low_balance"] == (False, "account")
    assert await house.told("rental.interrupted", rental) == set()
    await house.choose("owner", low_balance=True)
    assert await house.told("wallet.low", **LOW) == {"owner"}
    assert (await house.choose("owner"))["low_balance"] == (False, "account")
    await house.choose_for_all()
    assert await house.told("wallet.low", **LOW) == {"owner"}
    assert await house.told("rental.interrupted", rental) == set()


async def test_who_left_is_written_to_no_more(house):
    rental = await house.office.rental(house.account, person=house.people["member"])
    await house.office.fetch("UPDATE users SET removed_at = joined_at WHERE id = $1", house.people["member"])
    assert await house.told("rental.failed", rental, reason="internal") == {"owner"}
    assert await house.told("budget.exceeded", house.team, **SPENT) == {"owner", "billing"}


async def test_an_event_that_can_not_be_written_holds_up_no_other(house):
    await house.office.happen(house.account, "wallet.low", nothing="told")
    assert await house.told("rental.failed", house.account) == {"owner"}


async def test_nobody_is_written_to_for_ever(house):
    for n in range(22):
        await house.office.happen(house.account, "rental.failed", f"rent_{n}", reason="no_capacity")
    await house.office.tell()
    count = "SELECT count(*) FROM mails WHERE account_id = $1 AND template = 'rental_failed'"
    assert (await house.office.fetch(count, house.account))[0][0] == 20
    house.office.later(hours=1)
    await house.office.happen(house.account, "rental.failed", "rent_22", reason="no_capacity")
    await house.office.tell()
    assert (await house.office.fetch(count, house.account))[0][0] == 21


async def test_choices_are_for_who_read_the_newest_and_nobody_elses(house):
    async with house.browser("member") as browser:
        read = await browser.get("/v1/me/notifications")
        first = await browser.put(
            "/v1/me/notifications", json={"webhooks": False}, headers={"If-Match": read.headers["etag"]}
        )
        late = await browser.put("/v1/me/notifications", json={}, headers={"If-Match": read.headers["etag"]})
        assert (first.status_code, late.status_code) == (200, 412)
        assert (await browser.get("/v1/me/notifications")).headers["etag"] == first.headers["etag"]
        for bad in ({"other": True}, {"webhooks": 1}, {"webhooks": "true"}, []):
            assert (await browser.put("/v1/me/notifications", json=bad)).status_code == 422
        assert (await browser.put("/v1/account/notifications", json={})).json()["code"] == "scope_missing"
        forged = await browser.put("/v1/me/notifications", json={}, headers={"Origin": "http://evil.example"})
        assert forged.json()["code"] == "csrf_failed"
    async with house.office.caller(house.account) as machine:
        told = await machine.put("/v1/me/notifications", json={}, headers=key())
        assert (told.status_code, told.json()["code"]) == (403, "sign_in_needed")
    [entry] = await house.office.fetch(
        "SELECT * FROM audit_entries WHERE account_id = $1 AND action = 'notifications.chosen'", house.account
    )
    assert entry["target"] == house.people["member"]


async def test_choices_of_one_moment_are_made_one_after_the_other(house):
    async with house.browser("member") as browser:
        read = await browser.get("/v1/me/notifications")
        for header, statuses in (({}, [200] * 6), ({"If-Match": read.headers["etag"]}, [412] * 6)):
            told = await asyncio.gather(
                *(browser.put("/v1/me/notifications", json={"webhooks": False}, headers=header) for _ in range(6))
            )
            assert [answer.status_code for answer in told] == statuses
        read = await browser.get("/v1/me/notifications")
        own = {"If-Match": read.headers["etag"]}
        told = await asyncio.gather(
            *(browser.put("/v1/me/notifications", json={"webhooks": True}, headers=own) for _ in range(6))
        )
        assert sorted(answer.status_code for answer in told) == [200] + [412] * 5
