import asyncio
import contextlib
import os
import signal
import subprocess

import asyncpg
import pytest

from app.kit.embedded_postgres import (
    EmbeddedPostgres,
    _program,
)
from app.kit.postgres_home import PostgresHome
from app.kit.privileges import launch_command
from tests.kit.postgres_rig import (
    answer,
    ask,
    begin,
    lives,
    on_linux,
    running,
    supervisor,
    until,
)


async def test_a_killed_server_is_noticed_and_started_again_with_its_data(home):
    server = await EmbeddedPostgres.start(home)
    await ask(server, "INSERT INTO kept VALUES (43)")
    os.kill(server.pid, signal.SIGKILL)
    assert await asyncio.wait_for(server.wait(), 10) == -signal.SIGKILL
    assert server.died
    await server.stop()
    async with running(home) as again:
        assert await ask(again, "SELECT sum(answer) FROM kept") == 85


async def test_a_busy_session_of_a_killed_server_is_ended_before_the_next_start(home):
    server = await EmbeddedPostgres.start(home)
    connection = await asyncpg.connect(server.admin_url)
    session = connection.get_server_pid()
    busy = asyncio.create_task(connection.execute("DO $$ BEGIN LOOP END LOOP; END $$"))
    await asyncio.sleep(0.2)
    os.kill(server.pid, signal.SIGKILL)
    await server.wait()
    assert lives(session)
    await server.stop()
    assert not lives(session)
    with contextlib.suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
        await busy
    connection.terminate()
    assert await answer(home) == 42


@on_linux
async def test_the_server_ends_with_a_killed_supervisor_and_the_next_start_recovers(home):
    process = supervisor(home)
    pid = int(await asyncio.to_thread(process.stdout.readline))
    assert lives(pid)
    process.kill()
    process.communicate()
    await until(lambda: not lives(pid))
    assert await answer(home) == 42


@on_linux
async def test_a_start_right_behind_a_killed_supervisor_waits_for_its_server_to_end(home):
    process = supervisor(home)
    pid = int(await asyncio.to_thread(process.stdout.readline))
    process.kill()
    process.communicate()
    async with running(home) as server:
        assert not lives(pid)
        assert await ask(server, "SELECT answer FROM kept") == 42


@on_linux
async def test_a_server_that_outlived_its_supervisor_is_shut_down_first(home):
    """As where a parent's death is not told: its parent is another process, which lives on."""
    place = PostgresHome.take(home)
    command = [str(_program("postgres")), "-D", str(place.data), "-c", "listen_addresses=", "-k", str(home / "run")]
    launch = launch_command(command, user=place.user, directory=home, at_parents_death=signal.SIGINT)
    orphan = begin(launch, stderr=subprocess.DEVNULL)
    await until(lambda: place.is_ready(orphan.pid))
    place.release()
    try:
        async with running(home) as server:
            assert orphan.poll() == 0
            assert await ask(server, "SELECT answer FROM kept") == 42
    finally:
        orphan.kill()
        orphan.wait()


async def leave_stale_pid_file(home):
    server = await EmbeddedPostgres.start(home)
    os.kill(server.pid, signal.SIGKILL)
    await server.stop()
    return home / "data" / "postmaster.pid"


async def test_a_pid_file_whose_id_another_process_has_by_now_does_not_hinder(home):
    pid_file = await leave_stale_pid_file(home)
    owner = pid_file.stat()
    identity = {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []} if os.geteuid() == 0 else {}
    stranger = begin(["/bin/sleep", "60"], **identity)
    try:
        lines = pid_file.read_text().splitlines(keepends=True)
        pid_file.write_text("".join([f"{stranger.pid}\n", *lines[1:]]))
        assert await answer(home) == 42
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


@pytest.mark.parametrize("content", ["", "\0\0\0\0"])
async def test_a_pid_file_cut_off_by_a_crash_does_not_hinder(home, content):
    pid_file = await leave_stale_pid_file(home)
    pid_file.write_text(content)
    assert await answer(home) == 42


@pytest.mark.parametrize("after_seconds", [0.05, 0.3, 0.6])
async def test_a_first_start_killed_at_any_instant_is_made_up_for(place, after_seconds):
    process = supervisor(place / "postgres")
    await asyncio.sleep(0.15 + after_seconds)
    process.kill()
    process.communicate()
    async with running(place / "postgres") as server:
        assert await ask(server, "SELECT 1") == 1
    assert not (place / "postgres" / "data.partial").exists()


async def test_later_starts_killed_at_any_instant_lose_nothing(home):
    for after_milliseconds in range(150, 400, 40):
        process = supervisor(home)
        await asyncio.sleep(after_milliseconds / 1000)
        process.kill()
        process.communicate()
    assert await answer(home) == 42


@pytest.mark.parametrize("seconds", [0.05, 0.4])
async def test_a_cancelled_start_leaves_no_process_and_no_lock(place, seconds):
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(EmbeddedPostgres.start(place / "postgres"), seconds)
    home = PostgresHome.take(place / "postgres")
    assert home.processes.ids() == []
    home.release()
    async with running(place / "postgres") as server:
        assert await ask(server, "SELECT 1") == 1
