"""Modal's SDK behind a few calls. Everything here runs in the SDK's own thread, and nothing outside imports it.

- Each remote call is sent once and has a deadline: the SDK's own retries, which would send a create up to four times,
  are taken out. Retrying is the caller's.
- The SDK waits for a new sandbox to be scheduled, for up to 21 minutes, and ends it when whoever waits gives up. Here a
  create returns with the id, as soon as there is one.
- The package's version is pinned: some of what is used here is not public.
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from app.kit.money import SECONDS_PER_HOUR
from app.providers.errors import RateLimited
from app.providers.modal_cloud.facts import AppCost, Facts, Spec, Spent
from app.providers.modal_cloud.sending import Made, on_next_create, take_retries_out
from app.providers.reading import Malformed, number
from app.providers.wire import WireOptions

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PAGES_MAX = 5_000
_BUILD_SECONDS = 10.0
"""When to look again for an image that is being built."""
_HOURS_MAX = 24 * 366
_CREATED_MAX = 2**33
"""A time after which nothing was made yet, in seconds since 1970."""
_TUNNEL_SECONDS = 0.5
"""How long the cloud may wait for a container's ways in. Not 0, which is the same as not saying."""


class Sdk:
    """One workspace's client, connected by the first call that needs it."""

    def __init__(self, *, token: tuple[str, str], server_url: str, app_name: str, options: WireOptions) -> None:
        self._token = token
        self._server_url = server_url
        self._app_name = app_name
        self._options = options
        self._client: Any = None
        self._opening = asyncio.Lock()
        self._app: Any = None
        self._builds: dict[str, asyncio.Task[Any]] = {}

    async def rates(self) -> dict[str, Decimal]:
        """Return the workspace's rates, in whatever units they are."""
        reply = await (await self._stub()).WorkspaceBillingRates(_pb().WorkspaceBillingRatesRequest())
        return {name: _decimal(rate) for name, rate in reply.rates.items()}

    async def prepare(self, spec: Spec, wait_seconds: float) -> Any:  # noqa: ANN401 - the SDK's image
        """Make sure of the app and the image, and return the image.

        Raises:
            RateLimited: it is still being built, which may take minutes the first time and goes on meanwhile.
        """
        app = await self._the_app()
        build = self._builds.get(spec.image)
        if build is None or (build.done() and (build.cancelled() or build.exception())):
            image = _module("modal._image")._Image.from_registry(  # noqa: SLF001 - see the module's docstring
                spec.image, setup_dockerfile_commands=list(spec.build_lines)
            )
            self._builds[spec.image] = build = asyncio.create_task(image.build(app))
            build.add_done_callback(lambda task: task.cancelled() or task.exception())
        await asyncio.wait({build}, timeout=wait_seconds)
        if not build.done():
            raise RateLimited("the image is not built yet", retry_after_seconds=_BUILD_SECONDS)
        return build.result()

    def forget(self, spec: Spec) -> None:
        """Look the app up and build the image anew next time: one of them is no more."""
        self._app = None
        self._builds.pop(spec.image, None)

    async def create(self, spec: Spec, image: Any, on_send: Callable[[], None]) -> str:  # noqa: ANN401 - as above
        """Make a sandbox and return its id. ``on_send`` is called right before it is asked for."""
        on_next_create(on_send)
        try:
            await _module("modal.sandbox._sandbox")._Sandbox.create(  # noqa: SLF001 - as above
                *spec.command,
                app=await self._the_app(),
                name=spec.name,
                tags=dict(spec.tags),
                image=image,
                env=dict(spec.env),
                gpu=spec.gpu,
                cpu=(spec.cores, spec.cores),
                memory=(spec.ram_mib, spec.ram_mib),
                unencrypted_ports=list(spec.ports),
                timeout=spec.timeout_seconds,
                client=await self._connected(),
            )
        except Made as made:
            return made.sandbox_id
        raise Malformed("a sandbox was made that nobody told of")

    async def find_by_name(self, name: str) -> str:
        """Return the id of the living sandbox with a name."""
        environment = _module("modal._object")._get_environment_name(None)  # noqa: SLF001 - as above
        request = _pb().SandboxGetFromNameRequest(
            app_name=self._app_name, sandbox_name=name, environment_name=environment
        )
        impl = _module("modal.sandbox._impl_v1").SandboxImplV1
        return str((await impl.lookup_by_name(await self._connected(), request)).sandbox_id)

    async def get(self, sandbox_id: str) -> Facts:
        """Return a sandbox."""
        sandbox = await self._sandbox(sandbox_id)
        await sandbox.poll()
        if sandbox.result is not None and sandbox.result.status:
            return Facts(sandbox_id, {}, int(sandbox.result.status), str(sandbox.result.exception))
        tags = await sandbox.get_tags()
        tunnels: Mapping[int, Any] = {}
        with suppress(_module("modal.exception").SandboxTimeoutError):
            tunnels = await sandbox.tunnels(_TUNNEL_SECONDS)
        return Facts(sandbox_id, tags, 0, tunnels=_open_tunnels(tunnels))

    async def sandboxes(
        self, *, tags: Mapping[str, str], finished: bool = False, since: datetime = _EPOCH
    ) -> list[Facts]:
        """Return the app's sandboxes with these tags, newest first, those made before ``since`` left out."""
        app, client, pb = await self._the_app(), await self._connected(), _pb()
        impl = _module("modal.sandbox._impl_v2").SandboxImplV2
        wanted = [pb.SandboxTag(tag_name=name, tag_value=value) for name, value in tags.items()]
        found: list[Facts] = []
        before: float | None = None
        for _ in range(_PAGES_MAX):
            page = await impl.list_page(
                client,
                pb.SandboxListRequest(
                    app_id=app.app_id, before_timestamp=before, include_finished=finished, tags=wanted
                ),
            )
            found += [_facts(row) for row in page.sandboxes if row.created_at >= since.timestamp()]
            last = page.sandboxes[-1].created_at if page.sandboxes else since.timestamp()
            if last <= since.timestamp():
                return found
            if before is not None and last >= before:
                raise Malformed("a list goes round in circles")
            before = last
        raise Malformed("a list does not end")

    async def terminate(self, sandbox_id: str) -> None:
        """End a sandbox."""
        await (await self._sandbox(sandbox_id)).terminate()

    async def spent(self, sandbox_id: str, *, start: datetime, end: datetime) -> Spent | None:
        """Return what a sandbox cost within a period, None where nothing is booked."""
        request = _pb().SandboxGetStatsRequest(sandbox_id=sandbox_id)
        request.since.FromDatetime(start.astimezone(UTC))
        request.until.FromDatetime(end.astimezone(UTC))
        reply = await (await self._stub()).SandboxGetStats(request)
        if not reply.HasField("cost"):
            return None
        hours = number(_decimal(str(reply.duration_hours)), high=_HOURS_MAX)
        return Spent(_decimal(reply.cost), int(hours * SECONDS_PER_HOUR))

    async def report(self, *, start: datetime, end: datetime, resolution: str) -> list[AppCost]:
        """Return what every app cost, by whole hours or days."""
        workspace = _module("modal._workspace")._Workspace.from_context(  # noqa: SLF001 - see the module's docstring
            client=await self._connected()
        )
        items = await workspace.billing.report(
            start=start.astimezone(UTC), end=end.astimezone(UTC), resolution=resolution, tag_names=["*"]
        )
        return [AppCost(str(item.object_id), _decimal(str(item.cost))) for item in items]

    async def app_id(self) -> str:
        """Return the id of our app."""
        return str((await self._the_app()).app_id)

    async def aclose(self) -> None:
        """Close the connection."""
        client, self._client, self._app = self._client, None, None
        for build in self._builds.values():
            build.cancel()
        await asyncio.gather(*self._builds.values(), return_exceptions=True)
        if client is not None:
            await client.close()

    async def _sandbox(self, sandbox_id: str) -> Any:  # noqa: ANN401 - the SDK's
        """Return what stands behind the SDK's sandbox, whose own streams can be made only in its own loop."""
        impl = _module("modal.sandbox._sandbox").impl_class_for_sandbox_id(sandbox_id)
        return impl(await self._connected(), sandbox_id)

    async def _stub(self) -> Any:  # noqa: ANN401 - the SDK's
        return (await self._connected())._stub  # noqa: SLF001 - see the module's docstring

    async def _the_app(self) -> Any:  # noqa: ANN401 - the SDK's
        client = await self._connected()
        if self._app is None:
            app = _module("modal.app")._App  # noqa: SLF001 - see the module's docstring
            self._app = await app.lookup(self._app_name, client=client, create_if_missing=True)
        return self._app

    async def _connected(self) -> Any:  # noqa: ANN401 - the SDK's
        async with self._opening:
            if self._client is None:
                kind = _pb().CLIENT_TYPE_CLIENT
                client = _module("modal.client")._Client(self._server_url, kind, self._token)  # noqa: SLF001 - see above
                try:
                    async with asyncio.timeout(self._options.connect_seconds):
                        await client._open()  # noqa: SLF001 - as above
                except TimeoutError as error:
                    raise ConnectionRefusedError("no connection within the deadline") from error
                take_retries_out(client._stub, seconds=self._options.first_byte_seconds)  # noqa: SLF001 - as above
                self._client = client
            return self._client


