"""How busy a rental's GPUs are is asked with the very command that asks whether they are there."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import date

import pytest

from app.machines.shell import Answer, Shell, Unreachable
from app.machines.utilisation import LOOK
from app.rentals.reconcilers import watching
from tests.costs.rows import rows


class Told(Shell):
    """Answers each command from a script, and notes what was asked."""

    def __init__(self, said: list[str], answers: list[Answer]) -> None:
        self.host_key = None
        self._said, self._answers = said, answers

    async def run(self, command, **_):
        self._said.append(command)
        return self._answers.pop(0)


def busy(*percents):
    return Answer(0, "".join(f"{gpu}, {percent}\n" for gpu, percent in enumerate(percents)).encode(), b"")


@pytest.fixture
async def watched(stage, rich):
    """A rental that runs, a list for what its machine shall answer, and one of what it was asked."""
    rental_id = (await stage.request(await rich())).rental_id
    await stage.until_status(rental_id, "running")
    said, answers = [], []

    @asynccontextmanager
    async def open_shell(*_, **__):
        if not answers:
            raise Unreachable("nobody is there")
        yield Told(said, answers)

    stage.tools = replace(stage.tools, open_shell=open_shell)
    stage.runners.clear()
    return rental_id, answers, said


async def look(stage, watched, *percents, after):
    stage.clock.advance(after)
    watched[1].append(busy(*percents))
    assert (await stage.run(watching))["well"]


async def use_of(stage, rental_id):
    return await rows(stage, "SELECT * FROM gpu_use WHERE rental_id = :id ORDER BY day, gpu", id=rental_id)


async def test_each_sample_stands_for_the_time_since_the_one_before(stage, watched):
    began = (await stage.rental(watched[0])).run_since
    await look(stage, watched, 90, 0, after=300)
    first = int((stage.clock.now() - began).total_seconds())
    await look(stage, watched, 5, 6, after=310)
    use = await use_of(stage, watched[0])
    assert [(row["gpu"], row["samples"], row["seconds"], row["idle_seconds"]) for row in use] == [
        (0, 2, first + 310, 310),
        (1, 2, first + 310, first),
    ]
    assert [row["percent_seconds"] for row in use] == [90 * first + 5 * 310, 6 * 310]
    assert [row["last_percent"] for row in use] == [5, 6]
    assert watched[2] == [LOOK, LOOK]


async def test_a_gap_longer_than_ten_minutes_stays_unknown_and_midnight_divides(stage, watched):
    await look(stage, watched, 0, after=300)
    until_midnight = 86_400 - (stage.clock.now().hour * 3600 + stage.clock.now().minute * 60 + stage.clock.now().second)
    await look(stage, watched, 0, after=until_midnight + 100)
    use = await use_of(stage, watched[0])
    assert [(row["day"], row["seconds"]) for row in use][1:] == [(date(2026, 3, 2), 100)]
    assert use[0]["seconds"] - 500 == pytest.approx(300, abs=30)


async def test_a_machine_that_tells_no_utilisation_is_there_all_the_same_and_a_failing_one_is_not(stage, watched):
    stage.clock.advance(300)
    watched[1].append(Answer(0, b"GPU 0: NVIDIA GeForce RTX 4090 (UUID: GPU-1)\n", b""))
    assert (await stage.run(watching))["well"]
    assert (await stage.rental(watched[0])).heartbeat_at == stage.clock.now()
    stage.clock.advance(300)
    watched[1].append(Answer(9, b"0, 0\n", b""))
    assert (await stage.run(watching))["lost"]
    assert await use_of(stage, watched[0]) == []


@pytest.mark.usefixtures("real_machines")
async def test_the_sandboxs_machines_tell_how_busy_they_are(stage, rich):
    rental_id = (await stage.request(await rich())).rental_id
    await stage.until_status(rental_id, "running")
    stage.clock.advance(300)
    assert (await stage.run(watching))["well"]
    [use] = await use_of(stage, rental_id)
    assert (use["samples"], use["last_percent"]) == (1, 0)
    assert use["idle_seconds"] == use["seconds"] > 299
