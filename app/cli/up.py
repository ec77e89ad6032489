"""``hourglass up``: a whole deployment on one machine, from nothing to the first served request in seconds.

One parent starts the embedded PostgreSQL (unless ``DATABASE_URL`` names another), brings the schema to its newest form,
opens a demo account, and forks the sandbox, the API and a worker; on the first start, too, a process that makes the schema
while the parent imports. Whatever ends is started again; when the parent is told to stop, API and worker end first, then
the sandbox, then PostgreSQL. When it is killed, they all end with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from pydantic import SecretStr

from app.cli.announcing import Announcement, announce
from app.cli.children import Child, Program, stop_together
from app.cli.errors import UpError
from app.cli.home import Demo, Home
from app.cli.own_database import HeadStart, database_on, make_database
from app.cli.ports import Ports
from app.cli.processes import preload, serve_api, serve_sandbox, serve_worker
from app.cli.readiness import wait_until_it_serves
from app.kit.embedded_postgres import EmbeddedPostgres, PostgresError
from app.kit.postgres_home import PostgresHome
from app.settings import Settings

T = TypeVar("T")

_AFTER_A_CRASH_SECONDS = 5.0
_LOOK_SECONDS = 0.05
_POSTGRES_RESTARTS_MAX = 10
_POSTGRES_RESTARTS_SECONDS = 60.0
"""More restarts than that within so long, and something is wrong that another restart won't mend."""
_CRASHES_AT_START_MAX = 3
SANDBOX_KEYS = {
    "vast_api_key": "sandbox-vast-key",
    "lambda_api_key": "sandbox-lambda-key",
    "runpod_api_key": "sandbox-runpod-key",
    "hyperstack_api_key": "sandbox-hyperstack-key",
    "modal_token_id": "ak-sandbox",
    "modal_token_secret": "as-sandbox",
    "desk_token": "sandbox-desk-token",
}
SANDBOX_STRIPE_KEY, SANDBOX_STRIPE_SECRET = "sk_test_sandbox", "whsec_sandbox"
SANDBOX_GITHUB_ID, SANDBOX_GITHUB_SECRET = "sandbox-github", "sandbox-github-secret"
SANDBOX_SETTLE_SECONDS = 5.0
"""How long bank debits take, and refunds whose outcome comes later."""


def up(settings: Settings, *, as_json: bool) -> None:
    """Run until told to stop by Ctrl-C, SIGTERM or SIGHUP.

    Raises:
        UpError: it can't start or go on; everything that was started has ended in good order.
    """
    began = time.monotonic()
    home = Home.take(settings.home)
    try:
        ports = Ports.following(settings.port)
        patience = _AFTER_A_CRASH_SECONDS if home.after_a_crash else 0.0
        with contextlib.closing(ports.reserve(settings.host, patience_seconds=patience)) as listening:
            _Supervisor(settings.changed(home=home.path), home, ports, listening, began).run(as_json=as_json)
    finally:
        home.release()


