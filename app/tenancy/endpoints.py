"""All routes of tenancy: accounts, people, teams, invitations and keys."""

from __future__ import annotations

from typing import Final

from app.tenancy.accounts import endpoints as account_endpoints
from app.tenancy.accounts import opening_endpoints
from app.tenancy.invitations import accept_endpoints
from app.tenancy.invitations import endpoints as invitation_endpoints
from app.tenancy.keys import endpoints as key_endpoints
from app.tenancy.members import endpoints as member_endpoints
from app.tenancy.members import leaving_endpoints
from app.tenancy.teams import endpoints as team_endpoints
from app.tenancy.teams import member_endpoints as team_member_endpoints

ROUTERS: Final = (
    account_endpoints.router,
    opening_endpoints.router,
    leaving_endpoints.router,
    member_endpoints.router,
    accept_endpoints.router,
    invitation_endpoints.router,
    key_endpoints.router,
    team_endpoints.router,
    team_member_endpoints.router,
    team_member_endpoints.leaving_router,
)
"""All routers of the room."""
