import asyncio

import pytest

from app.machines import ShellError
from app.machines.checkpointing import save_checkpoint


@pytest.fixture
async def host(running, tmp_path):
    async with running(tmp_path / "machine") as host:
        yield host


async def test_the_script_knows_where_to_save_and_is_heard(host, shell_on):
    uri = {"HOURGLASS_CHECKPOINT_URI": "s3://bucket/run 1"}
    async with shell_on(host) as shell:
        saved = await save_checkpoint(shell, script='echo "to $HOURGLASS_CHECKPOINT_URI"; exit 3', env=uri, seconds=10)
    assert (saved.exit_status, saved.output) == (3, "to s3://bucket/run 1\n")


async def test_it_runs_once_and_a_second_caller_waits_for_the_first(host, shell_on):
    script = "echo ran >> runs; sleep 0.3; cat runs"
    async with shell_on(host) as one, shell_on(host) as two:
        both = await asyncio.gather(
            *(save_checkpoint(shell, script=script, env={}, seconds=10) for shell in (one, two))
        )
    assert [(saved.exit_status, saved.output) for saved in both] == [(0, "ran\n")] * 2


async def test_one_that_does_not_end_is_left_after_its_time(host, shell_on):
    async with shell_on(host) as shell:
        saved = await save_checkpoint(shell, script="echo began; sleep 60", env={}, seconds=1)
    assert (saved.exit_status, saved.output) == (None, "began\n")


async def test_a_machine_that_goes_meanwhile_is_told_as_such(host, shell_on):
    async with shell_on(host) as shell:
        saving = asyncio.create_task(save_checkpoint(shell, script="sleep 60", env={}, seconds=20))
        await asyncio.sleep(0.3)
        await host.close()
        with pytest.raises(ShellError):
            await saving
