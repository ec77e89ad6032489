import shutil
import tempfile
from pathlib import Path

import pytest

from tests.kit.postgres_rig import ask, copy_of, running

ROOM_BYTES = 1_000_000_000


def quick_disk():
    """Return a file system in memory where there is one with room, else None for the ordinary place."""
    memory = Path("/dev/shm")
    return memory if memory.is_dir() and shutil.disk_usage(memory).free > ROOM_BYTES else None


@pytest.fixture
def place():
    """A directory with a short path that every user may enter."""
    directory = Path(tempfile.mkdtemp(prefix="hg", dir=quick_disk()))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory)


@pytest.fixture(scope="session")
async def cluster():
    """A home with a cluster and a table, shut down; copied rather than made anew."""
    directory = Path(tempfile.mkdtemp(prefix="hg", dir=quick_disk()))
    async with running(directory / "postgres") as server:
        await ask(server, "CREATE TABLE kept AS SELECT 42 AS answer")
    yield directory / "postgres"
    shutil.rmtree(directory)


@pytest.fixture
def home(cluster, place):
    return copy_of(cluster, place / "postgres")
