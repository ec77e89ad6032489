"""Roles: what a person may do in an account, what a key may do of it, and what either sees.

    owner    everything; alone makes and unmakes owners
    admin    everything else
    billing  the money and the books, and reads what it was spent on
    member   rents, makes keys, works in its teams
    viewer   reads

A member sees the teams it belongs to and what it made itself; everybody else sees the whole account. Who leads a team
manages its members. A key never goes further than the person who made it still goes, and one that belongs to a team
sees that team only.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from app.kit.ids import TeamId
from app.web import SCOPES, Principal
from app.web.principal import Role

ROLES: Final[tuple[Role, ...]] = ("owner", "admin", "billing", "member", "viewer")

_READING: Final = frozenset({"rentals:read", "catalog:read", "teams:read"})
_SCOPES: Final[Mapping[Role, frozenset[str]]] = {
    "owner": SCOPES,
    "admin": SCOPES,
    "billing": _READING | {"billing:read", "billing:write", "audit:read"},
    "member": _READING | {"rentals:write", "keys:write", "inference:use"},
    "viewer": _READING | {"billing:read"},
}


def scopes_of(role: Role, *, leads: Collection[TeamId] = ()) -> frozenset[str]:
    """Return the scopes of a person with a role; who leads a team may also write to teams (to those that it leads)."""
    return _SCOPES[role] | {"teams:write"} if leads else _SCOPES[role]


def narrowed(scopes: Collection[str], role: Role | None, *, leads: Collection[TeamId] = ()) -> frozenset[str]:
    """Return what a key's scopes come to while its maker has a role; with None, made by nobody known, all of them."""
    wanted = frozenset(scopes)
    if role is None:
        return wanted
    allowed = scopes_of(role, leads=leads)
    return wanted if "admin" in allowed else allowed if "admin" in wanted else wanted & allowed


def reach_of(
    role: Role | None, *, teams: Collection[TeamId], key_team: TeamId | None = None
) -> frozenset[TeamId] | None:
    """Return the teams whose things a caller sees beside its own; None: everything of the account.

    ``teams`` are those that the person belongs to, ``key_team`` the one that its key belongs to.
    """
    if role == "member":
        own = frozenset(teams)
        return own if key_team is None else own & {key_team}
    return None if key_team is None else frozenset({key_team})


def administers(caller: Principal) -> bool:
    """Say whether a caller acts on the whole account, as far as its scopes go: an owner's, an admin's or nobody's key."""
    return caller.reach is None and caller.role in {None, "owner", "admin"}


def owns(caller: Principal) -> bool:
    """Say whether a caller may make and unmake owners: an owner, or a key that the operator made, with ``admin``."""
    return administers(caller) and caller.role in {None, "owner"} and caller.may("admin")


def manages(caller: Principal, team_id: TeamId) -> bool:
    """Say whether a caller may change a team's members: who administers the account or the team, or leads it."""
    if administers(caller) or team_id in caller.leads:
        return True
    return caller.role in {None, "owner", "admin"} and caller.reach is not None and team_id in caller.reach
