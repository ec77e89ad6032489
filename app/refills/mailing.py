"""Mails about top-ups, to those who are told of an account's money."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from app import mail, tenancy
from app.kit.ids import AccountId


async def write_mail(
    session: AsyncSession,
    template: mail.TemplateName,
    data: Mapping[str, Any],
    *,
    account_id: AccountId,
    cause: str,
    at: datetime,
) -> None:
    """Write a mail in the transaction of what it tells of; once per cause and template."""
    to = await tenancy.billing_addresses(session, account_id=account_id)
    key = f"{cause}:{template}"
    await mail.write(session, account_id=account_id, to=to, template=template, data=data, key=key, at=at)
