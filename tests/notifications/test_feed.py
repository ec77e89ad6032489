"""The feed: every event once, always in the same order, to whoever may see its subject; and none is ever missed."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from app.events import Event, record
from app.kit.ids import EventId, TeamId, UserId
from app.kit.leases import Holding, hold_share
from app.kit.reconcile import Round, Runner
from tests.notifications.conftest import NAMES


async def seen(client, **params):
    answer = await client.get("/v1/events", params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


async def types(client, **params):
    return [event["type"] for event in await seen(client, **params)]


async def test_events_are_listed_newest_first_and_after_one_the_oldest_first(office, client, account):
    rental = await office.rental(account)
    for n in range(5):
        await office.happen(account, f"rental.n{n}", rental, price_micros=1_500_000)
        await office.tell()
    listed = await seen(client)
    assert [event["type"] for event in listed] == [f"rental.n{n}" for n in (4, 3, 2, 1, 0)]
    assert listed[0] == {
        "id": listed[0]["id"], "object": "event", "type": "rental.n4", "at": "2026-03-01T12:00:00.000Z", "subject": rental,
        "seq": 5, "rental_id": rental, "team_id": None, "actor": "system", "data": {"price": "1.50"},
    }  # fmt: skip
    assert await types(client, after=listed[3]["id"]) == ["rental.n2", "rental.n3", "rental.n4"]
    assert await types(client, after=listed[0]["id"]) == []
    for first in ({}, {"after": listed[-1]["id"]}):
        got, params = [], {"limit": 2} | first
        while params:
            page = (await client.get("/v1/events", params=params)).json()
            got += [event["type"] for event in page["data"]]
            params = {"limit": 2, "cursor": page["next_cursor"]} | first if page["has_more"] else None
        assert got == [event["type"] for event in (reversed(listed[:-1]) if first else listed)]


async def test_types_are_chosen_by_name_or_by_topic(office, client, account):
    for type_ in ("rental.running", "rental.stopped", "rentals.x", "wallet.low_", "wallet.lowx"):
        await office.happen(account, type_, available="1")
    await office.tell()
    assert await types(client, type="rental.*") == ["rental.stopped", "rental.running"]
    assert await types(client, type="rental.running") == ["rental.running"]
    assert await types(client, type="wallet.low_") == ["wallet.low_"]
    for bad in ("*", "rental", "rental.*x", "%", "rental.%", "RENTAL.*"):
        assert (await client.get("/v1/events", params={"type": bad})).status_code == 422, bad


async def test_what_was_seen_must_be_an_event_of_the_account(office, client, account):
    other, _ = await office.open()
    await office.happen(other, "rental.running")
    await office.tell()
    [row] = await office.fetch("SELECT id FROM events WHERE account_id = $1", other)
    for given in (row["id"], EventId.new(), "nonsense", "12"):
        told = await client.get("/v1/events", params={"after": given})
        assert (told.status_code, told.json()["errors"][0]["code"]) == (422, "unknown_event")
        told = await client.get("/v1/events", headers={"Accept": "text/event-stream", "Last-Event-ID": given})
        assert (told.status_code, told.json()["errors"][0]["pointer"]) == (422, "header:/Last-Event-ID")


async def test_everybody_sees_what_is_within_reach(office, account):
    ours, theirs = TeamId.new(), TeamId.new()
    person = UserId.new()
    member = {"scopes": {"rentals:read"}, "user_id": person, "reach": frozenset({ours})}
    of_ours = await office.rental(account, team_id=ours)
    of_theirs = await office.rental(account, team_id=theirs)
    own = await office.rental(account, made_by="key_x", person=person)
    nobodys = await office.rental(account)
    for type_, subject in (
        ("rental.ours", of_ours), ("rental.theirs", of_theirs), ("rental.own", own), ("rental.nobodys", nobodys),
        ("team.ours", ours), ("team.theirs", theirs), ("payment.made", account),
    ):  # fmt: skip
        await office.happen(account, type_, subject)
    await office.tell()
    every = ["payment.made", "team.theirs", "team.ours", "rental.nobodys", "rental.own", "rental.theirs", "rental.ours"]
    for terms, expected in (
        ({}, every),
        ({"scopes": {"rentals:read"}}, every[1:]),
        (member, ["team.ours", "rental.own", "rental.ours"]),
        (member | {"team_id": ours}, ["team.ours", "rental.ours"]),
        (member | {"reach": frozenset()}, ["rental.own"]),
        (member | {"scopes": {"rentals:read", "billing:read", "admin"}}, ["team.ours", "rental.own", "rental.ours"]),
    ):
        async with office.caller(account, **terms) as caller:
            assert sorted(await types(caller)) == sorted(expected)
            [first] = await office.fetch(
                "SELECT event_id FROM event_feed WHERE account_id = $1 AND position = 1", account
            )
            assert set(await types(caller, after=first["event_id"])) <= set(expected)
    async with office.caller(account, scopes={"billing:read"}) as caller:
        assert (await caller.get("/v1/events")).json()["required_scope"] == "rentals:read"
    async with office.caller((await office.open())[0]) as stranger:
        assert await types(stranger) == []


async def test_an_event_that_commits_late_comes_after_those_that_were_read_before(office, client, account):
    """Ids are given before the commit; whoever went by them would have gone past the late one."""
    late = office.databases.worker.begin_unscoped()
    session = await late.__aenter__()
    await record(session, Event(account, "rent_late", "rental.late", office.clock.at))
    await office.happen(account, "rental.early")
    await office.tell()
    [early] = await seen(client)
    assert await office.tell() == {}
    await late.__aexit__(None, None, None)
    await office.tell()
    assert await types(client, after=early["id"]) == ["rental.late"]
    [event] = await seen(client, type="rental.late")
    assert event["id"] < early["id"]


async def test_while_many_write_at_once_a_reader_gets_each_once_in_the_order_of_the_list(office, client, account):
    async def write(n):
        async with office.databases.worker.begin_unscoped() as session:
            await record(session, *(Event(account, f"rent_{n}", f"rental.n{n}x{m}", office.clock.at) for m in range(3)))
            await asyncio.sleep(0.01 * (n % 5))
            if n % 7 == 0:
                raise RuntimeError("the change is undone, and so is what would have told of it")

    await office.happen(account, "rental.first")
    await office.tell()
    [first] = await seen(client)
    writing = asyncio.gather(*(write(n) for n in range(30)), return_exceptions=True)
    got, after = [], first["id"]
    while not writing.done() or await office.tell():
        await office.tell()
        fresh = await seen(client, after=after)
        got += [event["id"] for event in fresh]
        after = fresh[-1]["id"] if fresh else after
    got += [event["id"] for event in await seen(client, after=after)]
    assert got == [event["id"] for event in reversed((await seen(client, limit=200))[:-1])]
    assert len(got) == len(set(got)) == 25 * 3


async def test_an_event_and_its_place_in_the_queue_stand_or_fall_together(office, account):
    async def undone():
        async with office.databases.worker.begin_unscoped() as session:
            await record(session, Event(account, account, "rental.undone", office.clock.at))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await undone()
    async with office.databases.api.begin(account) as session:
        await record(session, Event(account, account, "rental.done", office.clock.at))
    queued = "SELECT e.type FROM event_queue q JOIN events e ON e.account_id = q.account_id AND e.id = q.event_id"
    assert [row["type"] for row in await office.fetch(f"{queued} WHERE q.account_id = $1", account)] == ["rental.done"]
    await office.tell()
    assert await office.fetch("SELECT 1 FROM event_queue WHERE account_id = $1", account) == []


async def test_a_telling_that_dies_leaves_everything_to_the_next(office, client, account, receiver):
    await office.webhook(client, receiver.url())
    await office.happen(account, "rental.running", await office.rental(account))
    whose = office.whose

    async def dies(_session, _rentals):
        raise RuntimeError("the worker dies")

    office.whose = dies
    assert await office.tell() == {"failed": 1}
    assert await types(client) == []
    office.whose = whose
    assert await office.tell() == {"told": 1}
    assert await types(client) == ["rental.running"]
    assert await office.send() == {"delivered": 1}


async def test_two_workers_tell_an_event_once(office, client, account, receiver):
    webhook = await office.webhook(client, receiver.url())
    for n in range(5):
        await office.happen(account, f"rental.n{n}")
    holding = await hold_share(office.databases.worker, office.worker, NAMES)
    runners = [Runner(office.telling()) for _ in range(3)]
    counts = await asyncio.gather(*(runner.run_once(Round(office.clock.at, holding)) for runner in runners))
    assert sum(count["told"] for count in counts) == 1
    assert len(await types(client)) == len(await office.deliveries(client, webhook)) == 5


async def test_a_worker_that_lost_its_share_tells_nothing(office, client, account):
    await office.happen(account, "rental.running")
    holding = await hold_share(office.databases.worker, office.worker, NAMES)
    stale = Holding(office.worker, {name: fence - 1 for name, fence in holding.fences.items()})
    assert await Runner(office.telling()).run_once(Round(office.clock.at, stale)) == {"stale_fence": 1}
    assert await Runner(office.telling()).run_once(Round(office.clock.at, Holding(office.worker, {}))) == {}
    assert await types(client) == []


class Stream:
    """A listener over ASGI, which hears events until it leaves."""

    def __init__(self, office, client, **headers):
        self.heard, self.ended, self.status = [], asyncio.Event(), None
        self._leave, self._came = asyncio.Event(), asyncio.Event()
        raw = [(name.lower().encode(), value.encode()) for name, value in client.headers.items()]
        raw = [pair for pair in raw if pair[0] != b"accept"]
        raw += [(b"accept", b"text/event-stream")]
        raw += [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
        scope = {
            "type": "http", "method": "GET", "path": "/v1/events", "raw_path": b"/v1/events", "query_string": b"",
            "headers": raw, "client": ("127.0.0.1", 1), "server": ("test", 80), "scheme": "http", "http_version": "1.1",
            "asgi": {"version": "3.0"},
        }  # fmt: skip
        self.task = asyncio.create_task(office.app(scope, self._receive, self._send))
        self.task.add_done_callback(lambda _: self.ended.set())
        self._asked = False

    async def _receive(self):
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self._leave.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message):
        if message["type"] == "http.response.start":
            self.status = message["status"]
        for part in message.get("body", b"").decode().split("\n\n"):
            lines = dict(line.split(": ", 1) for line in part.splitlines() if ": " in line and not line.startswith(":"))
            if "event" in lines:
                self.heard.append((lines["id"], lines["event"]))
                self._came.set()

    async def until(self, count):
        async with asyncio.timeout(10):
            while len(self.heard) < count:
                self._came.clear()
                await self._came.wait()
        return [type_ for _, type_ in self.heard]

    async def leave(self):
        self._leave.set()
        await self.ended.wait()


async def test_a_stream_hears_what_happens_and_goes_on_where_it_was_cut(office, client, account):
    await office.happen(account, "rental.before")
    await office.tell()
    listener = Stream(office, client)
    await asyncio.sleep(0.05)
    for n in range(3):
        await office.happen(account, f"rental.n{n}")
        await office.tell()
    assert await listener.until(3) == ["rental.n0", "rental.n1", "rental.n2"]
    await listener.leave()
    await office.happen(account, "rental.n3")
    await office.tell()
    again = Stream(office, client, last_event_id=listener.heard[0][0])
    assert await again.until(3) == ["rental.n1", "rental.n2", "rental.n3"]
    await again.leave()


async def test_a_stream_ends_with_its_key_and_narrows_with_its_reach(office, client, account):
    team = TeamId.new()
    async with office.caller(account, reach=frozenset({team})) as member:
        listener = Stream(office, member)
        await asyncio.sleep(0.05)
        rental = await office.rental(account, team_id=team)
        await office.happen(account, "rental.seen", rental)
        await office.tell()
        assert await listener.until(1) == ["rental.seen"]
        callers = office.state.callers
        callers[member.secret] = type(member.principal)(
            account, member.principal.key_id, None, frozenset({"rentals:read"}), True, "key", reach=frozenset()
        )
        await office.happen(account, "rental.unseen", rental)
        await office.tell()
        await asyncio.sleep(0.1)
        assert [type_ for _, type_ in listener.heard] == ["rental.seen"]
        del callers[member.secret]
        async with asyncio.timeout(5):
            await listener.ended.wait()
        assert listener.status == 200


async def test_a_key_of_another_account_ends_a_stream(office, client, account):
    listener = Stream(office, client)
    await asyncio.sleep(0.05)
    other, _ = await office.open()
    async with office.caller(other) as stranger:
        office.state.callers[client.secret] = stranger.principal
        async with asyncio.timeout(5):
            await listener.ended.wait()


class Away(dict):
    """Callers that can't be looked up: their database is away."""

    def __contains__(self, secret):
        raise ConnectionResetError


async def test_a_stream_ends_in_good_order_when_the_database_goes_away(office, client, account):
    listener = Stream(office, client)
    await asyncio.sleep(0.05)
    office.state.callers = Away()
    async with asyncio.timeout(5):
        await listener.ended.wait()
    assert listener.status == 200
    assert listener.task.exception() is None


async def test_a_stream_of_a_person_is_a_stream_too(office, account):
    async with office.person(account, UserId.new(), role="viewer") as person:
        listener = Stream(office, person)
        await asyncio.sleep(0.05)
        await office.happen(account, "rental.running", at=office.clock.at + timedelta(seconds=1))
        await office.tell()
        assert await listener.until(1) == ["rental.running"]
        await listener.leave()
