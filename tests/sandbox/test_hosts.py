import asyncio
import os
from contextlib import asynccontextmanager
from pathlib import Path

import asyncssh
import pytest

from app.sandbox.hosts import GpuFacts, HostBehaviour, start_host

GPU = GpuFacts("NVIDIA GeForce RTX 4090", 2, 24_564)
KEY = asyncssh.generate_private_key("ssh-ed25519")


def public(key):
    return key.export_public_key().decode().strip()


@asynccontextmanager
async def running(home, *, gpu=GPU, behaviour=None, keys=(KEY,), port=0):
    host = await start_host(
        address="127.0.0.1",
        port=port,
        home=home,
        gpu=gpu,
        authorized_keys=[public(key) for key in keys],
        behaviour=behaviour or HostBehaviour(),
    )
    try:
        yield host
    finally:
        await host.close()


def login(host, *, key=KEY, username=None):
    return asyncssh.connect(
        host.address,
        host.port,
        username=username or host.username,
        client_keys=[key],
        known_hosts=None,
        agent_path=None,
        config=None,
    )


async def test_command_gets_input_and_returns_output_errors_and_status(tmp_path):
    async with running(tmp_path / "a") as host, login(host) as connection:
        done = await connection.run("cat; echo wrong >&2; pwd; exit 7", input="given\n")
        assert done.stdout == f"given\n{host.home}\n"
        assert done.stderr == "wrong\n"
        assert done.exit_status == 7


async def test_large_input_passes_unchanged(tmp_path):
    data = os.urandom(3_000_000)
    async with running(tmp_path / "a") as host, login(host) as connection:
        done = await connection.run("cat", input=data, encoding=None)
        assert done.stdout == data


