"""What groups are called: a team, person or key by its name, a tag's value or a day by itself, and what has none."""

from __future__ import annotations

from typing import Final

from sqlalchemy.ext.asyncio import AsyncSession

from app import tenancy
from app.kit.ids import AccountId
from app.reports.charging_back import NO_TEAM
from app.reports.spending import Grouping, Spending

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
    keys = [group.key for group in spending.groups if group.key is not None]
    known = await tenancy.names_of(session, account_id=account_id, ids=keys) if by in _HAVE_NAMES else {}
    return {group.key: known.get(group.key, group.key) if group.key else NONE.get(by, "") for group in spending.groups}
