"""A whole service as `hourglass up` makes it, in a home and on ports of its own."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, chdir, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import httpx
import pytest

from app.cli import main

ROOT = Path(__file__).resolve().parents[2]
_CLEARED = ("DATABASE_URL", "HOURGLASS_", "VAST_", "LAMBDA_", "STRIPE_", "XDG_CONFIG_HOME")


@dataclass
class Service:
    """A running `up`."""

    process: subprocess.Popen[str]
    home: Path
    port: int
    url: str
    api_key: str
    sandbox_url: str | None
    ready_seconds: float

    def api(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, headers={"Authorization": f"Bearer {self.api_key}"}, timeout=20)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(timeout=30)


def environment(**values: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_CLEARED)}
    return kept | {"PYTHONPATH": str(ROOT)} | values


def hourglass(*arguments: str, check: bool = False, **values: str) -> subprocess.CompletedProcess[str]:
    """Run one command to its end."""
    command = [sys.executable, "-m", "app", *arguments]
    return subprocess.run(
        command,
        env=environment(**values),
        cwd="/",
        capture_output=True,
        text=True,
        timeout=90,
        check=check,
        stdin=subprocess.DEVNULL,
    )


_HERE_TOO = frozenset({
    "families", "offers", "quote", "launch", "ps", "show", "ssh", "logs", "stop", "balance", "ledger", "prices",
    "hibernate", "resume", "login", "teams", "admin",
})  # fmt: skip
"""A client's commands and an operator's: they leave nothing behind in a process."""


def here_or_apart(*arguments: str, **values: str) -> subprocess.CompletedProcess[str]:
    """Run one command to its end: most in this process, in a thread of their own, which saves a second of imports."""
    if not arguments or arguments[0] not in _HERE_TOO:
        return hourglass(*arguments, **values)
    before, argv = dict(os.environ), sys.argv
    said, complained, status = StringIO(), StringIO(), 0
    os.environ.clear()
    os.environ.update(environment(**values))
    sys.argv = ["hourglass", *arguments]
    try:
        with chdir("/"), redirect_stdout(said), redirect_stderr(complained), ThreadPoolExecutor(1) as alone:
            alone.submit(main).result()
    except SystemExit as ended:
        status = int(ended.code or 0)
    finally:
        sys.argv = argv
        os.environ.clear()
        os.environ.update(before)
    return subprocess.CompletedProcess(list(arguments), status, said.getvalue(), complained.getvalue())


def free_ports() -> int:
    """Return the first of five ports in a row that are free."""
    for _ in range(200):
        first = random.randrange(20_000, 32_000)
        with ExitStack() as stack:
            try:
                for port in range(first, first + 5):
                    bound = stack.enter_context(socket.socket())
                    bound.bind(("127.0.0.1", port))
                    bound.listen(1)
            except OSError:
                continue
        return first
    raise AssertionError("no free ports")


def begin(home: Path, port: int, **values: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "app", "up", "--json"],
        env=environment(HOURGLASS_HOME=str(home), HOURGLASS_PORT=str(port), **values),
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@contextmanager
def running(home: Path, port: int, **values: str) -> Iterator[Service]:
    with begin(home, port, **values) as process:
        try:
            line = process.stdout.readline()
            assert line, process.stderr.read()
            yield Service(process, home, port, **json.loads(line))
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
            elif said := process.stderr.read():
                sys.stderr.write(f"up ended by itself ({process.returncode}):\n{said}")
            process.wait(timeout=40)


@contextmanager
def short_directory() -> Iterator[Path]:
    """A directory with a short path that every user may enter."""
    directory = Path(tempfile.mkdtemp(prefix="hg"))
    directory.chmod(0o755)
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def place() -> Iterator[Path]:
    with short_directory() as directory:
        yield directory


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    """One for all of a file who only ask it things: at rest, too, its processes look for work, and cost."""
    with short_directory() as directory, running(directory / "home", free_ports()) as started:
        yield started


@pytest.fixture
def told(run):
    """Run one command and return the JSON that it tells."""

    async def telling(*arguments: str):
        done = await run(*arguments, "--json")
        assert done.exit_code == 0, done.exception or done.output
        return json.loads(done.stdout)

    return telling
