import asyncio
import re
import time

import asyncssh
import pytest

from app.machines.shell import AnswerTooLong, AuthRefused, HostKeyChanged, ShellError, TimedOut, Unreachable, open_shell
from app.providers.contract import Connection
from app.sandbox.hosts import HostBehaviour


async def test_command_answers_with_status_and_both_outputs(tmp_path, running, shell_on):
    async with running(tmp_path / "a") as host, shell_on(host) as shell:
        answer = await shell.run("cat; echo no >&2; exit 3", stdin=b"yes")
        assert (answer.status, answer.stdout, answer.stderr) == (3, b"yes", b"no\n")


async def test_command_that_ignores_its_input_is_no_error(tmp_path, running, shell_on):
    async with running(tmp_path / "a") as host, shell_on(host) as shell:
        assert (await shell.run("true", stdin=b"x" * 5_000_000)).status == 0


async def test_private_key_may_be_text(tmp_path, running, shell_on, platform_key):
    async with running(tmp_path / "a") as host, shell_on(host, key=platform_key.export_private_key().decode()) as shell:
        assert (await shell.run("true")).status == 0


async def test_host_key_is_told_and_accepted_again(tmp_path, running, shell_on):
    async with running(tmp_path / "a") as host:
        async with shell_on(host) as shell:
            known = shell.host_key
        assert known.startswith("SHA256:")
        async with shell_on(host, known_host=known) as shell:
            assert shell.host_key == known


async def test_changed_host_key_is_refused(tmp_path, running, shell_on):
    async with running(tmp_path / "a") as host, shell_on(host) as shell:
        known, port = shell.host_key, host.port
    async with running(tmp_path / "b", port=port) as other:
        with pytest.raises(HostKeyChanged, match=re.escape(known)):
            async with shell_on(other, known_host=known):
                pass


async def test_key_that_the_machine_does_not_know_is_refused(tmp_path, running, shell_on):
    async with running(tmp_path / "a") as host:
        with pytest.raises(AuthRefused):
            async with shell_on(host, key=asyncssh.generate_private_key("ssh-ed25519")):
                pass


async def test_machine_without_ssh_is_unreachable(tmp_path, running, shell_on):
    async with running(tmp_path / "a", behaviour=HostBehaviour(accepts_ssh=False)) as host:
        with pytest.raises(Unreachable):
            async with shell_on(host):
                pass


async def test_server_that_says_nothing_times_out(tmp_path, running, shell_on):
    async with running(tmp_path / "a", behaviour=HostBehaviour(hangs=True)) as host:
        began = time.monotonic()
        with pytest.raises(TimedOut):
            async with shell_on(host, deadline_seconds=0.3):
                pass
        assert time.monotonic() - began < 5


async def test_server_that_speaks_something_else_is_unreachable(platform_key):
    async def serve(reader, writer):
        writer.write(b"HTTP/1.1 400 Bad Request\r\n" * 2000)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        where = Connection("127.0.0.1", server.sockets[0].getsockname()[1], "root")
        with pytest.raises(Unreachable):
            async with open_shell(where, private_key=platform_key, deadline_seconds=5, known_host=None):
                pass


async def test_command_past_its_deadline_times_out_and_the_shell_stays_usable(tmp_path, running, shell_on):
    async with running(tmp_path / "a") as host, shell_on(host) as shell:
        with pytest.raises(TimedOut):
            await shell.run("sleep 60", deadline_seconds=0.2)
        assert (await shell.run("echo on")).stdout == b"on\n"


async def test_endless_answer_is_cut_off(tmp_path, running, shell_on):
    async with running(tmp_path / "a") as host, shell_on(host) as shell:
        with pytest.raises(AnswerTooLong):
            await shell.run("yes", max_bytes=100_000)
        with pytest.raises(AnswerTooLong):
            await shell.run("yes >&2", max_bytes=100_000)
        assert (await shell.run("echo on")).stdout == b"on\n"


async def test_machine_that_vanishes_amid_a_command_is_unreachable(tmp_path, running, shell_on):
    async with running(tmp_path / "a") as host, shell_on(host) as shell:
        waiting = asyncio.create_task(shell.run("sleep 60"))
        await asyncio.sleep(0.1)
        await host.close()
        with pytest.raises(Unreachable):
            await waiting
        with pytest.raises(Unreachable):
            await shell.run("true")


async def test_file_is_written_whole_with_its_mode(tmp_path, running, shell_on):
    content = bytes(range(256)) * 1000
    async with running(tmp_path / "a") as host, shell_on(host) as shell:
        await shell.write_file(".hourglass/a", content, mode="700")
        await shell.write_file(".hourglass/a", content, mode="600")
        assert (await shell.run("cat .hourglass/a")).stdout == content
        assert (await shell.run("stat -c %a .hourglass .hourglass/a; ls -A .hourglass")).stdout == b"700\n600\na\n"


async def test_file_that_cannot_be_written_is_an_error_and_leaves_nothing(tmp_path, running, shell_on):
    async with running(tmp_path / "a") as host, shell_on(host) as shell:
        await shell.run("mkdir .hourglass && chmod 500 .hourglass && mkdir -p taken/file")
        if (await shell.run("id -u")).stdout != b"0\n":
            with pytest.raises(ShellError, match="could not write"):
                await shell.write_file(".hourglass/a", b"x")
        assert (await shell.run("ls -A .hourglass")).stdout == b""


async def test_upload_that_breaks_off_leaves_the_old_file(tmp_path, running, shell_on):
    class Short(bytes):
        """Claims to be longer than what is sent."""

        def __len__(self):
            return 10

    async with running(tmp_path / "a") as host, shell_on(host) as shell:
        await shell.write_file(".ssh/config", b"before")
        with pytest.raises(ShellError):
            await shell.write_file(".ssh/config", Short(b"half"))
        assert (await shell.run("cat .ssh/config; ls -A .ssh")).stdout == b"beforeauthorized_keys\nconfig\n"
