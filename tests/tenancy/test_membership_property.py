"""Whatever people do to one another in whatever order, at once or in turn, the account keeps an owner."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from app.kit.errors import NotFound
from app.kit.ids import AccountId, UserId
from app.tenancy import ROLES, open_account, scopes_of
from app.tenancy.errors import LastOwner
from app.tenancy.invariants import broken_for
from app.tenancy.members.changing import change_role, hold_member, remove, require_role_change, role_of
from app.web import Principal
from app.web.errors import Forbidden

PEOPLE = 4
acts = st.lists(
    st.tuples(
        st.integers(0, PEOPLE - 1),  # who acts
        st.integers(0, PEOPLE - 1),  # on whom
        st.sampled_from([*ROLES, None]),  # what that one becomes; None is removed
        st.booleans(),  # at once with the next
    ),
    max_size=14,
)


class Stage:
    """An account of four people, the first of whom owns it."""

    def __init__(self, db, at):
        self.db, self.at, self.account_id = db, at, AccountId.new()
        self.people = [UserId.new() for _ in range(PEOPLE)]

    async def open(self, worker_db, roles):
        add = "INSERT INTO users (account_id, id, email, name, role, joined_at) VALUES (:a, :u, 'x', 'x', :r, :at)"
        async with worker_db.begin_unscoped() as session:
            known = {"account_id": self.account_id, "user_id": self.people[0]}
            await open_account(session, name="Lab", email="0@example.com", at=self.at, **known)
            for user_id, role in zip(self.people[1:], roles, strict=True):
                values = {"a": self.account_id, "u": user_id, "r": role, "at": self.at}
                await session.execute(text(add), values)

    async def play(self, deeds):
        """Let people act on one another, and return how many acts were done."""
        done, waiting = 0, []
        for who, whom, becomes, at_once in deeds:
            waiting.append(self.act(self.people[who], self.people[whom], becomes))
            if not at_once:
                done += sum(await asyncio.gather(*waiting))
                waiting = []
        return done + sum(await asyncio.gather(*waiting))

    async def act(self, who, whom, becomes):
        try:
            async with self.db.begin(self.account_id) as session:
                caller = await self.caller(session, who)
                row = await hold_member(session, whom, account_id=self.account_id)
                if who != whom or becomes is not None:  # anybody may leave
                    require_role_change(caller, was=role_of(row), becomes=becomes)
                if becomes is None:
                    await remove(session, row, at=self.at)
                else:
                    await change_role(session, row, becomes, at=self.at)
        except (Forbidden, LastOwner, NotFound):
            return 0
        return 1

    async def caller(self, session, who):
        """Return somebody as it is now; by the time it acts it may be something else."""
        query = text("SELECT role FROM users WHERE account_id = :a AND id = :u AND removed_at IS NULL")
        role = await session.scalar(query, {"a": self.account_id, "u": who})
        if role is None:
            raise Forbidden
        return Principal(self.account_id, None, who, scopes_of(role), live=True, name="x", role=role)


@pytest.fixture
def play(worker_db, api_db, at):
    async def playing(roles, deeds):
        stage = Stage(api_db, at)
        await stage.open(worker_db, roles)
        done = await stage.play(deeds)
        async with worker_db.begin_unscoped() as session:
            assert await broken_for(session, [stage.account_id]) == []
        return done

    return playing


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(roles=st.tuples(*[st.sampled_from(ROLES)] * (PEOPLE - 1)), deeds=acts)
async def test_an_account_never_is_without_an_owner(play, roles, deeds):
    await play(roles, deeds)


async def test_owners_who_all_leave_at_once_leave_one_behind(play):
    everybody = [(person, person, None, True) for person in range(PEOPLE)]
    assert await play(("owner",) * (PEOPLE - 1), everybody) == PEOPLE - 1
    around = [(person, (person + 1) % PEOPLE, "viewer", True) for person in range(PEOPLE)]
    assert 0 < await play(("owner",) * (PEOPLE - 1), around) < PEOPLE
