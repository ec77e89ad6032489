import asyncio

import pytest

from app.machines.startup import read_log, start_script

HOSTILE = "a'b\"c $HOME `id` $(id) \\ \n; rm -rf / & | > < * ? [x] ~ !! # \t\r\x07\x1b[31m é 日本 {a,b} %s -n"


async def finished(shell):
    """Read the whole log in small pieces until the script has ended."""
    text, offset = "", 0
    for _ in range(500):
        chunk = await read_log(shell, offset=offset, limit_bytes=64)
        text, offset = text + chunk.text, chunk.next_offset
        if chunk.exit_status is not None and not chunk.text:
            return text, chunk.exit_status
        if not chunk.text:
            await asyncio.sleep(0.02)
    raise AssertionError("the script did not end")


async def test_script_runs_in_the_home_with_hostile_values_intact(tmp_path, running, shell_on):
    async with running(tmp_path / "a") as host, shell_on(host) as shell:
        script = 'printf %s "$VALUE" > value; pwd; echo to-err >&2; exit 5'
        await start_script(shell, script=script, env={"VALUE": HOSTILE})
        assert await finished(shell) == (f"{host.home}\nto-err\n", 5)
        assert (await shell.run("cat value")).stdout == HOSTILE.encode()


async def test_script_text_is_never_part_of_a_command_line(tmp_path, running, shell_on):
    script = "'\"; touch escaped; $(touch escaped) `touch escaped`\nHOURGLASS_EOF\nEOF\n"
    async with running(tmp_path / "a") as host, shell_on(host) as shell:
        await start_script(shell, script=f"cat <<'END'\n{script}END\n", env={})
        assert await finished(shell) == (script, 0)
        assert (await shell.run("[ -e escaped ]")).status == 1


async def test_script_runs_once_however_often_it_is_started(tmp_path, running, shell_on):
    async with running(tmp_path / "a") as host, shell_on(host) as shell, shell_on(host) as other:
        script = "echo run >> runs; sleep 0.3; echo done"
        await asyncio.gather(*(start_script(each, script=script, env={}) for each in (shell, other, shell, other)))
        assert await finished(shell) == ("done\n", 0)
        await start_script(shell, script=script, env={})
        await asyncio.sleep(0.1)
        assert (await shell.run("cat runs")).stdout == b"run\n"


async def test_script_outlives_the_connection(tmp_path, running, shell_on):
    async with running(tmp_path / "a") as host:
        async with shell_on(host) as shell:
            await start_script(shell, script="sleep 0.3; echo still here", env={})
        async with shell_on(host) as shell:
            assert await finished(shell) == ("still here\n", 0)


async def test_interpreter_line_is_honoured(tmp_path, running, shell_on):
    async with running(tmp_path / "a") as host, shell_on(host) as shell:
        await start_script(shell, script="#!/bin/cat\nsecond line\n", env={})
        assert await finished(shell) == ("#!/bin/cat\nsecond line\n", 0)


async def test_path_and_home_of_the_customer_do_not_break_the_runner(tmp_path, running, shell_on):
    async with running(tmp_path / "a") as host, shell_on(host) as shell:
        env = {"PATH": "/nowhere", "HOME": "/", "IFS": "/", "CDPATH": "/usr"}
        await start_script(shell, script='echo "$PATH $HOME"; exit 2', env=env)
        assert await finished(shell) == ("/nowhere /\n", 2)


async def test_log_before_any_script_is_empty(tmp_path, running, shell_on):
    async with running(tmp_path / "a") as host, shell_on(host) as shell:
        chunk = await read_log(shell, offset=0, limit_bytes=1000)
        assert (chunk.text, chunk.next_offset, chunk.exit_status) == ("", 0, None)


async def test_log_never_cuts_a_character_and_replaces_what_is_none(tmp_path, running, shell_on):
    async with running(tmp_path / "a") as host, shell_on(host) as shell:
        await start_script(
            shell, script="printf '日本語%.0s' 1 2 3 4 5 6 7 8 9; printf 'a\\000b\\377'; printf '\\346'", env={}
        )
        assert await finished(shell) == ("日本語" * 9 + "a\ufffdb\ufffd\ufffd", 0)


async def test_log_is_read_from_an_offset_to_a_limit(tmp_path, running, shell_on):
    async with running(tmp_path / "a") as host, shell_on(host) as shell:
        await start_script(shell, script="seq 100", env={})
        await finished(shell)
        chunk = await read_log(shell, offset=2, limit_bytes=20)
        assert (chunk.text, chunk.next_offset, chunk.exit_status) == ("2\n3\n4\n5\n6\n7\n8\n9\n10\n1", 22, 0)
        with pytest.raises(ValueError, match="offset"):
            await read_log(shell, offset=-1, limit_bytes=100)
