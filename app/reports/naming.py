"""What groups are called: a team, person or key by its name, a tag's value or a day by itself, and what has none."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from sqlalchemy.ext.asyncio import AsyncSession

from app import tenancy
from app.kit.ids import AccountId
from app.reports.spending import Grouping, Spending

NO_TEAM: Final = "no team"
NONE: Final = {
    Grouping.TEAM: NO_TEAM,
    Grouping.USER: "nobody",
    Grouping.KEY: "no key",
    Grouping.TAG: "untagged",
    Grouping.FAMILY: "no GPU",
    Grouping.PROVIDER: "no provider",
}
"""What is said of spending without one."""

_HAVE_NAMES: Final = (Grouping.TEAM, Grouping.USER, Grouping.KEY)


async def names_in(
    session: AsyncSession, spending: Spending, *, by: Grouping, account_id: AccountId
) -> dict[str | None, str]:
    """Return the name of every group of a report; of what is gone from the account, its id."""
    keys = [group.key for group in spending.groups]
    if by in _HAVE_NAMES:
        return await _named(session, keys, none=NONE[by], account_id=account_id)
    return {key: key or NONE.get(by, "") for key in keys}


async def team_names(
    session: AsyncSession, team_ids: Iterable[str | None], *, account_id: AccountId
) -> dict[str | None, str]:
    """Return what teams are called, and what belongs to none; a team that is gone by its id."""
    return await _named(session, team_ids, none=NO_TEAM, account_id=account_id)


async def _named(
    session: AsyncSession, ids: Iterable[str | None], *, none: str, account_id: AccountId
) -> dict[str | None, str]:
    wanted = [id_ for id_ in ids if id_ is not None]
    known = await tenancy.names_of(session, account_id=account_id, ids=wanted)
    return {None: none} | {id_: known.get(id_, id_) for id_ in wanted}