async def test_environment_is_the_machines_own(tmp_path):
    async with running(tmp_path / "a") as host, login(host) as connection:
        done = await connection.run("env")
        names = {line.partition("=")[0] for line in done.stdout.splitlines()}
        assert names <= {
            "HOME",
            "PATH",
            "USER",
            "LOGNAME",
            "SHELL",
            "LANG",
            "HOURGLASS_HOST",
            "PWD",
            "OLDPWD",
            "SHLVL",
            "_",
        }


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can hand commands to another user")
async def test_commands_have_no_root_rights(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("x")
    secret.chmod(0o600)
    async with running(tmp_path / "a") as host, login(host) as connection:
        done = await connection.run(f"id -u; id -G; cat {secret}")
        uid, groups = done.stdout.split()
        assert uid != "0"
        assert groups == uid
        assert done.exit_status != 0


async def test_machines_cannot_read_each_other(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("machines share our user")
    async with running(tmp_path / "a") as one, running(tmp_path / "b") as other, login(one) as connection:
        assert (await connection.run(f"ls {other.home}")).exit_status != 0


async def test_key_added_over_ssh_opens_the_next_login(tmp_path):
    second = asyncssh.generate_private_key("ssh-ed25519")
    async with running(tmp_path / "a") as host:
        with pytest.raises(asyncssh.PermissionDenied):
            await login(host, key=second)
        async with login(host) as connection:
            await connection.run("cat >> ~/.ssh/authorized_keys", input=public(second) + "\n", check=True)
        async with login(host, key=second) as connection:
            assert (await connection.run("echo in")).stdout == "in\n"


async def test_another_username_is_refused(tmp_path):
    async with running(tmp_path / "a") as host:
        with pytest.raises(asyncssh.PermissionDenied):
            await login(host, username="admin")


async def test_detached_process_outlives_its_session_but_not_its_machine(tmp_path):
    async with running(tmp_path / "a") as host:
        async with login(host) as connection:
            started = await connection.run("setsid sh -c 'sleep 300' >/dev/null 2>&1 </dev/null & echo $!", check=True)
        pid = int(started.stdout)
        async with login(host) as connection:
            assert (await connection.run(f"kill -0 {pid}")).exit_status == 0
    assert not _alive(pid)


async def test_process_that_clears_its_environment_dies_with_the_machine(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("found by its user, which needs one user per machine")
    async with running(tmp_path / "a") as host, login(host) as connection:
        started = await connection.run("env -i setsid sleep 300 >/dev/null 2>&1 </dev/null & echo $!", check=True)
    assert not _alive(int(started.stdout))


async def test_closing_ends_running_sessions(tmp_path):
    async with running(tmp_path / "a") as host:
        connection = await login(host)
        process = await connection.create_process("sleep 300")
        await asyncio.sleep(0.05)
    await asyncio.wait_for(process.wait_closed(), 5)
    connection.close()
    await connection.wait_closed()


async def test_client_that_leaves_ends_its_command(tmp_path):
    async with running(tmp_path / "a") as host:
        async with login(host) as connection:
            process = await connection.create_process("echo $$; exec sleep 300")
            pid = int(await process.stdout.readline())
        for _ in range(2000):
            if not _alive(pid):
                break
            await asyncio.sleep(0.01)
        assert not _alive(pid)


async def test_interactive_shell_runs_on_a_terminal(tmp_path):
    async with running(tmp_path / "a") as host, login(host) as connection:
        process = await connection.create_process(term_type="xterm", term_size=(101, 31))
        process.stdin.write("stty size; tty; whoami; exit 4\n")
        output = await asyncio.wait_for(process.stdout.read(), 10)
        await process.wait_closed()
        assert "31 101" in output
        assert "/dev/pts/" in output
        assert "\nroot\r\n" in output.replace("\x1b[?2004l\r", "")
        assert process.exit_status == 4


async def test_interrupt_from_the_terminal_reaches_the_command(tmp_path):
    async with running(tmp_path / "a") as host, login(host) as connection:
        process = await connection.create_process("echo up; exec sleep 300", term_type="xterm")
        assert "up" in await process.stdout.readline()
        process.stdin.write("\x03")
        await asyncio.wait_for(process.wait_closed(), 10)
        assert process.exit_signal[0] == "INT"


@pytest.mark.parametrize(
    ("arguments", "answer"),
    [
        (
            "--query-gpu=name,memory.total --format=csv",
            "name, memory.total [MiB]\n" + "NVIDIA GeForce RTX 4090, 24564 MiB\n" * 2,
        ),
        ("--query-gpu=index,memory.used,utilization.gpu --format=csv,noheader", "0, 2 MiB, 0 %\n1, 2 MiB, 0 %\n"),
        (
            "--query-gpu=driver_version,memory.total,compute_cap,temperature.gpu,pci.bus_id,count --format=csv,noheader,nounits -i 1",
            "550.127.05, 24564, 8.9, 34, 00000000:02:00.0, 2\n",
        ),
        ("--query-gpu=ecc.errors.uncorrected.volatile.total --format=csv,noheader", "[N/A]\n[N/A]\n"),
        ("--query-gpu=nonsense --format=csv", 'Field "nonsense" is not a valid field to query.\n\n'),
    ],
)
async def test_nvidia_smi_answers_queries_in_its_own_format(tmp_path, arguments, answer):
    async with running(tmp_path / "a") as host, login(host) as connection:
        assert (await connection.run(f"nvidia-smi {arguments}")).stdout == answer


async def test_nvidia_smi_lists_gpus_and_prints_its_table(tmp_path):
    async with running(tmp_path / "a") as host, login(host) as connection:
        listed = (await connection.run("nvidia-smi -L", check=True)).stdout.splitlines()
        assert [line.partition(" (UUID: GPU-")[0] for line in listed] == [f"GPU {i}: {GPU.name}" for i in (0, 1)]
        table = (await connection.run("nvidia-smi", check=True)).stdout.splitlines()[1:]
        assert {len(line) for line in table} == {91, 89}
        assert "Driver Version: 550.127.05" in table[1]


async def test_broken_driver_shows_in_nvidia_smi(tmp_path):
    async with (
        running(tmp_path / "a", behaviour=HostBehaviour(runs_nvidia_smi=False)) as host,
        login(host) as connection,
    ):
        done = await connection.run("nvidia-smi")
        assert done.exit_status == 9
        assert "couldn't communicate with the NVIDIA driver" in done.stdout


async def test_xid_error_shows_in_the_kernel_log(tmp_path):
    async with running(tmp_path / "a", behaviour=HostBehaviour(xid_errors=True)) as host, login(host) as connection:
        assert "NVRM: Xid" in (await connection.run("dmesg")).stdout


async def test_machine_without_ssh_refuses_connections(tmp_path):
    async with running(tmp_path / "a", behaviour=HostBehaviour(accepts_ssh=False)) as host:
        assert host.port > 0
        with pytest.raises(ConnectionRefusedError):
            await login(host)


async def test_machine_that_hangs_takes_connections_and_says_nothing(tmp_path):
    async with running(tmp_path / "a", behaviour=HostBehaviour(hangs=True)) as host:
        reader, writer = await asyncio.open_connection(host.address, host.port)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.1)
        writer.close()
        await writer.wait_closed()


async def test_home_is_taken_up_again_with_its_keys_and_host_key(readable_home):
    home = readable_home / "a"
    second = asyncssh.generate_private_key("ssh-ed25519")
    async with running(home) as host, login(host) as connection:
        first_host_key = connection.get_server_host_key().get_fingerprint()
        await connection.run("echo kept > note; cat >> .ssh/authorized_keys", input=public(second) + "\n", check=True)
    async with running(home) as host, login(host, key=second) as connection:
        assert (await connection.run("cat note")).stdout == "kept\n"
        assert connection.get_server_host_key().get_fingerprint() == first_host_key


async def test_links_left_in_the_home_are_not_followed_on_restart(readable_home, tmp_path):
    target = tmp_path / "target"
    target.write_text("untouched")
    async with running(readable_home / "a") as host:
        async with login(host) as connection:
            await connection.run(f"ln -sf {target} .ssh/authorized_keys; rm -r .bin; ln -s {tmp_path} .bin", check=True)
        with pytest.raises(asyncssh.PermissionDenied):
            await login(host)
    async with running(readable_home / "a") as host, login(host) as connection:
        assert (await connection.run("nvidia-smi -L")).exit_status == 0
    assert target.read_text() == "untouched"
    assert not (tmp_path / "nvidia-smi").exists()


@pytest.fixture
def readable_home():
    import tempfile

    with tempfile.TemporaryDirectory(prefix="hourglass-test-") as place:
        Path(place).chmod(0o711)
        yield Path(place)


def _alive(pid):
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
