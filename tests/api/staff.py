"""An account with two teams, somebody of each role who belongs to one of them, and something of everything in both."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from sqlalchemy import text

from app.kit.ids import UserId
from app.tenancy.people.queries import PUT_PERSON
from app.web.principal import Role

from .calling import Answer, Caller

ROLES: dict[str, tuple[Role, str | None]] = {
    "owner": ("owner", None),
    "admin": ("admin", None),
    "billing": ("billing", None),
    "lead": ("member", "lead"),
    "member": ("member", "member"),
    "viewer": ("viewer", "member"),
}
"""What somebody is in the account, and in the team that is theirs."""
JOIN = text(
    "INSERT INTO users (account_id, id, email, name, role, joined_at) VALUES (:account_id, :id, :email, :name, :role, :at)"
)


@dataclass(frozen=True)
class Visitor:
    """A person who is signed in, in a browser on our own pages."""

    id: UserId
    email: str
    caller: Caller
    headers: dict[str, str]

    async def ask(self, method: str, target: str, body: Any = None) -> Answer:
        return await self.caller.ask(method, target, body, **self.headers)


@dataclass
class Staff:
    """An account's caller and what the account has: of the caller's team, and of another."""

    who: Visitor
    own: dict[str, str] = field(default_factory=dict)
    foreign: dict[str, str] = field(default_factory=dict)
    """An id per collection; most are the same for both."""
    bodies: dict[str, Any] = field(default_factory=dict)
    """By operation, where an example can't know the ids."""


async def join(world: Any, account_id: str, role: Role) -> Visitor:
    """Let a new person into an account, and sign it in."""
    user_id, at, site = UserId.new(), world.clock.now(), world.state.sessions.site
    email, name = f"{user_id.lower()}@example.com", f"{role} {secrets.token_hex(3)}"
    async with world.databases.worker.begin_unscoped() as session:
        values = {"account_id": account_id, "id": user_id, "email": email, "name": name, "role": role, "at": at}
        await session.execute(JOIN, values)
    known = (user_id, secrets.randbits(48), name.replace(" ", "-"), name, [email], account_id, at)
    await world.databases.auth.fetch_once(PUT_PERSON, *known)
    secret, person = await world.state.sessions.begin(user_id, user_agent="test", address=None, at=at)
    headers = {
        "cookie": f"{site.cookie_name('hourglass')}={secret}",
        "x_csrf_token": person.csrf_token,
        "origin": site.origin,
    }
    return Visitor(user_id, email, Caller(world.app), headers)


async def sign_in(world: Any, who: Visitor) -> str:
    """Sign somebody in in one more browser; return that session's id."""
    _, person = await world.state.sessions.begin(who.id, user_agent="test", address=None, at=world.clock.now())
    return str(person.session_id)


async def team(tenant: Any, *people: tuple[Visitor, str]) -> str:
    """Make a team of some people, and return its id."""
    made = await tenant.caller.made("/v1/teams", {"name": f"team {uuid4().hex[:8]}"})
    for person, role in people:
        answer = await tenant.caller.ask("PUT", f"/v1/teams/{made['id']}/members/{person.id}", {"role": role})
        assert answer.status in (200, 201), answer.text
    policy = {"gpu_whitelist": None, "daily_budget": "100.00", "max_instances": 10}
    answer = await tenant.caller.ask("PUT", f"/v1/teams/{made['id']}/policy", policy)
    assert answer.status == 200, answer.text
    return str(made["id"])


async def staff(world: Any, name: str) -> Staff:
    """Open an account with two teams and something of everything, and let somebody of a role into one of them."""
    tenant = await world.furnish(await world.open(micros=200_000_000))
    role, team_role = ROLES[name]
    who = await join(world, tenant.account_id, role)
    colleague, stranger = [await join(world, tenant.account_id, "member") for _ in range(2)]
    listing = (await tenant.caller.ask("GET", "/v1/listings?family=rtx-4090&limit=1")).json()["data"][0]
    common = {collection: ids[0] for collection, ids in tenant.has.items()}
    common |= {"sessions": await sign_in(world, who), "listings": listing["id"], "families": "rtx-4090"}
    bodies = {
        "choose_account": {"account_id": tenant.account_id},
        "create_refund": {"payment_id": common["payments"], "amount": "1.00"},
        "create_rental": {"family": "rtx-4090"},
        "transfer_account": {"user_id": colleague.id},
    }
    made = Staff(who, dict(common), dict(common), bodies)
    mine = await team(tenant, (who, team_role or "member"), (colleague, "member"))
    theirs = await team(tenant, (stranger, "member"))
    for has, team_id, person in ((made.own, mine, colleague), (made.foreign, theirs, stranger)):
        has.update(await belongings(world, tenant, team_id, person))
    return made


async def belongings(world: Any, tenant: Any, team_id: str, person: Visitor) -> dict[str, str]:
    """Give a team something of everything that teams have; return the ids by collection."""
    rental = await tenant.caller.made("/v1/rentals", {"family": "rtx-4090", "team_id": team_id})
    await world.start(tenant, rental["id"])
    terms = {"name": "team's", "scopes": ["rentals:read"], "team_id": team_id}
    key = await tenant.caller.made("/v1/api-keys", terms)
    wish = {"changes": {"max_instances": 12}, "reason": "a deadline"}
    asked = await person.ask("POST", f"/v1/teams/{team_id}/policy/requests", wish)
    assert asked.status == 201, asked.text
    return {
        "teams": team_id,
        "rentals": rental["id"],
        "api-keys": key["id"],
        "members": person.id,
        "requests": asked.json()["id"],
    }
