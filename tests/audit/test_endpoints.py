"""The audit over HTTP: read by who may, exported whole and flat, and verified by the service and without it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import httpx
import pytest

from app import audit
from app.audit.endpoints import router
from app.audit.rendering import canonical_of
from app.audit.verifying import ChainBrokenError, Walk, beginning
from app.kit.db import Database
from app.kit.ids import AccountId, ApiKeyId, TeamId, UserId
from app.web import SCOPES, Cursors, Limiter, Principal
from app.web.errors import Unauthorized
from tests.applications import new_app

from .conftest import grow

URL = "/v1/audit"
Client = Callable[..., Awaitable[httpx.AsyncClient]]


@dataclass
class HandClock:
    at: datetime

    def now(self) -> datetime:
        return self.at


@dataclass
class State:
    """The state that bootstrap would make, with callers known by heart."""

    db: Database
    clock: HandClock
    cursors: Cursors = field(default_factory=lambda: Cursors(b"cursor key"))
    limiter: Limiter = field(default_factory=lambda: Limiter(per_key=100_000, per_account=100_000))
    callers: dict[str, Principal] = field(default_factory=dict)

    async def authenticate(self, secret: str, *, at: datetime, address: str | None) -> Principal:
        if secret not in self.callers:
            raise Unauthorized
        return self.callers[secret]


@pytest.fixture
async def client_of(api_db, at) -> AsyncIterator[Client]:
    """Return a client of an account: ``await client_of(account, reach=…)``."""
    state, opened = State(api_db, HandClock(at)), []
    app = new_app(state, router)

    async def connecting(account: str, **more: object) -> httpx.AsyncClient:
        caller = Principal(AccountId(account), ApiKeyId.new(), None, frozenset({"audit:read"}), live=True, name="test")
        secret = f"secret{len(state.callers)}"
        state.callers[secret] = replace(caller, **more)
        transport, headers = httpx.ASGITransport(app), {"Authorization": f"Bearer {secret}"}
        opened.append(httpx.AsyncClient(transport=transport, base_url="http://test", headers=headers))
        return opened[-1]

    yield connecting
    for client in opened:
        await client.aclose()


async def pages(client: httpx.AsyncClient, **params: object) -> list[dict]:
    found, cursor = [], None
    while True:
        answer = await client.get(URL, params={**params, **({"cursor": cursor} if cursor else {})})
        assert answer.status_code == 200, answer.text
        found += answer.json()["data"]
        cursor = answer.json()["next_cursor"]
        if cursor is None:
            return found


def walked(account: str, lines: list[dict]) -> int:
    """Verify an export and return how many entries it has."""
    walk = Walk(beginning(account))
    for line in lines:
        walk.take(line["seq"], canonical_of(line), bytes.fromhex(line["hash"]))
    return walk.place.seq


@pytest.fixture
async def storied(worker_db, account, entry, at) -> AccountId:
    """An account in which several have done several things."""
    minute = timedelta(minutes=1)
    async with worker_db.begin_unscoped() as session:
        await audit.write(
            session,
            entry(account, action="rental.created", target="rent_1", actor="key_1", team_id="team_1", at=at),
            entry(account, action="rental.running", target="rent_1", team_id="team_1", at=at + minute),
            entry(account, action="rentals.counted", target="rent_1", at=at + 2 * minute),
            entry(account, action="team.created", target="team_2", actor="usr_1", user_id="usr_1", at=at + 3 * minute),
        )
    return account


@pytest.mark.parametrize(
    ("params", "found"),
    [
        ({}, [4, 3, 2, 1]),
        ({"limit": 1}, [4, 3, 2, 1]),
        ({"actor": "key_1"}, [1]),
        ({"actor": "system"}, [3, 2]),
        ({"action": "rental"}, [2, 1]),
        ({"action": "rental.running"}, [2]),
        ({"action": "rental_running"}, []),
        ({"action": "%"}, []),
        ({"target": "rent_1"}, [3, 2, 1]),
        ({"team_id": "team_1"}, [2, 1]),
        ({"since": "2026-03-01T12:01:00Z", "until": "2026-03-01T12:03:00Z"}, [3, 2]),
    ],
)
async def test_entries_are_found_by_what_they_tell(client_of, storied, params, found) -> None:
    assert [entry["seq"] for entry in await pages(await client_of(storied), **params)] == found


async def test_an_entry_tells_everything(client_of, storied) -> None:
    first = (await pages(await client_of(storied)))[-1]
    assert {name: first[name] for name in ("object", "actor", "action", "target", "team_id", "account_id")} == {
        "object": "audit_entry",
        "actor": "key_1",
        "action": "rental.created",
        "target": "rent_1",
        "team_id": "team_1",
        "account_id": storied,
    }
    assert first["at"] == "2026-03-01T12:00:00.000000Z"


async def test_who_may_not_read_it_does_not(client_of, storied, new_account) -> None:
    client = await client_of(storied, scopes=SCOPES - {"audit:read", "admin"})
    for path in ("", "/export", "/verify"):
        assert (await client.get(URL + path)).json()["code"] == "scope_missing"
    stranger = await client_of(await new_account())
    assert await pages(stranger) == []
    assert (await stranger.get(f"{URL}/export")).text == ""


async def test_who_sees_some_teams_sees_their_acts_and_its_own(client_of, storied) -> None:
    client = await client_of(storied, reach=frozenset({TeamId("team_1")}), user_id=UserId("usr_1"))
    assert [entry["seq"] for entry in await pages(client)] == [4, 2, 1]
    exported = (await client.get(f"{URL}/export")).text.splitlines()
    assert [json.loads(line)["seq"] for line in exported] == [1, 2, 4]
    assert (await client.get(f"{URL}/verify")).json()["code"] == "forbidden"
    team = TeamId("team_1")
    of_the_team = await client_of(storied, reach=frozenset({team}), team_id=team, user_id=UserId("usr_1"))
    assert [entry["seq"] for entry in await pages(of_the_team)] == [2, 1], "not what its maker did elsewhere"
    nobody = await client_of(storied, reach=frozenset())
    assert await pages(nobody) == []


async def test_a_full_export_is_verified_without_the_service(client_of, worker_db, account, at) -> None:
    await grow(worker_db, account, 1_003, at=at)
    answer = await (await client_of(account)).get(f"{URL}/export")
    assert answer.headers["content-type"].startswith("application/jsonl")
    assert answer.text.isascii()
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert walked(account, lines) == 1_003
    lines[7]["details"]["n"] = 9_999
    with pytest.raises(ChainBrokenError, match=r"\(8, 'changed'\)"):
        walked(account, lines)


async def test_a_flat_export_is_a_moment_a_team_an_act_and_its_details(client_of, worker_db, account, entry) -> None:
    details = {"family": "rtx-4090", "action": "odd", "after": {"status": "running"}, "said": "a \u2028 b"}
    async with worker_db.begin_unscoped() as session:
        await audit.write(session, entry(account, team_id="team_1", actor="key_1", details=details))
    answer = await (await client_of(account)).get(f"{URL}/export", params={"form": "flat"})
    (line,) = answer.text.splitlines()
    assert list(json.loads(line).items())[:3] == [
        ("timestamp", "2026-03-01T12:00:00.000000Z"),
        ("team", "team_1"),
        ("action", "thing.changed"),
    ]
    assert json.loads(line) == {
        "timestamp": "2026-03-01T12:00:00.000000Z",
        "team": "team_1",
        "action": "thing.changed",
        "actor": "key_1",
        "target": "thing_1",
        "family": "rtx-4090",
        "details.action": "odd",
        "after": {"status": "running"},
        "said": "a \u2028 b",
    }


async def test_a_verification_tells_how_far_it_went_and_goes_on_from_there(client_of, chain, worker_db, at) -> None:
    client = await client_of(chain)
    told = (await client.get(f"{URL}/verify")).json()
    assert (told["ok"], told["complete"], told["seq"], told["trouble"]) == (True, True, 10, None)
    await grow(worker_db, chain, 2, at=at, first=11)
    kept = {"after_seq": told["seq"], "hash": told["hash"]}
    told = (await client.get(f"{URL}/verify", params=kept)).json()
    assert (told["ok"], told["seq"]) == (True, 12)
    told = (await client.get(f"{URL}/verify", params={**kept, "hash": "0" * 64})).json()
    assert (told["ok"], told["first_bad_seq"], told["trouble"]) == (False, 11, "changed")


async def test_a_verification_finds_what_was_changed(client_of, chain, tamper) -> None:
    await tamper("UPDATE audit_entries SET actor = 'x' WHERE account_id = $1 AND seq = 4", account=chain)
    told = (await (await client_of(chain)).get(f"{URL}/verify")).json()
    assert (told["ok"], told["complete"], told["seq"], told["first_bad_seq"]) == (False, False, 3, 4)


@pytest.mark.parametrize(
    "params", [{"after_seq": 3}, {"hash": "0" * 64}, {"after_seq": 0, "hash": "0" * 64}, {"hash": "x"}]
)
async def test_half_a_place_is_refused(client_of, chain, params) -> None:
    assert (await (await client_of(chain)).get(f"{URL}/verify", params=params)).status_code == 422
