import asyncio
import os
import signal
import sys

import asyncpg
import pytest

from app.kit.embedded_postgres import (
    AlreadyRunning,
    EmbeddedPostgres,
    StartFailed,
    _program,
)
from app.kit.privileges import launch_command
from tests.kit.postgres_rig import (
    SUPERVISOR,
    answer,
    as_root,
    ask,
    python_path,
    run,
    running,
    status_of,
    supervisor,
)


async def test_an_empty_home_gets_a_cluster_and_the_next_start_finds_it(place):
    home = place / "deep" / "postgres"
    async with running(home) as server:
        await ask(server, "CREATE TABLE kept AS SELECT 42 AS answer")
        assert server.admin_url == f"postgresql://postgres@/postgres?host={home}/run"
        assert not server.died
    assert server.died
    assert not (home / "data.partial").exists()
    assert not (home / "data" / "postmaster.pid").exists()
    assert await answer(home) == 42


async def test_settings_are_durable_and_nothing_can_undo_them_unasked(home):
    async with running(home) as server:
        await ask(server, "ALTER SYSTEM SET fsync = off")
    async with running(home, max_connections="50", listen_addresses="*") as server:
        wanted = {
            "fsync": "on",
            "synchronous_commit": "on",
            "full_page_writes": "on",
            "data_checksums": "on",
            "server_encoding": "UTF8",
            "TimeZone": "UTC",
            "listen_addresses": "",
            "jit": "off",
            "shared_buffers": "128MB",
            "max_connections": "50",
            "logging_collector": "on",
        }
        assert {name: await ask(server, f"SHOW {name}") for name in wanted} == wanted
        assert (await ask(server, "SHOW server_version")).startswith("18.")
        assert await ask(server, "SELECT datcollate || datctype FROM pg_database WHERE datname = 'template1'") == "CC"
        assert list((home / "log").iterdir())


async def test_variables_meant_for_other_servers_do_not_mislead(home):
    strange = {"PGPORT": "1", "PGHOST": "nowhere", "PGDATA": "/nowhere", "PGUSER": "nobody", "PGDATABASE": "none"}
    script = SUPERVISOR.replace("server.admin_url", "server.admin_url, port=5432")
    told = run([sys.executable, "-c", script, str(home), "briefly"], env={**python_path(), **strange})
    assert told.stdout.endswith("\non\n"), told.stderr


async def test_a_second_server_on_one_home_is_refused_with_the_id_of_the_first(home):
    async with running(home) as server:
        with pytest.raises(AlreadyRunning, match=rf"process {os.getpid()}.*HOURGLASS_HOME"):
            await EmbeddedPostgres.start(home)
        second = supervisor(home)
        told, _ = second.communicate(timeout=30)
        assert told.startswith("AlreadyRunning")
        assert await ask(server, "SELECT answer FROM kept") == 42
    assert await answer(home) == 42


async def test_stopping_twice_is_harmless(home):
    server = await EmbeddedPostgres.start(home)
    await server.stop()
    await server.stop()


async def test_stopping_does_not_wait_for_clients(home):
    server = await EmbeddedPostgres.start(home)
    connection = await asyncpg.connect(server.admin_url)
    await asyncio.wait_for(server.stop(), 10)
    connection.terminate()


async def test_a_setting_that_postgresql_refuses_is_told_with_its_words(home):
    with pytest.raises(StartFailed, match='invalid value for parameter "work_mem"'):
        await EmbeddedPostgres.start(home, settings={"work_mem": "plenty"})
    assert await answer(home) == 42


async def test_damaged_control_data_is_told_with_the_log(home):
    (home / "data" / "global" / "pg_control").write_bytes(b"\0" * 8192)
    with pytest.raises(StartFailed, match="did not start"):
        await EmbeddedPostgres.start(home)


@as_root
async def test_root_gives_the_server_away_and_keeps_nothing_it_does_not_need(home):
    async with running(home) as server:
        status = status_of(server.pid)
        assert "Uid:\t0" not in status
        assert "CapEff:\t0000000000000000" in status or not os.access(_program("postgres"), os.X_OK)


@as_root
async def test_the_user_the_server_was_given_to_can_not_become_its_superuser(home):
    async with running(home) as server:
        command = [str(_program("psql")), server.admin_url, "-c", "SELECT 1"]
        owner = (home / "data").stat()
        launch = launch_command(
            command, user=(owner.st_uid, owner.st_gid), directory=home, at_parents_death=signal.SIGTERM
        )
        result = run(launch)
        assert "Peer authentication failed" in result.stderr
