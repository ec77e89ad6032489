"""The live figure that one statement computes is the meter's."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app import wallet
from app.kit.ids import RentalId

steps = st.lists(
    st.tuples(
        st.sampled_from(["settle", "pause", "start", "credit"]),
        st.integers(1, 9_000_000).map(lambda ms: timedelta(milliseconds=ms)),
    ),
    max_size=4,
)


def test_the_live_figure_is_the_meters_at_every_moment(databases, at):
    """A scene of its own per example, each rolled back: nothing is left behind."""
    import asyncio

    from app.kit.db import Database
    from app.kit.ids import AccountId

    loop = asyncio.new_event_loop()
    db = Database.connect(databases.urls.worker, role="reading", pool_size=1)

    class Rolled(Exception):
        """Ends an example."""

    async def scene(rate, micros, limit, moves, later):
        account, now = AccountId.new(), at
        rental = RentalId.new()
        async with db.begin_unscoped() as session:
            await wallet.open_wallet(session, account_id=account, at=now)
            terms = {"reason": "why", "actor": "test"}
            await wallet.credit_adjustment(session, account_id=account, amount=micros, reference="0", at=now, **terms)
            try:
                await wallet.hold(
                    session, account_id=account, rental_id=rental, rate=rate, at=now, actor="test", max_spend=limit
                )
            except wallet.InsufficientBalance:
                raise Rolled from None
            await wallet.start(session, account_id=account, rental_id=rental, at=now)
            for n, (move, by) in enumerate(moves, start=1):
                now += by
                if move == "settle":
                    await wallet.settle(session, [wallet.Due(account, rental, 0)], at=now)
                elif move == "credit":
                    await wallet.credit_adjustment(
                        session, account_id=account, amount=micros, reference=str(n), at=now, **terms
                    )
                else:
                    act = wallet.pause if move == "pause" else wallet.start
                    await act(session, account_id=account, rental_id=rental, at=now)
            for moment in (now, now + later, now - later):
                balance = await wallet.get_balance(session, account_id=account, at=moment)
                view = (await wallet.find_holds(session, account_id=account, rental_ids=[rental]))[rental]
                assert balance.accrued == (view.meter.accrued(moment) if view.state == "running" else 0)
                assert 0 <= balance.accrued <= balance.reserved
                assert balance.total == balance.available + balance.reserved
            raise Rolled

    async def rolled_back(*args):
        try:
            await scene(*args)
        except Rolled:
            return

    @settings(deadline=None, max_examples=60, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(
        rate=st.integers(1, 12_000_000),
        micros=st.integers(1, 30_000_000),
        limit=st.none() | st.integers(1, 10_000_000),
        moves=steps,
        later=st.integers(0, 9_000_000_000).map(lambda us: timedelta(microseconds=us)),
    )
    def every(rate, micros, limit, moves, later):
        loop.run_until_complete(rolled_back(rate, micros, limit, moves, later))

    try:
        every()
    finally:
        loop.run_until_complete(db.aclose())
        loop.close()


async def test_the_five_figures_of_a_running_rental(new_account, run_rental, look, at):
    account = await new_account(micros=10_000_000)
    await run_rental(account, rate=3_600_000)
    balance = await look(account, at=at + timedelta(seconds=90))
    assert (balance.available, balance.reserved, balance.total) == (6_400_000, 3_600_000, 10_000_000)
    assert (balance.accrued, balance.burn_per_hour, balance.running) == (90_000, 3_600_000, 1)
    assert balance.runway_seconds == 9_910


async def test_nothing_ticks_while_nothing_is_settled(new_account, run_rental, look, at):
    account = await new_account(micros=10_000_000)
    await run_rental(account)
    figures = [await look(account, at=at + timedelta(seconds=n)) for n in (0, 1, 500)]
    assert len({(f.available, f.reserved, f.seq) for f in figures}) == 1
    assert [f.accrued for f in figures] == [0, 777, 388_888]


async def test_a_wallet_in_which_nothing_runs_has_no_end_in_sight(new_account, look, at):
    account = await new_account(micros=10_000_000)
    assert (await look(account, at=at)).runway_seconds is None
