"""Whatever is done with a session in whatever order, in two processes: just those secrets open that should."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from app.kit.db import Database
from app.kit.errors import NotFound
from app.kit.ids import AccountId, SessionId, UserId
from app.tenancy import open_account
from app.tenancy.people import Sessions, Tokens
from app.tenancy.people.queries import PUT_PERSON
from app.tenancy.people.sessions import ABSOLUTE, IDLE, PREVIOUS_OPENS, ROTATED_EVERY
from app.web import Site
from app.web.errors import Unauthorized
from tests.state_machines import run_machine

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
pauses = st.integers(1, 120).map(lambda s: timedelta(seconds=s)) | st.sampled_from(
    [timedelta(seconds=29), timedelta(seconds=30), MINUTE, timedelta(minutes=59), timedelta(hours=1), timedelta(hours=11),
     timedelta(hours=12), timedelta(days=3)]
)  # fmt: skip


class SessionMachine(RuleBasedStateMachine):
    loop: asyncio.AbstractEventLoop
    db: Database
    person_id: UserId
    accounts: list[AccountId]

    def __init__(self) -> None:
        super().__init__()
        tokens, site = Tokens(b"pepper"), Site.at("http://test")
        self.now = START
        self.processes = [Sessions(self.db, tokens, site, remembered_seconds=0) for _ in range(2)]
        self.secrets: list[str] = []
        """Every one there was; the last one is the present one."""
        self.created = self.seen = self.rotated = START
        self.ended = False
        self.account: AccountId | None = None

    def do(self, awaitable):
        return self.loop.run_until_complete(awaitable)

    @initialize()
    def sign_in(self):
        begun = self.processes[0].begin(self.person_id, user_agent="", address=None, at=self.now)
        secret, person = self.do(begun)
        self.secrets = [secret]
        self.id, self.account, self.csrf = person.session_id, person.account_id, {person.account_id: person.csrf_token}

    def opens(self, secret: str) -> bool:
        """Whether a secret should open now."""
        if self.ended or self.now >= min(self.created + ABSOLUTE, self.seen + IDLE):
            return False
        before = self.secrets[-2:-1]
        return secret == self.secrets[-1] or ([secret] == before and self.now < self.rotated + PREVIOUS_OPENS)

    def follow(self, secret: str) -> None:
        self.secrets.append(secret)
        self.seen = self.rotated = self.now

    @rule(pause=pauses)
    def wait(self, pause):
        self.now += pause

    @rule(back=st.integers(0, 3), process=st.integers(0, 1))
    def use(self, back, process):
        secret = self.secrets[max(0, len(self.secrets) - 1 - back)]
        keeping = self.processes[process].keep(secret, at=self.now)
        if not self.opens(secret):
            with pytest.raises(Unauthorized):
                self.do(keeping)
            return
        following = self.do(keeping)
        if secret != self.secrets[-1]:
            assert following == self.secrets[-1]
        elif self.now - self.rotated >= ROTATED_EVERY:
            assert following not in self.secrets
            self.follow(following)
        else:
            assert following is None
            self.seen = self.now if self.now - self.seen >= MINUTE else self.seen

    @rule(back=st.integers(0, 2), process=st.integers(0, 1), which=st.integers(0, 2))
    def choose(self, back, process, which):
        secret = self.secrets[max(0, len(self.secrets) - 1 - back)]
        choosing = self.processes[process].choose(secret, self.accounts[which], at=self.now)
        if not self.opens(secret):
            with pytest.raises(Unauthorized):
                self.do(choosing)
            return
        following, person = self.do(choosing)
        assert following not in self.secrets
        self.follow(following)
        self.account = person.account_id
        assert self.account == self.accounts[which]
        assert self.csrf.setdefault(self.account, person.csrf_token) == person.csrf_token

    @rule(process=st.integers(0, 1))
    def choose_a_strangers(self, process):
        if self.opens(self.secrets[-1]):
            with pytest.raises(NotFound):
                self.do(self.processes[process].choose(self.secrets[-1], AccountId.new(), at=self.now))

    @precondition(lambda self: len(self.secrets) > 3)
    @rule(process=st.integers(0, 1))
    def end(self, process):
        ending = self.processes[process].end(SessionId(self.id), self.person_id, at=self.now)
        if self.opens(self.secrets[-1]):
            self.do(ending)
        else:
            with pytest.raises(NotFound):
                self.do(ending)
        self.ended = True

    @invariant()
    def just_those_open_that_should(self):
        for n, secret in enumerate(self.secrets[-4:]):
            asking = self.processes[n % 2].recognise(secret, at=self.now)
            if self.opens(secret):
                assert self.do(asking).account_id == self.account
            else:
                with pytest.raises(Unauthorized):
                    self.do(asking)

    @invariant()
    def every_account_has_a_token_of_its_own(self):
        assert len(set(self.csrf.values())) == len(self.csrf) if self.secrets else True


@pytest.fixture
async def somebody(databases):
    """A person with three accounts."""
    person_id, accounts = UserId.new(), []
    async with databases.worker.begin_unscoped() as session:
        for n in range(3):
            terms = {"name": "Ada", "email": f"{person_id}{n}@example.com", "at": START, "user_id": person_id}
            accounts.append((await open_account(session, **terms)).account_id)
    number = abs(hash(person_id)) % 2**40
    await databases.auth.fetch_once(
        PUT_PERSON, person_id, number, "ada", "Ada", ["ada@example.com"], accounts[0], START
    )
    return {"person_id": person_id, "accounts": accounts}


def as_auth(databases):
    """What the machine connects to, as the role that knows sessions."""
    return SimpleNamespace(urls=SimpleNamespace(worker=databases.urls.auth))


def test_just_those_secrets_open_that_should(databases, somebody):
    machine = type("Somebodys", (SessionMachine,), somebody)
    run_machine(machine, as_auth(databases), max_examples=8, stateful_step_count=25, derandomize=True)


@pytest.mark.soak
@pytest.mark.timeout(0)
def test_just_those_secrets_open_that_should_over_many_steps(databases, somebody):
    machine = type("Somebodys", (SessionMachine,), somebody)
    run_machine(machine, as_auth(databases), max_examples=600, stateful_step_count=60)
