"""Opening an account: the tenant and its first user. The wallet is the ledger's to open."""

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
    """A tenant and the user it was opened for."""

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
) -> Account:
    """Write a new account with its first user; for the worker role."""
    account = Account(account_id or AccountId.new(), UserId.new(), name)
    await session.execute(
        insert(AccountRow).values(
            account_id=account.account_id, name=name, kind=kind, status="active", attributes={}, created_at=at
        )
    )
    await session.execute(
        insert(UserRow).values(account_id=account.account_id, id=account.user_id, email=email, name=name, created_at=at)
    )
    return account
