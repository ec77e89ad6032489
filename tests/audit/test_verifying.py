"""What was changed, taken out, put in or moved behind our back is found, and where it begins."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app import audit
from app.audit.verifying import beginning

from .conftest import grow

OWN = "account_id = $1"
COPY = (
    "INSERT INTO audit_entries SELECT account_id, {seq}, id || 'x', at, actor, user_id, action, target, team_id, request_id, "
    "address, details, hash FROM audit_entries WHERE account_id = $1 AND seq = {of}"
)
SWAP = (
    f"UPDATE audit_entries SET seq = -4 WHERE {OWN} AND seq = 4",
    f"UPDATE audit_entries SET seq = 4 WHERE {OWN} AND seq = 5",
    f"UPDATE audit_entries SET seq = 5 WHERE {OWN} AND seq = -4",
)
MAKE_ROOM = f"UPDATE audit_entries SET seq = -seq - 1 WHERE {OWN} AND seq > 6"
TAKE_ROOM = f"UPDATE audit_entries SET seq = -seq WHERE {OWN} AND seq < 0"


def changed(column: str, value: str, *, seq: int = 7) -> str:
    return f"UPDATE audit_entries SET {column} = {value} WHERE {OWN} AND seq = {seq}"


async def test_a_chain_that_nobody_touched_is_whole(chain, verified, rows) -> None:
    found = await verified(chain)
    assert (found.ok, found.is_whole, found.reached.seq) == (True, True, 10)
    assert found.reached.hash == (await rows(chain))[-1]["hash"]


async def test_an_account_without_entries_is_whole(account, verified) -> None:
    assert await verified(account) == audit.Verified(beginning(account), is_whole=True)


@pytest.mark.parametrize(
    "statement",
    [
        changed("id", "'aud_another'"),
        changed("at", "at + interval '1 microsecond'"),
        changed("actor", "'another'"),
        changed("user_id", "'usr_another'"),
        changed("action", "'thing.left_alone'"),
        changed("target", "'another'"),
        changed("team_id", "'team_another'"),
        changed("request_id", "'req_another'"),
        changed("address", "'192.0.2.9'"),
        changed("details", "details || '{\"n\": 8}'"),
        changed("details", "details - 'n'"),
        changed("details", "jsonb_set(details, '{deep,b,2}', 'false')"),
        changed("hash", "sha256('x')"),
    ],
)
async def test_a_changed_column_is_found(chain, verified, tamper, statement) -> None:
    await tamper(statement, account=chain)
    found = await verified(chain)
    assert (found.ok, found.first_bad_seq, found.trouble, found.reached.seq) == (False, 7, "changed", 6)


@pytest.mark.parametrize(
    ("statements", "first_bad", "trouble"),
    [
        ((f"DELETE FROM audit_entries WHERE {OWN} AND seq = 1",), 1, "missing"),
        ((f"DELETE FROM audit_entries WHERE {OWN} AND seq = 5",), 5, "missing"),
        ((f"DELETE FROM audit_entries WHERE {OWN} AND seq = 10",), 10, "missing"),
        ((f"DELETE FROM audit_entries WHERE {OWN} AND seq > 3",), 4, "missing"),
        ((f"DELETE FROM audit_entries WHERE {OWN}",), 1, "missing"),
        ((f"DELETE FROM audit_entries WHERE {OWN} AND seq = 5",
          f"UPDATE audit_entries SET seq = -seq + 1 WHERE {OWN} AND seq > 5", TAKE_ROOM), 5, "changed"),
        ((COPY.format(seq=11, of=10),), 11, "beyond_the_end"),
        ((COPY.format(seq=0, of=1),), 0, "beyond_the_end"),
        ((COPY.format(seq=-3, of=1),), -3, "beyond_the_end"),
        ((MAKE_ROOM, TAKE_ROOM, COPY.format(seq=7, of=6)), 7, "changed"),
        (SWAP, 4, "changed"),
        ((f"UPDATE audit_heads SET seq = 11 WHERE {OWN}",), 11, "missing"),
        ((f"UPDATE audit_heads SET seq = 9 WHERE {OWN}",), 9, "not_as_kept"),
        ((f"UPDATE audit_heads SET hash = sha256('x') WHERE {OWN}",), 10, "not_as_kept"),
        ((f"DELETE FROM audit_heads WHERE {OWN}",), 1, "beyond_the_end"),
        # Cut and sewn up: the chain itself is whole, but it is a shorter one than the head knows.
        ((f"DELETE FROM audit_entries WHERE {OWN} AND seq > 8",
          f"UPDATE audit_heads SET seq = 8 WHERE {OWN}"), 8, "not_as_kept"),
    ],
)  # fmt: skip
async def test_rows_taken_out_put_in_or_moved_are_found(
    chain, verified, tamper, statements, first_bad, trouble
) -> None:
    await tamper(*statements, account=chain)
    found = await verified(chain)
    assert (found.ok, found.first_bad_seq, found.trouble) == (False, first_bad, trouble)


async def test_a_history_that_is_cut_head_and_all_is_found_by_a_hash_that_was_kept(
    chain, verified, tamper, rows
) -> None:
    kept = (await verified(chain)).reached
    entries = await rows(chain)
    await tamper(
        f"DELETE FROM audit_entries WHERE {OWN} AND seq > 8",
        f"UPDATE audit_heads SET seq = 8, hash = '\\x{entries[7]['hash'].hex()}' WHERE {OWN}",
        account=chain,
    )
    assert (await verified(chain)).ok, "by itself it is a chain"
    found = await verified(chain, after=kept)
    assert (found.ok, found.first_bad_seq, found.trouble) == (False, 9, "missing")


async def test_a_history_that_is_told_anew_does_not_lead_through_a_hash_that_was_kept(
    worker_db, chain, verified, tamper, at
) -> None:
    kept = (await verified(chain)).reached
    await tamper(f"DELETE FROM audit_entries WHERE {OWN}", f"DELETE FROM audit_heads WHERE {OWN}", account=chain)
    await grow(worker_db, chain, 12, at=at)
    assert (await verified(chain)).ok, "by itself it is a chain"
    found = await verified(chain, after=kept)
    assert (found.ok, found.first_bad_seq, found.trouble) == (False, 11, "changed")


async def test_a_long_chain_is_verified_in_parts(worker_db, account, verified, at) -> None:
    await grow(worker_db, account, 600, at=at)
    first = await verified(account, rows_max=251)
    assert (first.ok, first.is_whole, first.reached.seq) == (True, False, 251)
    rest = await verified(account, after=first.reached)
    assert (rest.ok, rest.is_whole, rest.reached.seq) == (True, True, 600)


async def test_a_chain_that_grows_meanwhile_is_whole(worker_db, chain, verified, at) -> None:
    async def writing() -> None:
        for number in range(20):
            await grow(worker_db, chain, 1, at=at, first=11 + number)

    async def reading() -> None:
        for _ in range(20):
            assert (await verified(chain)).ok

    await asyncio.gather(writing(), reading())
    assert (await verified(chain)).reached.seq == 30


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(max_size=20) | st.decimals(allow_nan=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True)
@given(
    details=st.dictionaries(st.text(max_size=8), JSON, max_size=4),
    actor=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=10),
)
async def test_whatever_was_told_gives_its_hash_again(worker_db, chain, verified, at, details, actor) -> None:
    async with worker_db.begin_unscoped() as session:
        told = audit.Entry(chain, "thing.changed", "thing", at, actor=actor, details=details)
        await audit.write(session, told)
    found = await verified(chain)
    assert (found.ok, found.is_whole) == (True, True), found
