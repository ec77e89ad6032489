import pytest

from app.machines.checking import Failed
from app.machines.trying import try_out


@pytest.fixture
async def shell(tmp_path, running, shell_on):
    async with running(tmp_path / "a") as host, shell_on(host) as opened:
        yield opened


async def test_command_that_succeeds_is_no_trouble(shell):
    assert await try_out(shell, command="nvidia-smi -L && test $SIZE = 8", env={"SIZE": "8"}, seconds=10) is None


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("echo no such model >&2; exit 3", "the rental's own probe ended with 3: no such model"),
        ("printf 'a\\nb\\033[2J'; exit 1", "the rental's own probe ended with 1: a b?[2J"),
        ("exit 7", "the rental's own probe ended with 7"),
        ("kill -9 $$", "the rental's own probe ended with -9"),
        ("sleep 30", "the rental's own probe did not end within 1 s"),
        ("yes", "the rental's own probe said too much"),
    ],
)
async def test_command_that_fails_tells_why(shell, command, message):
    assert await try_out(shell, command=command, env={}, seconds=1) == Failed("startup_failed", message)


async def test_command_is_a_program_of_its_own_without_input(shell):
    assert (
        await try_out(
            shell, command="#!/usr/bin/env -S python3\nimport sys\nassert not sys.stdin.read()", env={}, seconds=10
        )
        is None
    )
    assert await try_out(shell, command="cat; true\n", env={}, seconds=10) is None