def load() -> None:
    """Import the SDK, which takes about half a second."""
    for name in ("modal", "modal.app", "modal.client", "modal.sandbox._sandbox", "modal._workspace", "modal._image"):
        _module(name)


def _facts(row: Any) -> Facts:  # noqa: ANN401 - the SDK's
    return Facts(
        sandbox_id=row.id,
        tags={tag.tag_name: tag.tag_value for tag in row.tags},
        result=int(row.task_info.result.status),
        words=row.task_info.result.exception,
        tunnels=_open_tunnels({tunnel.container_port: tunnel for tunnel in row.tunnels}),
        began=row.task_info.started_at > 0,
        created_at=_EPOCH + timedelta(seconds=float(number(_decimal(str(row.created_at)), high=_CREATED_MAX))),
        timeout_seconds=int(row.timeout_secs) or None,
    )


def _open_tunnels(tunnels: Mapping[int, Any]) -> dict[int, tuple[str, int]]:
    return {
        inner: (tunnel.unencrypted_host, tunnel.unencrypted_port)
        for inner, tunnel in tunnels.items()
        if tunnel.unencrypted_host
    }


def _decimal(text: str) -> Decimal:
    try:
        found = Decimal(text or "0")
    except InvalidOperation as error:
        raise Malformed("an amount is no number") from error
    if not found.is_finite():
        raise Malformed("an amount is no number")
    return found


def _pb() -> Any:  # noqa: ANN401 - the SDK's
    return _module("modal_proto.api_pb2")


def _module(name: str) -> Any:  # noqa: ANN401 - imported when it is needed, since it need not be installed
    return importlib.import_module(name)
