"""Writing a mail into the outbox."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from app.kit.db import driver
from app.kit.ids import AccountId, MailId
from app.kit.leases import bucket_of
from app.mail import queries
from app.mail.wording import TemplateName, check_data

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


async def write(
    session: AsyncSession,
    *,
    account_id: AccountId,
    to: Sequence[str],
    template: TemplateName,
    data: Mapping[str, Any],
    key: str,
    at: datetime,
) -> int:
    """Write a mail to each address, in the transaction of what it tells of; return how many are new.

    ``key`` names the cause, such as ``payment:pay_…:received``: a repeat adds nothing. ``data`` is JSON, amounts in it
    are dollars as text; an address that no mail can be sent to fails later, by itself.

    Raises:
        ValueError: no such template, or the data lack something that it tells.
    """
    check_data(template, data)
    addresses = sorted({_storable(address) for address in to})
    done = await driver(session).execute(
        queries.WRITE,
        account_id,
        bucket_of(account_id),
        template,
        json.dumps(_storable(dict(data))),
        key,
        at,
        [MailId.new() for _ in addresses],
        addresses,
    )
    return int(done.rpartition(" ")[2])


async def count_written(
    session: AsyncSession, *, account_id: AccountId, template: TemplateName, since: datetime
) -> int:
    """Return how many causes were told in an account's mails of a template since a moment. For the worker."""
    count: int = await driver(session).fetchval(queries.COUNT_WRITTEN, account_id, template, since)
    return count


def _storable(value: Any) -> Any:  # noqa: ANN401 - whatever JSON can hold
    """Return a value without the characters that PostgreSQL has no place for: a text must not undo a payment."""
    if isinstance(value, str):
        return _UNSTORABLE.sub("\N{REPLACEMENT CHARACTER}", value)
    if isinstance(value, Mapping):
        return {_storable(name): _storable(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_storable(item) for item in value]
    return value
