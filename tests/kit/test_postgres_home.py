import contextlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import asyncpg
import pytest

from app.kit.embedded_postgres import (
    DataDirectoryUnusable,
    DiskFull,
    EmbeddedPostgres,
)
from app.kit.postgres_home import PostgresHome
from tests.kit.postgres_rig import (
    ROOT,
    SUPERVISOR,
    answer,
    as_root,
    ask,
    copy_of,
    mode_of,
    python_path,
    run,
    running,
    status_of,
)


async def test_a_half_made_cluster_is_thrown_away(place):
    partial = place / "postgres" / "data.partial"
    partial.mkdir(parents=True)
    (partial / "PG_VERSION").write_text("18\n")
    async with running(place / "postgres") as server:
        assert await ask(server, "SELECT 1") == 1
    assert not partial.exists()


async def test_a_directory_that_is_no_cluster_is_left_alone(place):
    stray = place / "postgres" / "data" / "letter.txt"
    stray.parent.mkdir(parents=True)
    stray.write_text("dear")
    with pytest.raises(DataDirectoryUnusable, match=r"not a cluster.*Move it away"):
        await EmbeddedPostgres.start(place / "postgres")
    assert stray.read_text() == "dear"


async def test_a_cluster_of_another_version_is_refused(home):
    (home / "data" / "PG_VERSION").write_text("16\n")
    with pytest.raises(DataDirectoryUnusable, match=r"written by PostgreSQL 16, this is PostgreSQL 18.*pg_dumpall"):
        await EmbeddedPostgres.start(home)


async def test_a_home_that_is_a_file_is_told(place):
    (place / "postgres").write_text("")
    with pytest.raises(DataDirectoryUnusable, match="HOURGLASS_HOME"):
        await EmbeddedPostgres.start(place / "postgres")


@pytest.mark.parametrize("name", ["x" * 60 + "/" + "y" * 60, "with blank, comma"])
async def test_a_home_whose_path_no_socket_can_have_gets_one_elsewhere(cluster, place, name):
    home = copy_of(cluster, place / name / "postgres")
    async with running(home) as server:
        directory = server.admin_url.partition("host=")[2]
        assert directory.startswith(f"{tempfile.gettempdir()}/hourglass-")
        assert mode_of(directory) == 0o700
        assert await ask(server, "SELECT answer FROM kept") == 42
    assert mode_of(directory) is None


async def test_a_socket_directory_laid_out_by_somebody_else_is_refused(place):
    home = place / ("x" * 110) / "postgres"
    taken = PostgresHome.take(home)
    taken.release()
    (place / "elsewhere").mkdir()
    taken.socket_directory.symlink_to(place / "elsewhere")
    try:
        with pytest.raises(DataDirectoryUnusable, match=r"must be a directory of user id"):
            await EmbeddedPostgres.start(home)
    finally:
        taken.socket_directory.unlink()


@as_root
async def test_a_home_that_only_root_may_enter_works(place):
    place.chmod(0o700)
    async with running(place / "postgres") as server:
        assert await ask(server, "SELECT 1") == 1
        assert "Uid:\t0" not in status_of(server.pid)


def ordinary_python():
    """Return an interpreter that user 65534 can run with everything needed, or skip."""
    check = "import asyncpg, sys; sys.path.insert(0, '.'); import app.kit.embedded_postgres"
    packages = str(Path(asyncpg.__file__).parents[1])
    for python in (sys.executable, f"/usr/bin/python{sys.version_info.major}.{sys.version_info.minor}"):
        with contextlib.suppress(OSError):
            tried = subprocess.run(
                [python, "-c", check],
                cwd=ROOT,
                user=65534,
                group=65534,
                extra_groups=[],
                env={"PYTHONPATH": packages},
                capture_output=True,
                check=False,
            )
            if tried.returncode == 0:
                return python, packages
    return pytest.skip("no interpreter that an ordinary user may run")


@as_root
async def test_an_ordinary_user_needs_nobody_s_leave(place):
    python, packages = ordinary_python()
    os.chown(place, 65534, 65534)
    told = run(
        [python, "-c", SUPERVISOR, str(place / "postgres"), "briefly"],
        cwd=ROOT,
        user=65534,
        group=65534,
        extra_groups=[],
        env={"PYTHONPATH": f"{ROOT}:{packages}"},
    )
    assert told.stdout.endswith("\non\n"), told.stderr + told.stdout
    assert (place / "postgres" / "data").stat().st_uid == 65534
    async with running(place / "postgres") as server:  # root then runs it as the owner of its data
        assert "Uid:\t65534" in status_of(server.pid)
        assert await ask(server, "SELECT 1") == 1


async def test_a_file_size_limit_is_told_as_a_lack_of_room(place):
    limited = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))\n{SUPERVISOR}"
    command = [sys.executable, "-c", limited, str(place / "postgres")]
    told = run(command, env=python_path())
    assert told.stdout.startswith("DiskFull No room for PostgreSQL"), told.stderr
    assert "File too large" in told.stdout
    assert not (place / "postgres" / "data").exists()
    async with running(place / "postgres") as server:
        assert await ask(server, "SELECT 1") == 1


@pytest.fixture
def small_disk(place):
    mounted = subprocess.run(
        ["/bin/mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(place)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("no right to mount")
    place.chmod(0o755)
    yield place
    subprocess.run(["/bin/umount", "--lazy", str(place)], check=True)


@as_root
async def test_a_full_disk_is_told_and_a_start_with_room_works(small_disk):
    home = small_disk / "postgres"
    with pytest.raises(DiskFull, match=r"No room for PostgreSQL.*MB are free.*No space left on device"):
        await EmbeddedPostgres.start(home)
    assert not (home / "data").exists()
    assert not (home / "data.partial").exists()
    assert run(["/bin/mount", "-o", "remount,size=120m", str(small_disk)]).returncode == 0
    async with running(home) as server:
        await ask(server, "CREATE TABLE kept AS SELECT 42 AS answer")
    filler = small_disk / "filler"
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)
    with pytest.raises(DiskFull, match="0 MB are free"):
        await EmbeddedPostgres.start(home)
    filler.unlink()
    assert await answer(home) == 42
