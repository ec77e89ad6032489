"""Tenancy: accounts, the people in them and what they may do there, teams, and API keys.

Promises: a secret is shown once and stored only as a peppered hash; a revoked key is refused at once in the process
that revoked it and within two seconds in every other; a key never gives away more than it has, and goes no further
than the role of the person who made it; an account never is without an owner.
Tables: accounts, users (memberships), teams, team_members, invitations, invitation_tokens, api_keys, key_hashes. States
of a key: in force → rotated (in force until its overlap ends), expired, revoked. Bootstrap opens accounts and gives
``Authenticator`` to the edge; the edge asks it for every request.
"""

from app.tenancy.authenticating import Authenticator
from app.tenancy.directory import (
    billing_addresses,
    emails_behind,
    emails_of_people,
    emails_of_roles,
    key_limits,
    lead_emails,
    names_of,
)
from app.tenancy.invitations.inviting import Post as InvitationPost
from app.tenancy.invitations.inviting import invite_owner
from app.tenancy.keys import KeyTerms, NewKey, create_key
from app.tenancy.opening import Account, open_account
from app.tenancy.queries import get_account, lock_account
from app.tenancy.roles import ROLES, administers, manages, owns, scopes_of
from app.tenancy.teams import Team, find_team, get_team, list_teams
from app.tenancy.teams.changing import add_team
from app.web.principal import Role

__all__ = [
    "ROLES",
    "Account",
    "Authenticator",
    "InvitationPost",
    "KeyTerms",
    "NewKey",
    "Role",
    "Team",
    "add_team",
    "administers",
    "billing_addresses",
    "create_key",
    "emails_behind",
    "emails_of_people",
    "emails_of_roles",
    "find_team",
    "get_account",
    "get_team",
    "invite_owner",
    "key_limits",
    "lead_emails",
    "list_teams",
    "lock_account",
    "manages",
    "names_of",
    "open_account",
    "owns",
    "scopes_of",
]
