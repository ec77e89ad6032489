"""What a Hyperstack machine can be told to do. All but the delete are GETs that change its state."""

from __future__ import annotations

from collections.abc import Callable

from starlette.routing import Route

from app.sandbox.addresses import free_address
from app.sandbox.clouds import Call, Cloud
from app.sandbox.hyperstack.errors import bad_request, hyperstack_error, out_of_stock
from app.sandbox.hyperstack.market import ADDRESS_MICROS_PER_HOUR
from app.sandbox.hyperstack.virtual_machines import VirtualMachine, status_of
from app.sandbox.machines import Span, Stage
from app.sandbox.world import World

NET = 78
"""Machines have loopback addresses of 127.78.0.0/16."""

Find = Callable[[Call], VirtualMachine]


class Power:
    """The deeds on a machine: each needs it in a certain state, and says so in words when it is in another."""

    def __init__(self, cloud: Cloud, find: Find) -> None:
        self._cloud = cloud
        self._find = find
        self._fleet = cloud.world.fleet

    def routes(self, one: str) -> list[Route]:
        """Return the paths below a machine's own."""
        return [
            self._cloud.route(f"{one}/start", "GET", "start", self._start),
            self._cloud.route(f"{one}/stop", "GET", "stop", self._stop),
            self._cloud.route(f"{one}/hard-reboot", "GET", "reboot", self._reboot),
            self._cloud.route(f"{one}/hibernate", "GET", "hibernate", self._hibernate),
            self._cloud.route(f"{one}/hibernate-restore", "GET", "start", self._restore),
            self._cloud.route(one, "DELETE", "destroy", self._delete),
        ]

    async def _start(self, call: Call) -> object:
        machine = self._in_state(call, "SHUTOFF", "started")
        _end_stop(machine, call)
        machine.boots_as = "STARTING"
        self._fleet.boot(machine, at=call.at)
        return _accepted("start")

    async def _stop(self, call: Call) -> object:
        machine = self._in_state(call, "ACTIVE ERROR", "stopped")
        self._fleet.stop(machine, at=call.at)
        machine.charge("gpu", machine.price_micros_per_hour, at=call.at)  # shut down, it is billed in full
        machine.stopped.append(Span("stopped", call.at, 0))
        return _accepted("stop")

    async def _reboot(self, call: Call) -> object:
        machine = self._in_state(call, "ACTIVE ERROR", "rebooted")
        machine.boots_as = "REBOOTING"
        self._fleet.reboot(machine, at=call.at)
        return _accepted("reboot")

    async def _hibernate(self, call: Call) -> object:
        machine = self._in_state(call, "ACTIVE", "hibernated")
        if not machine.flavor.hibernates:
            raise bad_request("The flavor of this virtual machine does not support hibernation.")
        machine.retains_ip = machine.floating and call.query.get("retain_ip") == "true"
        address = ADDRESS_MICROS_PER_HOUR if machine.retains_ip else 0
        self._fleet.hibernate(
            machine,
            seconds=machine.boot_seconds / 2,
            disk_micros_per_hour=machine.flavor.hibernated_micros_per_hour + address,
            at=call.at,
        )
        return _accepted("hibernation")

    async def _restore(self, call: Call) -> object:
        machine = self._in_state(call, "HIBERNATED", "restored")
        drained = self._cloud.strikes("offer_drained", call)
        taken = drained or self._cloud.strikes("offer_gone", call)
        if drained:
            machine.flavor.stock = 0
        if taken and taken.mode == "later":
            machine.boot_mode = "failed"
        elif taken or machine.flavor.stock < 1:
            raise out_of_stock()
        if not machine.retains_ip:
            machine.address = take_address(self._cloud.world)
        machine.flavor.stock = max(0, machine.flavor.stock - 1)
        machine.release = returning(machine)
        machine.charge("disk", 0, at=call.at)
        machine.boots_as = "RESTORING"
        self._fleet.boot(machine, at=call.at)
        return _accepted("hibernation restore")

    async def _delete(self, call: Call) -> object:
        machine = self._find(call)
        if machine.stage is Stage.TERMINATING:
            raise bad_request("Virtual machine is in DELETING state and cannot be deleted.")
        fault = self._cloud.strikes("delete_fails", call)
        if fault and fault.mode != "lies":
            raise self._cloud.refusal("server_error", status=fault.status)
        if not fault:
            _end_stop(machine, call)
            seconds = self._cloud.world.config.terminate_seconds
            self._fleet.terminate_slowly(machine, seconds=seconds, listed_seconds=0)
        return _accepted("deletion")

    def _in_state(self, call: Call, allowed: str, deed: str) -> VirtualMachine:
        machine = self._find(call)
        status = status_of(machine, call.at)
        if status not in allowed.split():
            raise bad_request(f"Virtual machine is in {status} state and cannot be {deed}.")
        return machine


def take_address(world: World) -> str:
    """Return a public address that is free."""
    taken = {machine.address for machine in world.fleet.machines("hyperstack") if machine.alive}
    try:
        return free_address(world.random, net=NET, port=world.config.ssh_port, taken=taken)
    except OSError as error:
        raise hyperstack_error(500, "server_error", str(error)) from None


def returning(machine: VirtualMachine) -> Callable[[], None]:
    """Return the deed that gives a machine's capacity back."""

    def release() -> None:
        """Count its flavor as free again."""
        machine.flavor.stock += 1

    return release


def _end_stop(machine: VirtualMachine, call: Call) -> None:
    for span in machine.stopped:
        span.end = span.end or call.at


def _accepted(what: str) -> dict[str, object]:
    return {"status": True, "message": f"Virtual machine {what} request was successful."}