class _Supervisor:
    """The parent process. Plain code without threads or an event loop, so that it may fork at any time."""

    def __init__(self, settings: Settings, home: Home, ports: Ports, listening: socket.socket, began: float) -> None:
        self._settings = settings
        self._home = home
        self._ports = ports
        self._listening = listening
        self._began = began
        self._postgres_home = home.path / "postgres"
        self._postgres: EmbeddedPostgres | None = None
        self._head_start: HeadStart | None = None
        self._postgres_restarts: list[float] = []
        self._children: dict[str, Child] = {}
        self._signals = 0
        self._serves = False
        # Clouds whose own key is set are real; the sandbox is there when none is.
        is_sandboxed = all(getattr(settings, name) is None for name in SANDBOX_KEYS)
        self._sandbox_url = f"http://127.0.0.1:{ports.sandbox}" if is_sandboxed else None

    def run(self, *, as_json: bool) -> None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._told_to_stop)
        try:
            demo = self._start()
            if demo is not None:
                self._serves = True
                self._announce(demo, as_json=as_json)
            while not self._is_told_to_stop():
                self._look_after()
                time.sleep(_LOOK_SECONDS)
        finally:
            self._stop(quiet=as_json)

    def _told_to_stop(self, *_: object) -> None:
        self._signals += 1

    def _is_told_to_stop(self) -> bool:
        return self._signals > 0

    def _start(self) -> Demo | None:
        """Start everything; None when told to stop meanwhile."""
        if (secret := self._settings.secret) is None:
            secret = SecretStr(self._home.secret())
            self._settings = self._settings.changed(secret=secret)
        gc.disable()  # nothing that is imported is ever freed
        if self._settings.database_url is None and not PostgresHome.has_cluster(self._postgres_home):
            self._head_start = HeadStart(secret.get_secret_value().encode(), self._home.log_path("migrations"))
        server_url = _run(self._start_postgres_and_import())
        from app.cli import accounts, preparing

        if server_url is not None:
            self._settings = self._settings.changed(database_url=SecretStr(database_on(server_url)))
        self._use_sandbox()
        gc.freeze()
        gc.enable()
        # These two need some time of their own and no tables to begin with.
        self._fork("sandbox", "api")
        if self._head_start is not None:
            self._head_start.wait(stopped=self._is_told_to_stop)
        if server_url is not None:
            _run(make_database(server_url))
        _run(preparing.prepare_database(self._settings))
        self._fork("worker")
        demo = _run(accounts.demo_of(self._settings, self._home))
        self._home.say(f"{os.getpid()} {self._url}")
        wait_until_it_serves(self._url, demo.api_key, look=self._look_after, stopped=self._is_told_to_stop)
        return None if self._is_told_to_stop() else demo

    async def _start_postgres_and_import(self) -> str | None:
        """Import in a thread while PostgreSQL starts, and the schema is made where there is none."""
        imports = asyncio.create_task(asyncio.to_thread(preload, sandbox=self._sandbox_url is not None))
        try:
            server_url = await self._start_postgres()
            if self._head_start is not None and server_url is not None:
                self._head_start.tell(server_url)
            return server_url
        finally:
            await imports

    async def _start_postgres(self) -> str | None:
        if self._postgres is None and self._settings.database_url is not None:
            return None  # somebody else's server is used
        try:
            self._postgres = await EmbeddedPostgres.start(self._postgres_home)
        except PostgresError as error:
            raise UpError(str(error)) from None
        return self._postgres.admin_url

    def _use_sandbox(self) -> None:
        if (url := self._sandbox_url) is None:
            return
        keys = {name: SecretStr(key) for name, key in SANDBOX_KEYS.items()}
        settings = self._settings.changed(
            vast_url=url,
            lambda_url=url,
            lambda_ssh_port=self._ports.machines,
            runpod_url=url,
            hyperstack_url=f"{url}/v1",
            hyperstack_ssh_port=self._ports.machines,
            modal_url=f"http://127.0.0.1:{self._ports.modal}",
            price_sheet=self._home.path / "sandbox" / "price-sheet.toml",
            desk_url=f"{url}/desk",
            public_url=self._settings.public_url or self._url,
            **keys,
        )
        if settings.stripe_api_key is None:
            settings = settings.changed(
                stripe_api_key=SecretStr(SANDBOX_STRIPE_KEY),
                stripe_url=url,
                stripe_webhook_secrets=(SecretStr(SANDBOX_STRIPE_SECRET),),
            )
        if settings.github_client_id is None:
            settings = settings.changed(
                github_client_id=SANDBOX_GITHUB_ID,
                github_client_secret=SecretStr(SANDBOX_GITHUB_SECRET),
                github_url=url,
                github_api_url=url,
            )
        self._settings = settings

    def _fork(self, *names: str) -> None:
        """Start some of the processes; the sandbox only when it is needed, and nothing when told to stop."""
        settings, log = self._settings.changed(worker_port=self._ports.worker), self._home.log_path
        runs: dict[str, Callable[[], None]] = {
            "sandbox": lambda: self._be_sandbox(settings),
            "api": lambda: serve_api(settings, sockets=[self._listening], log=log("api")),
            "worker": lambda: serve_worker(settings, log=log("worker")),
        }
        for name in names:
            if not self._is_told_to_stop() and (name != "sandbox" or self._sandbox_url is not None):
                child = self._children[name] = Child(self._program(name, runs[name]))
                child.start()

    def _program(self, name: str, run: Callable[[], None]) -> Program:
        keeps = [self._listening.fileno()] if name == "api" else []
        death = signal.SIGTERM if name == "sandbox" else signal.SIGKILL
        return Program(name, run, self._home.log_path(name), keeps, at_parents_death=death)

    def _be_sandbox(self, settings: Settings) -> None:
        config = {
            "ssh_port": self._ports.machines,
            "modal_port": self._ports.modal,
            "home": self._home.path / "sandbox",
            "stripe_key": SANDBOX_STRIPE_KEY,
            "stripe_webhook_secret": SANDBOX_STRIPE_SECRET,
            "stripe_webhook_url": f"{self._url}/v1/webhooks/stripe",
            "stripe_settle_seconds": SANDBOX_SETTLE_SECONDS,
            "github_client_id": SANDBOX_GITHUB_ID,
            "github_client_secret": SANDBOX_GITHUB_SECRET,
            "github_callback_url": f"{settings.public_url}/v1/auth/github/callback",
        }
        log = self._home.log_path("sandbox")
        serve_sandbox(settings, host="127.0.0.1", port=self._ports.sandbox, config=config, log=log)

    @property
    def _url(self) -> str:
        host = "127.0.0.1" if self._settings.host in {"0.0.0.0", "::"} else self._settings.host  # noqa: S104 - compared
        return f"http://{f'[{host}]' if ':' in host else host}:{self._ports.api}"

    def _announce(self, demo: Demo, *, as_json: bool) -> None:
        told = Announcement(self._url, demo.api_key, self._sandbox_url, round(time.monotonic() - self._began, 2))
        announce(told, home=self._home.path, as_json=as_json, is_real=self._sandbox_url is None)

    def _look_after(self) -> None:
        """See that everything runs.

        Raises:
            UpError: PostgreSQL, or a child before the first request was served, keeps ending.
        """
        for child in self._children.values():
            crashes = child.crashes
            if not child.look() and child.crashes > crashes:
                self._tell_of_crash(child)
        if self._postgres is not None and self._postgres.died:
            self._restart_postgres()

    def _tell_of_crash(self, child: Child) -> None:
        name, status = child.program.name, child.last_status
        if not self._serves and child.crashes >= _CRASHES_AT_START_MAX:
            raise UpError(
                f"The {name} does not start (status {status}). Its log {child.program.log} ends:\n{child.log_tail()}"
            )
        _say(f"The {name} ended (status {status}) and is started again. Its log is {child.program.log}.")

    def _restart_postgres(self) -> None:
        now = time.monotonic()
        recent = [then for then in self._postgres_restarts if now - then < _POSTGRES_RESTARTS_SECONDS]
        self._postgres_restarts = [*recent, now]
        if self._postgres is None or len(recent) >= _POSTGRES_RESTARTS_MAX:
            raise UpError(f"PostgreSQL keeps ending. Its log is in {self._postgres_home / 'log'}.")
        _say("PostgreSQL ended and is started again.")
        _run(self._postgres.stop())
        try:
            _run(self._start_postgres())
        except UpError as error:  # ended once more while it started: the next look tries again
            _say(str(error))

    def _stop(self, *, quiet: bool) -> None:
        if not quiet and self._children:
            _say("\nStopping …")
        if self._head_start is not None:
            self._head_start.end()
        children = list(self._children.values())
        for group in (("api", "worker"), ("sandbox",)):
            stop_together([child for child in children if child.program.name in group], hurry=lambda: self._signals > 1)
        if self._postgres is not None:
            _run(self._postgres.stop())


def _run(deed: Coroutine[Any, Any, T]) -> T:
    """Run one coroutine to its end. Ctrl-C does not break it off: the supervisor's own handler notes it."""
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(deed)
    finally:
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
