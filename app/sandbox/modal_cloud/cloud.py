"""Modal's sandboxes: made, listed, ended, each with a real SSH server behind its tunnel."""

from __future__ import annotations

import asyncio
import itertools
import string
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, ClassVar

from grpclib import GRPCError, Status
from modal_proto import api_pb2
from starlette.requests import Request
from starlette.routing import Route

from app.sandbox.answers import Refusal
from app.sandbox.clouds import Call, Cloud
from app.sandbox.gpus import gpu_facts
from app.sandbox.limits import Pace
from app.sandbox.modal_cloud.books import report, stats
from app.sandbox.modal_cloud.launching import Wanted, read_wanted
from app.sandbox.modal_cloud.lookups import Lookups, both_kinds
from app.sandbox.modal_cloud.market import GpuKind, built_in_kinds, rates
from app.sandbox.modal_cloud.sandboxes import (
    TERMINATED,
    TIMEOUT,
    ModalSandbox,
    result_of,
)
from app.sandbox.modal_cloud.serving import Door, Rpc
from app.sandbox.modal_cloud.workspace import Workspace
from app.sandbox.world import World

_ID_LENGTH = 22
_ID_LETTERS = string.ascii_letters + string.digits
_PAGE = 20


class ModalCloud(Cloud):
    """One workspace. ``start`` opens its port, ``aclose`` shuts it."""

    provider: ClassVar[str] = "modal"

    def __init__(self, world: World, *, at: datetime) -> None:
        super().__init__(world)
        self.kinds = built_in_kinds()
        self.workspace = Workspace(self._new_id)
        self.lookups = Lookups(world, self.workspace, late_listed=self._late)
        self._told = itertools.count(int(at.timestamp() * 1_000_000))
        self._limits: set[asyncio.Task[None]] = set()
        self._door: Door | None = None

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> str:
        """Answer on a port, 0 for any free one, and return the address.

        Raises:
            OSError: the port can't be had.
        """
        self._door = Door(self.world, self.provider, self.rpcs())
        return f"http://{host}:{await self._door.open(host, port)}"

    async def aclose(self) -> None:
        """Cut all connections and forget all time limits."""
        door, self._door = self._door, None
        if door is not None:
            await door.close()
        for task in self._limits:
            task.cancel()
        await asyncio.gather(*self._limits, return_exceptions=True)

    def rpcs(self) -> dict[str, Rpc]:
        """Return the calls that are answered."""
        return {
            **self.workspace.rpcs(),
            **self.lookups.rpcs(),
            "WorkspaceBillingRates": Rpc("list_offers", self._rates),
            "WorkspaceBillingReport": Rpc("charges", self._report),
            "SandboxCreate": Rpc("create", self._create, _named),
            **both_kinds(
                {
                    "SandboxGetStats": Rpc("charges", self._stats, self.lookups.about),
                    "SandboxTerminate": Rpc("destroy", self._terminate, self.lookups.about),
                }
            ),
        }

    def routes(self) -> list[Route]:
        """Return nothing: this cloud speaks gRPC."""
        return []

    def admit(self, request: Request, operation: str) -> None:
        """Nobody comes this way."""

    def paces(self, operation: str) -> tuple[Pace, ...]:  # noqa: ARG002 - none is documented
        """Return no limits."""
        return ()

    def refusal(self, kind: str, *, pace: Pace | None = None, status: int | None = None) -> Refusal:  # noqa: ARG002 - as above
        """Return what HTTP is told."""
        return Refusal(415, f"gRPC is spoken here: {kind}")

    def offers(self, at: datetime) -> list[dict[str, object]]:  # noqa: ARG002 - nothing here moves with time
        """Return every GPU string with its stock and the price of one GPU alone."""
        return [
            {
                "provider": self.provider,
                "id": kind.name,
                "gpu_name": kind.gpu_name,
                "gpu_count": 1,
                "price_micros_per_hour": kind.micros_per_hour,
                "stock": kind.stock,
            }
            for kind in self.kinds.values()
        ]

    def change_offer(self, offer_id: str, deed: str, body: Mapping[str, Any]) -> bool:
        """``withdraw`` (no stock), ``restore`` (``stock``, or 1) or ``reprice`` (``micros_per_second``, or 25 % more)."""
        kind = self.kinds.get(offer_id.partition(":")[0])
        if kind is None:
            return False
        match deed:
            case "withdraw":
                kind.stock = 0
            case "restore":
                kind.stock = int(body.get("stock", 1))
            case "reprice":
                kind.micros_per_second = int(body.get("micros_per_second", kind.micros_per_second * 5 // 4))
            case _:
                return False
        return True

    async def _rates(self, _: Any) -> Any:  # noqa: ANN401 - protobuf's, as below
        return api_pb2.WorkspaceBillingRatesResponse(rates=rates(self.kinds))

    async def _report(self, request: Any) -> Any:  # noqa: ANN401 - as above
        return report(self.lookups.all(), request, until=self._booked())

    async def _stats(self, request: Any) -> Any:  # noqa: ANN401 - as above
        return stats(self.lookups.one(request.sandbox_id), request, until=self._booked())

    async def _create(self, request: Any) -> Any:  # noqa: ANN401 - as above
        call = self._read_call("create", *_named(request))
        wanted = read_wanted(request, self.workspace.secrets)
        if any(one.alive and one.app_id == wanted.app_id and one.marker == wanted.name for one in self.lookups.all()):
            raise GRPCError(Status.ALREADY_EXISTS, f"Sandbox with name '{wanted.name}' already exists.")
        kind = self._take(wanted, call)
        sandbox = self._new_sandbox(kind, wanted, at=call.at)
        self.world.fleet.launch(sandbox, at=call.at)
        self._limit(sandbox)
        return api_pb2.SandboxCreateResponse(sandbox_id=sandbox.id)

    def _take(self, wanted: Wanted, call: Call) -> GpuKind:
        """Take one from the stock, with whatever happened to it since it was listed."""
        kind = self.kinds.get(wanted.gpu)
        if kind is None or not 1 <= wanted.gpu_count <= kind.count_max:
            raise GRPCError(Status.INVALID_ARGUMENT, f"Unknown GPU type: {wanted.gpu}:{wanted.gpu_count}")
        trouble = self.strikes_offer(call)
        if trouble == "offer_drained":
            kind.stock = 0
        if kind.stock < 1 or trouble == "offer_gone":
            raise GRPCError(Status.RESOURCE_EXHAUSTED, "Insufficient capacity to create sandbox.")
        if trouble == "price_changed":
            kind.micros_per_second = kind.micros_per_second * 5 // 4
        kind.stock -= 1
        return kind

    def _new_sandbox(self, kind: GpuKind, wanted: Wanted, *, at: datetime) -> ModalSandbox:
        return ModalSandbox(
            provider=self.provider,
            id=self._new_id("sb"),
            marker=wanted.name or None,
            offer_id=f"{wanted.gpu}:{wanted.gpu_count}",
            gpu=gpu_facts(kind.gpu_name, wanted.gpu_count, kind.vram_mib),
            price_micros_per_hour=kind.micros_per_hour * wanted.gpu_count + wanted.shape_micros_per_hour,
            created_at=at,
            boot_seconds=self.world.config.boot_seconds,
            username="root",
            keys=list(wanted.keys),
            release=_returning(kind),
            app_id=wanted.app_id,
            name=wanted.name or None,
            tags=dict(wanted.tags),
            env=dict(wanted.env),
            ports=wanted.ports,
            command=wanted.command,
            image_id=wanted.image_id,
            timeout_seconds=wanted.timeout_seconds,
            told_at=next(self._told) / 1_000_000,
            resource=kind.name.rstrip("!+"),
        )

    def end_time_of(self, sandbox: ModalSandbox) -> None:
        """End a sandbox as its time limit does."""
        if sandbox.alive:
            sandbox.result = TIMEOUT
            self.world.fleet.terminate(sandbox, at=self.world.clock.now())

    def _limit(self, sandbox: ModalSandbox) -> None:
        """End the sandbox when its time is over."""

        async def end() -> None:
            """Wait for the end and bring it about."""
            await self.world.clock.sleep(sandbox.timeout_seconds)
            self.end_time_of(sandbox)

        task = asyncio.create_task(end())
        self._limits.add(task)
        task.add_done_callback(self._limits.discard)

    async def _terminate(self, request: Any) -> Any:  # noqa: ANN401 - as above
        sandbox = self.lookups.one(request.sandbox_id)
        fault = self.strikes("delete_fails", self._read_call("destroy", *self.lookups.about(request)))
        if fault and fault.mode != "lies":
            raise GRPCError(Status.INTERNAL, "Something went wrong.")
        before = result_of(sandbox)
        if sandbox.alive and not fault:
            sandbox.result = TERMINATED
            self.world.fleet.terminate(sandbox, at=self.world.clock.now())
        return api_pb2.SandboxTerminateResponse(existing_result=before if before.status else None)

    def _read_call(self, operation: str, *subjects: str) -> Call:
        return Call(operation, {}, {}, {}, self.world.clock.now(), frozenset(subjects))

    def _late(self, sandboxes: list[ModalSandbox]) -> set[str]:
        """Return the ids of those that a list shows now."""
        return {one.id for one in self.late_listed(self._read_call("list_machines"), [*sandboxes])}

    def _booked(self) -> datetime:
        return self.world.clock.now() - timedelta(seconds=self.world.config.charges_lag_seconds)

    def _new_id(self, prefix: str) -> str:
        return f"{prefix}-{''.join(self.world.random.choices(_ID_LETTERS, k=_ID_LENGTH))}"


def _named(request: Any) -> frozenset[str]:  # noqa: ANN401 - protobuf's
    return frozenset({request.definition.name, *(tag.tag_value for tag in request.tags)} - {""})


def _returning(kind: GpuKind) -> Callable[[], None]:
    def release() -> None:
        """Count one of the kind as free again."""
        kind.stock += 1

    return release
