"""Lambda on its own paths."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, ClassVar, cast

from starlette.requests import Request
from starlette.routing import Route

from app.sandbox.addresses import free_address
from app.sandbox.answers import Refusal
from app.sandbox.clouds import Call, Cloud
from app.sandbox.gpus import gpu_facts
from app.sandbox.lambda_cloud.errors import lambda_error, no_capacity, not_found
from app.sandbox.lambda_cloud.images import image_rows
from app.sandbox.lambda_cloud.instances import MICROS_PER_CENT, Instance, instance_row, region_row, type_row
from app.sandbox.lambda_cloud.keys import NamedKeys
from app.sandbox.lambda_cloud.launching import Wanted, check_image, read_wanted
from app.sandbox.lambda_cloud.market import InstanceType, TypeBook, built_in_types, read_types
from app.sandbox.limits import Pace
from app.sandbox.machines import Stage
from app.sandbox.world import Steps, World

_NAME_MAX = 64
_NET = 77
"""Machines have loopback addresses of 127.77.0.0/16."""
_PACE = Pace("lambda", 1)
_LAUNCH_PACE = Pace("lambda launch", 12)
_ERRORS = {
    "bad_json": (400, "global/invalid-parameters", "Invalid request data.", None),
    "rate_limited": (429, "global/rate-limit-exceeded", "Too many requests.", "Wait and try again."),
    "server_error": (500, "global/internal-error", "An internal server error occurred.", "Try again later."),
    "unauthorized": (401, "global/invalid-api-key", "API key was invalid, expired, or deleted.",
                     "Check your API key or create a new one, then try again."),
    "no_credit": (400, "global/quota-exceeded", "Quota exceeded.", "Contact Support to increase your quota."),
}  # fmt: skip


class LambdaCloud(Cloud):
    """Types, instances, keys and images of one Lambda account."""

    provider: ClassVar[str] = "lambda"

    def __init__(self, world: World, *, at: datetime) -> None:
        super().__init__(world)
        config = world.config
        types = read_types(config.market / "lambda-types.csv") if config.market else built_in_types()
        self.book = TypeBook(types, seed=config.seed, steps=Steps(config.price_step_seconds, at=at))
        self.keys = NamedKeys(world.random, in_use=self._uses_key)

    def routes(self) -> list[Route]:
        """Return Lambda's paths, without trailing slashes."""
        v1, operations = "/api/v1", "/api/v1/instance-operations"
        return [
            self.route(f"{v1}/instance-types", "GET", "list_offers", self._types),
            self.route(f"{v1}/instances", "GET", "list_machines", self._list),
            self.route(f"{v1}/instances/{{id}}", "GET", "get_machine", self._get),
            self.route(f"{v1}/instances/{{id}}", "POST", "label", self._rename),
            self.route(f"{operations}/launch", "POST", "create", self._launch),
            self.route(f"{operations}/terminate", "POST", "destroy", self._terminate),
            self.route(f"{operations}/restart", "POST", "reboot", self._restart),
            self.route(f"{v1}/ssh-keys", "GET", "list_keys", self.keys.list),
            self.route(f"{v1}/ssh-keys", "POST", "add_key", self.keys.add),
            self.route(f"{v1}/ssh-keys/{{id}}", "DELETE", "remove_key", self.keys.remove),
            self.route(f"{v1}/images", "GET", "images", self._images),
            self.route(f"{v1}/file-systems", "GET", "account", self._nothing),
            self.route(f"{v1}/firewall-rulesets", "GET", "account", self._nothing),
            self.route(f"{v1}/firewall-rules", "GET", "account", self._nothing),
        ]

    def admit(self, request: Request, operation: str) -> None:  # noqa: ARG002 - nothing here is open to all
        """Check the key: as bearer token, or as the user of HTTP basic."""
        scheme, _, value = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "basic":
            try:
                value = base64.b64decode(value).decode().partition(":")[0]
            except (binascii.Error, UnicodeDecodeError):
                value = ""
        if scheme.lower() not in {"basic", "bearer"} or value != self.world.config.lambda_key:
            raise self.refusal("unauthorized")

    def paces(self, operation: str) -> tuple[Pace, ...]:
        """Return one call a second over all, one launch in twelve seconds."""
        return (_PACE, _LAUNCH_PACE) if operation == "create" else (_PACE,)

    def refusal(self, kind: str, *, pace: Pace | None = None, status: int | None = None) -> Refusal:  # noqa: ARG002 - Lambda does not tell the pace
        """Return Lambda's words."""
        usual, code, message, suggestion = _ERRORS[kind]
        return lambda_error(status or usual, code, message, suggestion)

    def offers(self, at: datetime) -> list[dict[str, object]]:
        """Return every type in every region with its stock."""
        return [
            {
                "provider": self.provider,
                "id": f"{kind.name}:{region}",
                "gpu_name": kind.gpu_name,
                "gpu_count": kind.gpu_count,
                "price_micros_per_hour": kind.cents_per_hour * MICROS_PER_CENT,
                "stock": stock,
            }
            for kind in self.book.all(at).values()
            for region, stock in kind.stock.items()
        ]

    def change_offer(self, offer_id: str, deed: str, body: Mapping[str, Any]) -> bool:
        """``withdraw`` (no stock), ``restore`` (``stock``, or 1) or ``reprice`` (``cents``, or 25 % more)."""
        name, _, region = offer_id.partition(":")
        kind = self.book.all(self.world.clock.now()).get(name)
        if kind is None or (region not in kind.stock and deed != "restore"):
            return False
        match deed:
            case "withdraw":
                kind.stock[region] = 0
            case "restore":
                kind.stock[region] = int(body.get("stock", 1))
            case "reprice":
                kind.cents_per_hour = int(body.get("cents", kind.cents_per_hour * 5 // 4))
            case _:
                return False
        return True

    async def _types(self, call: Call) -> object:
        drained = self.strikes("offer_drained", call)
        return {
            "data": {
                name: {
                    "instance_type": type_row(kind),
                    "regions_with_capacity_available": [
                        region_row(region) for region, stock in kind.stock.items() if stock > 0 and not drained
                    ],
                }
                for name, kind in self.book.all(call.at).items()
            }
        }

    async def _list(self, call: Call) -> object:
        instances = cast("list[Instance]", self.late_listed(call, self.machines()))
        return {"data": [instance_row(instance, at=call.at) for instance in instances]}

    async def _get(self, call: Call) -> object:
        return {"data": instance_row(self._instance(call.path["id"], call), at=call.at)}

    async def _rename(self, call: Call) -> object:
        instance, name = self._instance(call.path["id"], call), call.body.get("name")
        if not isinstance(name, str) or len(name) > _NAME_MAX:
            raise self.refusal("bad_json")
        instance.marker = name or None
        return {"data": instance_row(instance, at=call.at)}

    async def _launch(self, call: Call) -> object:
        wanted = read_wanted(call.body)
        kind = self.book.all(call.at).get(wanted.type_name)
        key = self.keys.public_key(wanted.key_name)
        if kind is None or key is None:
            missing = "Instance type" if kind is None else "SSH key"
            raise not_found(f"{missing} was not found.")
        check_image(call.body, architecture=kind.architecture, region=wanted.region)
        address = self._free_address()
        self._take(kind, wanted.region, call)
        instance = self._new_instance(kind, wanted, key=key, address=address, at=call.at)
        self.world.fleet.launch(instance, at=call.at)
        return {"data": {"instance_ids": [instance.id]}}

    def _take(self, kind: InstanceType, region: str, call: Call) -> None:
        """Take one machine from the stock, with whatever happened to it since it was listed."""
        trouble = self.strikes_offer(call)
        if trouble == "offer_drained":
            kind.stock[region] = 0
        if kind.stock.get(region, 0) < 1 or trouble == "offer_gone":
            raise no_capacity()
        if trouble == "price_changed":
            kind.cents_per_hour = kind.cents_per_hour * 5 // 4
        kind.stock[region] -= 1

    def _free_address(self) -> str:
        taken = {machine.address for machine in self.machines() if machine.alive}
        try:
            return free_address(self.world.random, net=_NET, port=self.world.config.ssh_port, taken=taken)
        except OSError as error:
            raise lambda_error(500, "provider/internal-unavailable", str(error)) from None

    def _new_instance(self, kind: InstanceType, wanted: Wanted, *, key: str, address: str, at: datetime) -> Instance:
        return Instance(
            provider=self.provider,
            id=f"{self.world.random.getrandbits(128):032x}",
            marker=wanted.name,
            offer_id=f"{kind.name}:{wanted.region}",
            gpu=gpu_facts(kind.gpu_name, kind.gpu_count, kind.vram_mib),
            price_micros_per_hour=kind.cents_per_hour * MICROS_PER_CENT,
            created_at=at,
            boot_seconds=self.world.config.boot_seconds,
            username="ubuntu",
            address=address,
            port=self.world.config.ssh_port,
            keys=[key],
            release=_returning(kind, wanted.region),
            kind=kind,
            region=wanted.region,
            key_name=wanted.key_name,
            cents_per_hour=kind.cents_per_hour,
            hostname=wanted.hostname,
            tags=wanted.tags,
        )

    async def _terminate(self, call: Call) -> object:
        instances = self._named(call)
        fault = self.strikes("delete_fails", call)
        if fault and fault.mode != "lies":
            raise self.refusal("server_error", status=fault.status)
        config = self.world.config
        for instance in instances:
            if not fault and instance.stage is not Stage.TERMINATING:
                self.world.fleet.terminate_slowly(
                    instance, seconds=config.terminate_seconds, listed_seconds=config.terminated_seconds
                )
        rows = [{**instance_row(instance, at=call.at), "status": "terminating"} for instance in instances]
        return {"data": {"terminated_instances": rows}}

    async def _restart(self, call: Call) -> object:
        instances = self._named(call)
        for instance in instances:
            if instance.stage in {Stage.RUNNING, Stage.FAILED}:
                self.world.fleet.reboot(instance, at=call.at)
        return {"data": {"restarted_instances": [instance_row(instance, at=call.at) for instance in instances]}}

    async def _images(self, call: Call) -> object:  # noqa: ARG002 - every handler takes the call
        return {"data": list(image_rows())}

    async def _nothing(self, call: Call) -> object:  # noqa: ARG002 - every handler takes the call
        return {"data": []}

    def _named(self, call: Call) -> list[Instance]:
        ids = call.body.get("instance_ids")
        if not isinstance(ids, list) or not ids:
            raise self.refusal("bad_json")
        return [self._living(instance_id, call) for instance_id in ids]

    def _living(self, instance_id: object, call: Call) -> Instance:
        instance = self._instance(instance_id, call)
        if not instance.alive:
            raise not_found("Specified instance does not exist.")
        return instance

    def _instance(self, instance_id: object, call: Call) -> Instance:
        instance = self.world.fleet.find(str(instance_id))
        if not isinstance(instance, Instance) or not instance.found(call.at):
            raise not_found("Specified instance does not exist.")
        return instance

    def _uses_key(self, name: str) -> bool:
        return any(
            isinstance(machine, Instance) and machine.alive and machine.key_name == name for machine in self.machines()
        )


def _returning(kind: InstanceType, region: str) -> Callable[[], None]:
    def release() -> None:
        """Count one of the kind as free there again."""
        kind.stock[region] = kind.stock.get(region, 0) + 1

    return release
