"""Opening an account: the tenant and its first owner. The wallet is the ledger's to open."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.kit.ids import AccountId, UserId
from app.tenancy.models import AccountRow, UserRow

Kind = Literal["personal", "organization"]


@dataclass(frozen=True, slots=True)
class Account:
    """A tenant and the person it was opened for."""

    account_id: AccountId
    user_id: UserId
    name: str


async def open_account(
    session: AsyncSession,
    *,
    name: str,
    email: str,
    at: datetime,
    kind: Kind = "personal",
    account_id: AccountId | None = None,
    user_id: UserId | None = None,
    owner_name: str | None = None,
) -> Account:
    """Write a new account with its first person, who owns it: a new one of the account's name, unless it is told.

    As the worker, or as the API in a transaction of that very account.
    """
    account = Account(account_id or AccountId.new(), user_id or UserId.new(), name)
    opened = {"account_id": account.account_id, "name": name, "kind": kind, "status": "active", "created_at": at}
    await session.execute(insert(AccountRow).values(attributes={"opened_as": name}, **opened))
    owner = {"account_id": account.account_id, "id": account.user_id, "email": email, "role": "owner", "joined_at": at}
    await session.execute(insert(UserRow).values(name=owner_name or name, **owner))
    return account
