"""RunPod on its own paths, ``/v2/…``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, ClassVar, cast

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.sandbox.answers import Refusal, json_response
from app.sandbox.clouds import Call, Cloud, Handler
from app.sandbox.limits import Pace
from app.sandbox.runpod.billing import billing_page
from app.sandbox.runpod.catalog import data_center_row, gpu_row, read_question
from app.sandbox.runpod.lifecycle import Lifecycle
from app.sandbox.runpod.market import DATA_CENTERS, GpuBook, GpuType, Shelf, built_in_types
from app.sandbox.runpod.ordering import find_shelf, new_pod, new_pod_id, read_wanted, take
from app.sandbox.runpod.pods import Pod, pod_row
from app.sandbox.runpod.problems import broken_rule, no_capacity, not_found, problem
from app.sandbox.runpod.quotas import WINDOWS, quota_headers
from app.sandbox.runpod.schemas import check_action, check_keys, check_update
from app.sandbox.world import Steps, World

_REFUSALS = {
    "bad_json": (400, "the body is not a JSON object"),
    "rate_limited": (429, "rate limit exceeded for the minute window"),
    "server_error": (500, "Something went wrong. Please try again later or contact support."),
    "unauthorized": (401, "invalid bearer token"),
    "no_credit": (402, "Your balance is too low. Please add credits to your account."),
}
_OPERATIONS = {"start": "start", "stop": "stop", "restart": "reboot", "terminate": "destroy"}
_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]


class RunpodCloud(Cloud):
    """Catalog, pods, keys and books of one RunPod account."""

    provider: ClassVar[str] = "runpod"

    def __init__(self, world: World, *, at: datetime) -> None:
        super().__init__(world)
        config = world.config
        self.book = GpuBook(built_in_types(), seed=config.seed, steps=Steps(config.price_step_seconds, at=at))
        self._lifecycle = Lifecycle(self)
        self._keys: list[str] = []

    def routes(self) -> list[Route]:
        """Return RunPod's paths. Another method, or another path, is a problem document too."""
        rows: list[tuple[str, str, str | Callable[[dict[str, Any]], str], Handler]] = [
            ("catalog/gpus", "GET", "list_offers", self._gpus),
            ("catalog/gpus/{id}", "GET", "list_offers", self._gpu),
            ("catalog/datacenters", "GET", "list_offers", self._data_centers),
            ("catalog/datacenters/{id}", "GET", "list_offers", self._data_center),
            ("pods", "GET", "list_machines", self._list),
            ("pods", "POST", "create", self._create),
            ("pods/{id}", "GET", "get_machine", self._get),
            ("pods/{id}", "PATCH", "label", self._update),
            ("pods/{id}", "DELETE", "destroy", self._delete),
            ("pods/{id}/action", "POST", _operation, self._act),
            ("account/ssh-keys", "GET", "list_keys", self._list_keys),
            ("account/ssh-keys", "PUT", "add_key", self._replace_keys),
            ("billing/pods", "GET", "charges", self._billing),
            ("registries", "GET", "account", self._registries),
        ]
        paths = list(dict.fromkeys(row[0] for row in rows))
        return [
            *(self.route(f"/v2/{path}", method, operation, handler) for path, method, operation, handler in rows),
            *(Route(f"/v2/{path}", _not_allowed, methods=_METHODS) for path in paths),
            Route("/v2/{rest:path}", _no_such_path, methods=_METHODS),
        ]

    def admit(self, request: Request, operation: str) -> None:  # noqa: ARG002 - nothing here is open to all
        """Check the bearer token."""
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not key:
            raise problem(401, "missing bearer token")
        if key != self.world.config.runpod_key:
            raise self.refusal("unauthorized")

    def paces(self, operation: str) -> tuple[Pace, ...]:  # noqa: ARG002 - one quota for all calls
        """Return the account's quotas per minute, hour and day."""
        return WINDOWS

    def refusal(self, kind: str, *, pace: Pace | None = None, status: int | None = None) -> Refusal:
        """Return RunPod's words; a quota that is used up tells its window and when it is over."""
        usual, detail = _REFUSALS[kind]
        if pace is None:
            return problem(status or usual, detail)
        wait = self.world.limiter.left(pace, self.provider, at=self.world.clock.now()).seconds
        detail = f"rate limit exceeded for the {pace.name} window"
        return problem(status or usual, detail, headers={"Retry-After": str(wait)})

    def offers(self, at: datetime) -> list[dict[str, object]]:
        """Return every type in every place of both clouds, by pods of so many GPUs as the largest machine has."""
        return [
            {
                "provider": self.provider,
                "id": f"{cloud}:{shelf.data_center}:{count}:{kind.id}",
                "gpu_name": kind.id,
                "gpu_count": count,
                "price_micros_per_hour": kind.micros_per_hour[cloud] * count,
                "stock": shelf.free // count,
            }
            for kind in self.book.all(at).values()
            for cloud, shelves in kind.shelves.items()
            for shelf in shelves
            for count in (1, 2, 4, 8)
            if count <= kind.max_count[cloud]
        ]

    def change_offer(self, offer_id: str, deed: str, body: Mapping[str, Any]) -> bool:
        """``withdraw`` (none free), ``restore`` (``stock`` pods, or 1) or ``reprice`` by a ``factor``."""
        cloud, data_center, count, gpu_id = [*offer_id.split(":", 3), "", "", ""][:4]
        kind = self.book.all(self.world.clock.now()).get(gpu_id)
        shelf = kind.shelf(cloud, data_center) if kind else None
        if kind is None or shelf is None or not count.isdecimal():
            return False
        match deed:
            case "withdraw":
                shelf.free = 0
            case "restore":
                shelf.free = int(body.get("stock", 1)) * int(count)
            case "reprice":
                factor = Decimal(str(body.get("factor", "1.25")))
                kind.micros_per_hour[cloud] = int(kind.micros_per_hour[cloud] * factor)
            case _:
                return False
        return True

    async def _answer(
        self, request: Request, operation: str | Callable[[dict[str, Any]], str], handler: Handler
    ) -> Response:
        """Answer, with the state of the quotas for everybody whose key is good."""
        response = await super()._answer(request, operation, handler)
        if response.status_code != 401:  # noqa: PLR2004 - the status of a key that is none
            response.headers.update(quota_headers(self.world.limiter, self.provider, at=self.world.clock.now()))
        return response

    async def _gpus(self, call: Call) -> object:
        question = read_question(call.query)
        drained = bool(self.strikes("offer_drained", call))
        kinds = list(self.book.all(call.at).values())
        if question and question.countries:
            kinds = [kind for kind in kinds if question.shelves(kind)]
        return {"gpus": [gpu_row(kind, question, drained=drained) for kind in kinds]}

    async def _gpu(self, call: Call) -> object:
        return gpu_row(self._kind(call.path["id"], call), read_question(call.query))

    async def _data_centers(self, call: Call) -> object:
        regions = [word for word in call.query.get("regions", "").split(",") if word]
        chosen = [place for place, (_, region) in DATA_CENTERS.items() if not regions or region in regions]
        return {"dataCenters": [self._data_center_row(place, call) for place in chosen]}

    async def _data_center(self, call: Call) -> object:
        if call.path["id"] not in DATA_CENTERS:
            raise not_found("data center")
        return self._data_center_row(call.path["id"], call)

    def _data_center_row(self, place: str, call: Call) -> dict[str, Any]:
        with_gpus = "GPU_AVAILABILITY" in call.query.get("include", "").split(",")
        return data_center_row(place, self.book.all(call.at).values(), with_gpus=with_gpus)

    async def _list(self, call: Call) -> object:
        pods = cast("list[Pod]", self.late_listed(call, self.machines()))
        return {"pods": [pod_row(pod, at=call.at) for pod in pods]}

    async def _get(self, call: Call) -> object:
        return pod_row(self._pod(call), at=call.at)

    async def _create(self, call: Call) -> object:
        wanted = read_wanted(call.body)
        kind = self._kind(wanted.gpu_id, call)
        shelf = self._shelf(kind, find_shelf(kind, wanted), wanted.cloud, call)
        pod = new_pod(new_pod_id(self.world.random), kind, shelf, wanted, account_keys=self._keys, at=call.at)
        pod.boot_seconds = self.world.config.boot_seconds
        take(pod, shelf)
        self.world.fleet.launch(pod, at=call.at)
        pod.charge("gpu", pod.price_micros_per_hour, at=call.at)
        return json_response(pod_row(pod, at=call.at), status=201)

    def _shelf(self, kind: GpuType, shelf: Shelf, cloud: str, call: Call) -> Shelf:
        """Return the place, with whatever happened to it since the catalog was read."""
        trouble = self.strikes_offer(call)
        if trouble == "offer_drained":
            shelf.free = 0
        if trouble in {"offer_drained", "offer_gone"}:
            raise no_capacity()
        if trouble == "price_changed":
            kind.micros_per_hour[cloud] = kind.micros_per_hour[cloud] * 5 // 4
        return shelf

    async def _update(self, call: Call) -> object:
        pod, body = self._pod(call), call.body
        check_update(body)
        if "templateId" in body:
            raise not_found("template")
        if body.get("mounts") and set(body["mounts"]) - set(pod.mounts):
            raise broken_rule("the kind of a mount is fixed at create")
        if "name" in body:
            pod.marker = body["name"]
        for key in ("image", "args", "env", "ports", "registry", "locked"):
            if key in body:
                setattr(pod, key, body[key])
        pod.disk_gb = body.get("disk", pod.disk_gb)
        pod.global_networking = body.get("globalNetworking", pod.global_networking)
        return pod_row(pod, at=call.at)

    async def _delete(self, call: Call) -> object:
        self._lifecycle.end(self._pod(call), call)
        return Response(status_code=204)

    async def _act(self, call: Call) -> object:
        pod = self._pod(call)
        check_action(call.body)
        shelf = pod.kind.shelf(pod.cloud, pod.data_center)
        if shelf is None:
            raise no_capacity()
        self._lifecycle.act(pod, call.body["action"], call, shelf=shelf)
        if call.body["action"] == "terminate":
            return Response(status_code=204)
        return pod_row(pod, at=call.at)

    async def _list_keys(self, call: Call) -> object:  # noqa: ARG002 - every handler takes the call
        return {"keys": list(self._keys)}

    async def _replace_keys(self, call: Call) -> object:
        check_keys(call.body)
        self._keys = list(call.body["keys"])
        return {"keys": list(self._keys)}

    async def _billing(self, call: Call) -> object:
        booked_until = call.at - timedelta(seconds=self.world.config.charges_lag_seconds)
        return billing_page(self.machines(), call.query, at=call.at, booked_until=booked_until)

    async def _registries(self, call: Call) -> object:  # noqa: ARG002 - every handler takes the call
        return {"registries": []}

    def _kind(self, gpu_id: str, call: Call) -> GpuType:
        kind = self.book.all(call.at).get(gpu_id)
        if kind is None:
            raise not_found("GPU type")
        return kind

    def _pod(self, call: Call) -> Pod:
        pod = self.world.fleet.find(str(call.path["id"]))
        if not isinstance(pod, Pod) or not pod.found(call.at):
            raise not_found()
        return pod


def _operation(body: dict[str, Any]) -> str:
    return _OPERATIONS.get(str(body.get("action")), "label")


async def _not_allowed(request: Request) -> Response:  # noqa: ARG001 - an endpoint takes the request
    return problem(405, "The requested method is not allowed for this path.").response()


async def _no_such_path(request: Request) -> Response:  # noqa: ARG001 - as above
    return not_found("resource").response()
