"""A person who owns an account, signed in."""

from __future__ import annotations

import secrets

from app.kit.db import driver
from app.kit.ids import UserId
from app.tenancy.people.queries import PUT_PERSON

JOIN = "INSERT INTO users (account_id, id, email, name, role, joined_at) VALUES ($1, $2, $3, 'Ada', 'owner', $4)"
PARTING = (
    "get_session",
    "sign_out",
    "end_session",
    "end_other_sessions",
    "choose_account",
    "leave_account",
    "leave_team",
)
"""Somebody else asks this each time, since it may end the session or the membership; and whoever comes first after it."""


async def owner_of(world, tenant):
    """Let a new person own a tenant's account, and return the headers of a browser on our own pages."""
    person_id, at, sessions = UserId.new(), world.clock.now(), world.state.sessions
    email = f"{person_id.lower()}@example.com"
    known = (person_id, secrets.randbits(48), "ada", "Ada", [email], tenant.account_id, at)
    await world.databases.auth.fetch_once(PUT_PERSON, *known)
    async with world.databases.api.begin(tenant.account_id) as session:
        await driver(session).execute(JOIN, tenant.account_id, person_id, email, at)
    secret, person = await sessions.begin(person_id, user_agent="", address=None, at=at)
    cookie = f"{sessions.site.cookie_name('hourglass')}={secret}"
    given = {"cookie": cookie, "x-csrf-token": person.csrf_token, "origin": sessions.site.origin}
    return [(name.encode(), value.encode()) for name, value in given.items()]


async def sender(world, tenant):
    """Return how to send by a tenant's key, or as a person who owns its account where only a person may ask."""
    person = await owner_of(world, tenant)

    async def sending(operation, target, body, headers):
        nonlocal person
        if not operation.by_person:
            return await tenant.caller.send(operation.method, target, body, headers)
        if operation.id in PARTING:
            person = await owner_of(world, tenant)
        return await world.stranger.send(operation.method, target, body, [*headers, *person])

    return sending
