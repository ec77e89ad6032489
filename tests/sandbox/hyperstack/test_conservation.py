"""Whatever machines are told in whatever order, nothing is given back twice and nothing costs twice."""

import asyncio
import random

import pytest

DEEDS = ["start", "stop", "hard-reboot", "hibernate", "hibernate-restore", "delete", "create", "wait"]


@pytest.mark.parametrize("seed", range(3))
async def test_any_deeds_leave_the_stock_as_it_was_and_no_machine_dearer_than_its_life(sandbox, hyperstack, seed):
    chance, before, numbers = random.Random(seed), sandbox.offers(), []
    await hyperstack.ready()
    answers = set()
    for step in range(60):
        deed = chance.choice(DEEDS)
        if deed == "create" or not numbers:
            answer = await hyperstack.create(name=f"own-{step}")  # refused while all there are still end
            numbers += [row["id"] for row in answer.json().get("instances", [])]
        elif deed == "wait":
            await asyncio.sleep(chance.choice([0.01, 0.1, 0.3]))
        elif deed == "delete":
            answers.add((await hyperstack.http.delete(f"/core/virtual-machines/{chance.choice(numbers)}")).status_code)
        else:
            answers.add((await hyperstack.do(chance.choice(numbers), deed)).status_code)
        if len(numbers) > 3:
            await hyperstack.http.delete(f"/core/virtual-machines/{numbers.pop(0)}")
    for number in numbers:
        await hyperstack.http.delete(f"/core/virtual-machines/{number}")
    await hyperstack.until(lambda: asyncio.sleep(0.02, all(row.ended_at for row in sandbox.truth)))
    assert answers <= {200, 400, 404}
    assert sandbox.offers() == before
    for row in sandbox.truth:
        lived = (row.ended_at - row.created_at).total_seconds()
        assert row.cost_micros <= row.price_micros_per_hour * lived / 3600
