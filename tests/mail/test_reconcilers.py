"""Sending: once, again when it must be, never for ever."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta

import pytest
import structlog
from structlog.testing import capture_logs

from app import mail
from app.kit.clock import SystemClock
from app.kit.db import driver
from app.kit.leases import BUCKETS, Holding, bucket_name, hold_share
from app.kit.reconcile import Round, Runner
from app.mail import LogOutlet, Mailbox, Smtp
from app.mail.reconcilers import pause_after, sending, tidying

SENDER = Mailbox.parse("Hourglass <billing@example.com>")
NAMES = [bucket_name(bucket) for bucket in range(BUCKETS)]


@dataclass
class HandClock(SystemClock):
    at: object

    def now(self):
        return self.at


class Post:
    """A worker that sends, by a clock in the test's hand."""

    def __init__(self, db, at, outlet):
        self.db, self.clock, self.outlet = db, HandClock(at), outlet
        self.owner = "wrk_1"

    async def round(self):
        holding = await hold_share(self.db, self.owner, NAMES)
        runner = Runner(sending(self.db, self.clock, self.outlet, sender=SENDER))
        return dict(await runner.run_once(Round(self.clock.at, holding)))

    def later(self, **span):
        self.clock.at += timedelta(**span)

    async def rows(self, account):
        async with self.db.begin_unscoped() as session:
            return await driver(session).fetch("SELECT * FROM mails WHERE account_id = $1 ORDER BY id", account)

    async def write(self, account, *, to=("ada@example.com",), key="k"):
        async with self.db.begin_unscoped() as session:
            await mail.write(
                session,
                account_id=account,
                to=to,
                template="deposit_received",
                data={"amount": "25.00", "available": "30.00"},
                key=key,
                at=self.clock.at,
            )


@pytest.fixture(scope="module")
async def own_database(open_databases):
    async with open_databases() as opened:
        yield opened.worker


@pytest.fixture
async def db(own_database):
    """A database in which no mail waits but this test's."""
    async with own_database.begin_unscoped() as session:
        await driver(session).execute("DELETE FROM mails")
    return own_database


@pytest.fixture
async def account(new_account, db):
    return await new_account(db=db)


@pytest.fixture
def post(db, at, mailer):
    return Post(db, at, Smtp.from_url(mailer.url, deadline_seconds=5))


async def test_what_was_written_is_sent_once_to_each(post, account, mailer):
    await post.write(account, to=["ada@example.com", "bob@example.com"])
    assert await post.round() == {"sent": 2}
    assert await post.round() == {}
    assert sorted(taken.to for taken in mailer.taken) == [["ada@example.com"], ["bob@example.com"]]
    for row in await post.rows(account):
        assert (row["state"], row["tries"], row["sent_at"], row["last_error"]) == ("sent", 1, post.clock.at, None)
    ids = {str(taken.message["Message-ID"]) for taken in mailer.taken}
    assert ids == {f"<{row['id'].lower()}@example.com>" for row in await post.rows(account)}
    [text] = {taken.message.get_content() for taken in mailer.taken}
    assert account in text


async def test_a_letter_that_nobody_confirmed_is_sent_again_as_the_same_bytes(post, account, mailer):
    await post.write(account)
    mailer.cut_after_data = 2
    assert await post.round() == {"deferred": 1}
    assert await post.round() == {}
    post.later(minutes=1)
    assert await post.round() == {"deferred": 1}
    post.later(minutes=2)
    post.outlet = Smtp.from_url(mailer.url.replace("127.0.0.1", "localhost"), deadline_seconds=5)
    assert await post.round() == {"sent": 1}
    assert len(mailer.taken) == 3
    assert len({taken.content for taken in mailer.taken}) == 1


async def test_a_token_is_kept_until_its_mail_is_sent_and_no_longer(post, account, mailer):
    data = {"account_name": "Lab", "expires_at": "soon", "page": "http://test", "role": "viewer", "token": "hgi_x"}
    async with post.db.begin_unscoped() as session:
        await mail.write(
            session,
            account_id=account,
            to=["ada@example.com"],
            template="invitation",
            data=data,
            key="k",
            at=post.clock.at,
        )
    mailer.says["DATA"] = ["451 later"]
    assert await post.round() == {"deferred": 1}
    assert (await post.rows(account))[0]["data"] == data
    post.later(minutes=5)
    assert await post.round() == {"sent": 1}
    assert "http://test#hgi_x" in mailer.taken[0].message.get_content()
    assert "token" not in (await post.rows(account))[0]["data"]


