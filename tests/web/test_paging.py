from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from app.kit.ids import AccountId
from app.web.errors import InvalidCursor
from app.web.paging import Cursors, Page, list_answer

AT = datetime(2030, 1, 1, tzinfo=UTC)
MINE, THEIRS = AccountId.new(), AccountId.new()
CURSORS = Cursors(b"a key")


class Things(Page):
    colour: str | None = None


class OtherThings(Page):
    colour: str | None = None


def _sealed(position=("2030-01-01", 7), page=None):
    return CURSORS.seal(position, page or Things(), account_id=MINE, at=AT)


def _opened(cursor, *, page=Things, account=MINE, at=AT, **filters):
    return CURSORS.open(page(cursor=cursor, **filters), account_id=account, at=at)


def test_a_cursor_gives_its_position_back():
    assert _opened(_sealed()) == ("2030-01-01", 7)
    assert _opened(_sealed(page=Things(colour="red")), colour="red") == ("2030-01-01", 7)
    assert CURSORS.open(Things(), account_id=MINE, at=AT) is None


def test_the_limit_may_change_between_pages():
    assert _opened(_sealed(page=Things(limit=5)), limit=10)


@pytest.mark.parametrize(
    "open_it",
    [
        lambda c: _opened(c, account=THEIRS),
        lambda c: _opened(c, colour="red"),
        lambda c: _opened(c, page=OtherThings),
        lambda c: _opened(c, at=AT + timedelta(hours=25)),
        lambda c: _opened(c[:-1]),
        lambda c: _opened(c[1:]),
        lambda c: _opened(c + "A"),
        lambda c: _opened(c + "="),
        lambda c: _opened(""),
        lambda c: _opened("é"),
        lambda c: _opened("!!!!"),
        lambda c: Cursors(b"other key").open(Things(cursor=c), account_id=MINE, at=AT),
    ],
)
def test_a_cursor_of_anything_else_is_refused(open_it):
    with pytest.raises(InvalidCursor):
        open_it(_sealed())


@given(st.integers(min_value=0), st.sampled_from("ABCDwxyz0189-_"))
def test_no_character_of_a_cursor_can_be_changed(index, character):
    cursor = _sealed()
    index %= len(cursor)
    changed = cursor[:index] + character + cursor[index + 1 :]
    if changed != cursor:
        with pytest.raises(InvalidCursor):
            _opened(changed)


@pytest.mark.parametrize(
    "query", [{"limit": 0}, {"limit": 201}, {"limit": "10**9"}, {"page": 2}, {"cursor": "x" * 1025}]
)
def test_a_query_out_of_bounds_is_refused(query):
    with pytest.raises(ValidationError):
        Things.model_validate(query)


def test_a_page_says_whether_there_is_more():
    page = Page(limit=2)
    full = list_answer([3, 2, 1], page, render=str, seal=lambda row: f"after {row}")
    assert (full.data, full.has_more, full.next_cursor) == (["3", "2"], True, "after 2")
    last = list_answer([1], page, render=str, seal=lambda row: f"after {row}")
    assert (last.data, last.has_more, last.next_cursor) == (["1"], False, None)
