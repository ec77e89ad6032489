"""Who wants which mails. A person's own choice counts, else the account's for everybody, else what comes unasked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sqlalchemy.ext.asyncio import AsyncSession

from app import tenancy
from app.kit.db import driver
from app.kit.ids import AccountId
from app.notifications.letters.kinds import KINDS, KindName

_READ: Final = "SELECT kind, wanted FROM notification_preferences WHERE account_id = $1 AND holder = $2"
_READ_KIND: Final = "SELECT holder, wanted FROM notification_preferences WHERE account_id = $1 AND kind = $2"
_FORGET: Final = "DELETE FROM notification_preferences WHERE account_id = $1 AND holder = $2"
_WRITE: Final = """
INSERT INTO notification_preferences (account_id, holder, kind, wanted)
SELECT $1, $2, p.kind, p.wanted FROM unnest($3::text[], $4::boolean[]) AS p(kind, wanted)
"""


async def chosen_by(session: AsyncSession, *, account_id: AccountId, holder: str) -> dict[str, bool]:
    """Return what a person, or the account by its own id, has chosen; nothing for kinds without a choice."""
    rows = await driver(session).fetch(_READ, account_id, holder)
    return {row["kind"]: row["wanted"] for row in rows}


async def choose(
    session: AsyncSession, *, account_id: AccountId, holder: str, choices: Mapping[KindName, bool]
) -> None:
    """Take these choices in place of those before; kinds without one follow the account again, or come as ever.

    The caller holds the account's row.
    """
    await driver(session).execute(_FORGET, account_id, holder)
    await driver(session).execute(_WRITE, account_id, holder, list(choices), list(choices.values()))


async def who_wants(session: AsyncSession, addresses: list[str], *, account_id: AccountId, kind: KindName) -> list[str]:
    """Return those of some people's addresses who want mails of a kind."""
    choices = {row["holder"]: row["wanted"] for row in await driver(session).fetch(_READ_KIND, account_id, kind)}
    otherwise = choices.pop(account_id, KINDS[kind].unasked)
    differ = [holder for holder, wanted in choices.items() if wanted is not otherwise]
    others = await tenancy.emails_of_people(session, account_id=account_id, user_ids=differ) if differ else []
    return [address for address in addresses if (address in others) is not otherwise]
