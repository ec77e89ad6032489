"""Lists: limits, filters and signed cursors.

A cursor carries the position after which the next page starts and when it lapses. Its signature also covers what is
not in it: the account, the list and its filters. So a cursor that was cut, edited, or given to another tenant or for
another filter is refused.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from app.kit.ids import AccountId
from app.web.errors import InvalidCursor
from app.web.schemas import Wire

LIMIT_DEFAULT, LIMIT_MAX = 50, 200
Position = tuple[str | int, ...]
Row = TypeVar("Row")
Item = TypeVar("Item")
_LIFETIME = timedelta(hours=24)
_MAC_BYTES = 16


class Page(BaseModel):
    """The query of a list. A list's own filters are fields of a subclass, and so belong to its cursors."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    limit: Annotated[int, Field(ge=1, le=LIMIT_MAX, description="How many items at most.")] = LIMIT_DEFAULT
    cursor: Annotated[
        str | None, Field(max_length=1024, description="`next_cursor` of the page before, with the same filters.")
    ] = None

    def filters(self) -> str:
        """Return the list and its filters as one canonical text."""
        values = self.model_dump(mode="json", exclude={"limit", "cursor"})
        return f"{type(self).__qualname__}{json.dumps(values, sort_keys=True)}"


class ListAnswer(Wire, Generic[Item]):
    """One page of a list, newest first."""

    object: Literal["list"] = "list"
    data: list[Item]
    has_more: bool
    next_cursor: str | None = None


class Cursors:
    """Seals positions into cursors and opens them again."""

    def __init__(self, key: bytes) -> None:
        self._key = hashlib.sha256(b"cursor " + key).digest()

    def seal(self, position: Position, page: Page, *, account_id: AccountId, at: datetime) -> str:
        """Return the cursor of the page that follows a position."""
        ends = int((at + _LIFETIME).timestamp())
        body = json.dumps([ends, *position], separators=(",", ":")).encode()
        return _text(self._mac(body, page, account_id) + body)

    def open(self, page: Page, *, account_id: AccountId, at: datetime) -> Position | None:
        """Return the position after which a page starts, or None for the first page.

        Raises:
            InvalidCursor: not ours, lapsed, another account's or another list's or filter's.
        """
        if page.cursor is None:
            return None
        body = self._verified(page.cursor, page, account_id)
        ends, *position = json.loads(body)
        if at.timestamp() > ends:
            raise InvalidCursor("The cursor is older than 24 hours.")
        return tuple(position)

    def _verified(self, cursor: str, page: Page, account_id: AccountId) -> bytes:
        try:
            sealed = base64.b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        except ValueError:
            raise InvalidCursor from None
        mac, body = sealed[:_MAC_BYTES], sealed[_MAC_BYTES:]
        if _text(sealed) != cursor or not hmac.compare_digest(mac, self._mac(body, page, account_id)):
            raise InvalidCursor
        return body

    def _mac(self, body: bytes, page: Page, account_id: AccountId) -> bytes:
        signed = b"\0".join((account_id.encode(), page.filters().encode(), body))
        return hmac.digest(self._key, signed, "sha256")[:_MAC_BYTES]


def moment_in(position: Position | None) -> tuple[datetime, str] | None:
    """Return what a page of a list by time starts after: a moment and an id, sealed as ISO text and the id."""
    return None if position is None else (datetime.fromisoformat(str(position[0])), str(position[1]))


def list_answer(
    rows: Sequence[Row],
    page: Page,
    *,
    render: Callable[[Row], Item],
    seal: Callable[[Row], str],
) -> ListAnswer[Item]:
    """Return the page for rows of which one more than ``page.limit`` was asked for.

    ``seal`` turns the last row shown into the next page's cursor: ``lambda row: work.cursor((row.id,), page)``.
    """
    shown = rows[: page.limit]
    more = len(rows) > page.limit
    return ListAnswer(
        data=[render(row) for row in shown],
        has_more=more,
        next_cursor=seal(shown[-1]) if more else None,
    )


def _text(sealed: bytes) -> str:
    return base64.urlsafe_b64encode(sealed).decode().rstrip("=")
