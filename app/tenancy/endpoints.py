"""All routes of tenancy: accounts, people, teams, invitations and keys."""

from __future__ import annotations

from typing import Final

from app.tenancy.accounts import endpoints as account_endpoints
from app.tenancy.keys import endpoints as key_endpoints

ROUTERS: Final = (account_endpoints.router, key_endpoints.router)
"""All routers of the room."""
