"""Wire shapes: for which team something is rented."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from app.web.schemas import Text, Wire

TeamName = Annotated[Text, Field(min_length=1, max_length=64, examples=["team_01J00000000000000000000000"])]


class TeamWish(Wire):
    """On whose budget it goes."""

    team_id: TeamName | None = None
    """The team it is for: its policy applies, beside the account's, the person's and the key's. A key that belongs to a
    team, or the member of one team, need not say it."""