async def test_a_worker_that_ends_before_it_noted_the_taking_repeats_the_same_bytes(post, account, mailer):
    await post.write(account)
    mailer.hang_at = "answer"  # the letter is taken, and the worker ends before it hears so
    dying = asyncio.create_task(post.round())
    await mailer.has_taken.wait()
    dying.cancel()
    with pytest.raises(asyncio.CancelledError):
        await dying
    await asyncio.sleep(0.05)
    [row] = await post.rows(account)
    assert (row["state"], row["tries"]) == ("queued", 1)
    mailer.hang_at = None
    assert await post.round() == {}
    post.later(minutes=1)
    assert await post.round() == {"sent": 1}
    assert len({taken.content for taken in mailer.taken}) == 1


async def test_a_server_that_is_busy_is_asked_again_at_growing_intervals(post, account, mailer):
    await post.write(account)
    mailer.says["RCPT"] = ["451 greylisted"] * 3
    for pause in (1, 2, 4):
        assert await post.round() == {"deferred": 1}
        post.later(minutes=pause, seconds=-1)
        assert await post.round() == {}
        post.later(seconds=1)
    [row] = await post.rows(account)
    assert (row["tries"], row["last_error"]) == (3, "451 greylisted")
    assert await post.round() == {"sent": 1}
    assert pause_after(50) == timedelta(hours=1)


async def test_a_letter_that_is_refused_is_dead_with_the_reason(post, account, mailer):
    await post.write(account)
    mailer.says["RCPT"] = ["550 no such user"]
    assert await post.round() == {"failed": 1}
    post.later(days=4)
    assert await post.round() == {}
    [row] = await post.rows(account)
    assert (row["state"], row["last_error"], row["sent_at"]) == ("failed", "550 no such user", None)


async def test_an_address_that_is_none_is_dead_and_holds_up_nobody(post, account, mailer):
    await post.write(account, to=["ada@example.com\r\nRCPT TO:<thief@example.com>", "bob@example.com"])
    assert await post.round() == {"failed": 1, "sent": 1}
    assert [taken.to for taken in mailer.taken] == [["bob@example.com"]]
    assert {row["last_error"] for row in await post.rows(account)} == {None, "is no mail address"}


async def test_after_three_days_a_letter_is_given_up(post, account, mailer):
    await post.write(account)
    mailer.says["MAIL"] = ["421 busy"] * 100
    outcomes = []
    while not outcomes or outcomes[-1] != {"failed": 1}:
        post.later(hours=1)
        outcomes.append(await post.round())
    assert len(outcomes) == 72
    assert set(map(str, outcomes[:-1])) == {"{'deferred': 1}"}
    [row] = await post.rows(account)
    assert row["last_error"] == "given up after three days: 421 busy"


async def test_without_a_server_letters_are_in_the_log(db, at, account):
    post = Post(db, at, LogOutlet())
    await post.write(account)
    structlog.reset_defaults()
    with capture_logs() as logs:
        assert await post.round() == {"logged": 1}
    [told] = [entry for entry in logs if entry["event"] == "mail.logged"]
    assert told["to"] == "ada@example.com"
    assert "$25.00" in told["text"]
    [row] = await post.rows(account)
    assert (row["state"], row["sent_at"]) == ("logged", at)


async def test_two_workers_send_a_letter_once(post, account, mailer):
    await post.write(account)
    holding = await hold_share(post.db, post.owner, NAMES)
    runners = [Runner(sending(post.db, post.clock, post.outlet, sender=SENDER)) for _ in range(2)]
    counts = await asyncio.gather(*(runner.run_once(Round(post.clock.at, holding)) for runner in runners))
    assert sum(counts, start=type(counts[0])()) in ({"sent": 1, "done_already": 1}, {"sent": 1})
    assert len(mailer.taken) == 1


async def test_a_worker_that_lost_its_share_sends_nothing(post, account, mailer):
    await post.write(account)
    holding = await hold_share(post.db, post.owner, NAMES)
    stale = Holding(post.owner, {name: fence - 1 for name, fence in holding.fences.items()})
    runner = Runner(sending(post.db, post.clock, post.outlet, sender=SENDER))
    assert await runner.run_once(Round(post.clock.at, stale)) == {"stale_fence": 1}
    assert mailer.taken == []
    [row] = await post.rows(account)
    assert row["tries"] == 0


async def test_done_mails_are_forgotten_after_ninety_days_and_queued_ones_never(post, account, mailer):
    await post.write(account, key="old")
    assert await post.round() == {"sent": 1}
    await post.write(account, key="stuck")
    post.later(days=90)
    await post.write(account, key="young")
    post.later(seconds=1)
    holding = Holding(post.owner, {})
    for _ in range(2):
        assert await Runner(tidying(post.db)).run_once(Round(post.clock.at, holding)) == {"tidied": 1}
        assert {row["dedupe_key"] for row in await post.rows(account)} == {"stuck", "young"}
