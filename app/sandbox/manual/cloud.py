"""The desk on its own paths, below ``/desk``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar

from starlette.requests import Request
from starlette.routing import Route

from app.kit.money import dollars
from app.sandbox.answers import Refusal
from app.sandbox.clouds import Call, Cloud
from app.sandbox.gpus import gpu_facts
from app.sandbox.limits import Pace
from app.sandbox.machines import Machine, Stage
from app.sandbox.world import World

_MIB_PER_GIB = 1024
_MARKER_MAX = 64
_STATUS = {Stage.BOOTING: "booting", Stage.RUNNING: "ready", Stage.FAILED: "failed"}
_REFUSALS: dict[str, tuple[int, str, str]] = {
    "bad_json": (422, "wrong_order", "The order is not a JSON object with all its fields."),
    "rate_limited": (429, "too_fast", "Too many calls."),
    "server_error": (500, "broken", "The desk is broken."),
    "unauthorized": (401, "unauthorized", "This token is none of the desk's."),
    "no_credit": (402, "no_credit", "The account is not paid up."),
}


@dataclass(eq=False, slots=True)
class Rack:
    """Machines of one kind in one place."""

    offer_id: str
    sheet_gpu: str
    """The GPU as the sheet names it."""
    gpu_name: str
    gpu_count: int
    vram_gib: int
    price_micros_per_hour: int
    region: str
    country: str
    stock: int


_BUILT_IN = (
    ("berlin-a6000", "NVIDIA RTX A6000", "RTX A6000", 1, 48, 480_000, "berlin-1", "DE", 16),
    ("berlin-a6000x4", "NVIDIA RTX A6000", "RTX A6000", 4, 48, 1_880_000, "berlin-1", "DE", 8),
    ("oslo-l40s", "NVIDIA L40S", "L40S", 1, 48, 820_000, "oslo-1", "NO", 16),
    ("oslo-l40sx8", "NVIDIA L40S", "L40S", 8, 48, 6_400_000, "oslo-1", "NO", 4),
    ("oslo-h100", "NVIDIA H100 80GB HBM3", "H100 SXM", 1, 80, 2_450_000, "oslo-1", "NO", 12),
    ("oslo-h100x8", "NVIDIA H100 80GB HBM3", "H100 SXM", 8, 80, 19_200_000, "oslo-1", "NO", 4),
    ("porto-rtx4090", "NVIDIA GeForce RTX 4090", "RTX 4090", 1, 24, 410_000, "porto-1", "PT", 24),
    ("porto-rtx4090x2", "NVIDIA GeForce RTX 4090", "RTX 4090", 2, 24, 800_000, "porto-1", "PT", 16),
)


@dataclass(kw_only=True, eq=False, slots=True)
class DeskMachine(Machine):
    """A machine that the desk has rented out."""

    rack: Rack
    env: dict[str, str] = field(default_factory=dict)


class DeskCloud(Cloud):
    """Racks and rented machines of one desk."""

    provider: ClassVar[str] = "manual"

    def __init__(self, world: World, *, at: datetime) -> None:  # noqa: ARG002 - prices stand on the sheet, they don't move
        super().__init__(world)
        self.racks = {row[0]: Rack(*row) for row in _BUILT_IN}

    def routes(self) -> list[Route]:
        """Return the desk's paths."""
        return [
            self.route("/desk/stock", "GET", "list_offers", self._stock),
            self.route("/desk/machines", "GET", "list_machines", self._list),
            self.route("/desk/machines", "POST", "create", self._rent),
            self.route("/desk/machines/{id}", "GET", "get_machine", self._get),
            self.route("/desk/machines/{id}", "DELETE", "destroy", self._give_back),
        ]

    def sheet(self, at: datetime) -> str:
        """Return the price sheet that goes with the desk, as of a moment."""
        lines = [f"as_of = {at:%Y-%m-%dT%H:%M:%SZ}"]
        for rack in self.racks.values():
            lines += [
                "\n[[offers]]",
                f'id = "{rack.offer_id}"',
                f'gpu = "{rack.sheet_gpu}"',
                f"gpu_count = {rack.gpu_count}",
                f"vram_gib = {rack.vram_gib}",
                f'price_per_hour = "{dollars(rack.price_micros_per_hour)}"',
                f'region = "{rack.region}"',
                f'country = "{rack.country}"',
            ]
        return "\n".join(lines) + "\n"

    def admit(self, request: Request, operation: str) -> None:  # noqa: ARG002 - nothing here is open to all
        """Check the token."""
        if request.headers.get("authorization") != f"Bearer {self.world.config.desk_token}":
            raise self.refusal("unauthorized")

    def paces(self, operation: str) -> tuple[Pace, ...]:  # noqa: ARG002 - a desk sets no pace
        """Return no limits."""
        return ()

    def refusal(self, kind: str, *, pace: Pace | None = None, status: int | None = None) -> Refusal:  # noqa: ARG002 - a desk does not tell the pace
        """Return the desk's words."""
        usual, code, message = _REFUSALS[kind]
        return _refusal(status or usual, code, message)

    def offers(self, at: datetime) -> list[dict[str, object]]:  # noqa: ARG002 - racks don't change with time
        """Return every rack with its stock."""
        return [
            {
                "provider": self.provider,
                "id": rack.offer_id,
                "gpu_name": rack.gpu_name,
                "gpu_count": rack.gpu_count,
                "price_micros_per_hour": rack.price_micros_per_hour,
                "stock": rack.stock,
            }
            for rack in self.racks.values()
        ]

    def change_offer(self, offer_id: str, deed: str, body: Mapping[str, Any]) -> bool:
        """``withdraw`` (no stock) or ``restore`` (``stock``, or 1); a price changes on the sheet."""
        rack = self.racks.get(offer_id)
        if rack is None or deed not in {"withdraw", "restore"}:
            return False
        rack.stock = 0 if deed == "withdraw" else int(body.get("stock", 1))
        return True

    async def _stock(self, call: Call) -> object:
        drained = self.strikes("offer_drained", call)
        return {"stock": {rack.offer_id: 0 if drained else rack.stock for rack in self.racks.values()}}

    async def _list(self, call: Call) -> object:
        prefix = call.query.get("marker_prefix", "")
        machines = [one for one in self.late_listed(call, self.machines()) if (one.marker or "").startswith(prefix)]
        return {"machines": [_row(machine) for machine in machines]}

    async def _get(self, call: Call) -> object:
        return {"machine": _row(self._machine(call))}

    async def _rent(self, call: Call) -> object:
        body = call.body
        marker, public_key = body.get("marker"), body.get("public_key")
        if not isinstance(marker, str) or not 0 < len(marker) <= _MARKER_MAX or not isinstance(public_key, str):
            raise self.refusal("bad_json")
        for machine in self.machines():
            if machine.marker == marker and machine.alive:
                return {"machine": _row(machine)}
        rack = self.racks.get(str(body.get("offer")))
        if rack is None:
            raise _refusal(404, "unknown_offer", "There is no such offer.")
        trouble = self.strikes_offer(call)
        if trouble == "offer_drained":
            rack.stock = 0
        if rack.stock < 1 or trouble == "offer_gone":
            raise _refusal(409, "no_capacity", "None of these is free.")
        rack.stock -= 1
        machine = self._new_machine(rack, marker, public_key, dict(body.get("env") or {}), at=call.at)
        self.world.fleet.launch(machine, at=call.at)
        return {"machine": _row(machine)}

    def _new_machine(self, rack: Rack, marker: str, key: str, env: dict[str, str], *, at: datetime) -> DeskMachine:
        return DeskMachine(
            provider=self.provider,
            id=f"m-{self.world.random.getrandbits(48):012x}",
            marker=marker,
            offer_id=rack.offer_id,
            gpu=gpu_facts(rack.gpu_name, rack.gpu_count, rack.vram_gib * _MIB_PER_GIB),
            price_micros_per_hour=rack.price_micros_per_hour,
            created_at=at,
            boot_seconds=self.world.config.boot_seconds,
            username="root",
            keys=[key],
            release=_returning(rack),
            rack=rack,
            env=env,
        )

    async def _give_back(self, call: Call) -> object:
        machine = self._machine(call)
        fault = self.strikes("delete_fails", call)
        if fault and fault.mode != "lies":
            raise self.refusal("server_error", status=fault.status)
        if not fault:
            self.world.fleet.terminate(machine, at=call.at)
        return {"machine": {**_row(machine), "status": "leaving"}}

    def _machine(self, call: Call) -> Machine:
        machine = self.world.fleet.find(str(call.path["id"]))
        if machine is None or machine.provider != self.provider or not machine.found(call.at):
            raise _refusal(404, "unknown_machine", "There is no such machine.")
        return machine


def _row(machine: Machine) -> dict[str, Any]:
    """Return a machine as the wire shows it."""
    address, port = machine.endpoint or (None, None)
    return {
        "id": machine.id,
        "marker": machine.marker,
        "status": _STATUS.get(machine.stage, "leaving"),
        "host": address,
        "port": port,
        "user": machine.username,
        "ports": {},
        "message": "",
    }


def _refusal(status: int, code: str, message: str) -> Refusal:
    return Refusal(status, {"error": {"code": code, "message": message}})


def _returning(rack: Rack) -> Callable[[], None]:
    def release() -> None:
        """Count one of the rack as free again."""
        rack.stock += 1

    return release
