"""The sandbox's own paths, ``/_sandbox/…``: faults, the truth about machines and offers, and accidents on demand."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from datetime import datetime
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.kit.clock import rfc3339
from app.sandbox.accidents import Accidents
from app.sandbox.answers import Refusal, json_response
from app.sandbox.clouds import Cloud
from app.sandbox.faults import Fault
from app.sandbox.world import World

_NOTICE_SECONDS = 120.0


class Control:
    """The calls by which tests, demos and people steer a sandbox."""

    def __init__(self, world: World, clouds: Sequence[Cloud], accidents: Accidents) -> None:
        self._world = world
        self._clouds = clouds
        self._accidents = accidents

    def routes(self) -> list[Route]:
        """Return the paths."""
        return [
            control_route("/_sandbox/faults", "GET", self._list_faults),
            control_route("/_sandbox/faults", "POST", self._add_fault),
            control_route("/_sandbox/faults", "DELETE", self._clear_faults),
            control_route("/_sandbox/faults/{id:int}", "DELETE", self._remove_fault),
            control_route("/_sandbox/machines", "GET", self._machines),
            control_route("/_sandbox/machines/{id}/{deed}", "POST", self._change_machine),
            control_route("/_sandbox/offers", "GET", self._offers),
            control_route("/_sandbox/offers/{id}/{deed}", "POST", self._change_offer),
            control_route("/_sandbox/rate-limits", "POST", self._rate_limits),
            control_route("/_sandbox/calls", "GET", self._calls),
        ]

    async def _list_faults(self, request: Request) -> object:  # noqa: ARG002 - every call takes the request
        return {"faults": self._world.faults.listed(), "struck": dict(self._world.faults.struck)}

    async def _add_fault(self, request: Request) -> object:
        try:
            number = self._world.faults.add(Fault(**await json_body(request)))
        except (TypeError, ValueError) as error:
            raise Refusal(422, {"error": str(error)}) from None
        return {"id": number}

    async def _clear_faults(self, request: Request) -> object:  # noqa: ARG002 - as above
        self._world.faults.clear()
        return {}

    async def _remove_fault(self, request: Request) -> object:
        if not self._world.faults.remove(int(request.path_params["id"])):
            raise Refusal(404, {"error": "no such fault"})
        return {}

    async def _machines(self, request: Request) -> object:  # noqa: ARG002 - as above
        rows = [asdict(row) for row in self._world.fleet.truth()]
        return {"machines": [{name: _wire(value) for name, value in row.items()} for row in rows]}

    async def _change_machine(self, request: Request) -> object:
        deeds: dict[str, Callable[[str], None]] = {
            "vanish": self._accidents.vanish,
            "outbid": self._accidents.outbid,
            "kill-gpu": self._accidents.kill_gpu,
            "silence": self._accidents.silence,
            "fail": self._accidents.fail,
        }
        if request.path_params["deed"] == "preempt":
            deeds["preempt"] = partial(self._accidents.preempt, notice_seconds=await _notice_seconds(request))
        deed = deeds.get(request.path_params["deed"])
        if deed is None:
            raise Refusal(404, {"error": f"no such deed; one of {', '.join([*deeds, 'preempt'])}"})
        try:
            deed(request.path_params["id"])
        except LookupError as error:
            raise Refusal(404, {"error": str(error)}) from None
        return {}

    async def _offers(self, request: Request) -> object:  # noqa: ARG002 - as above
        at = self._world.clock.now()
        return {"offers": [offer for cloud in self._clouds for offer in cloud.offers(at)]}

    async def _change_offer(self, request: Request) -> object:
        offer_id, deed, body = request.path_params["id"], request.path_params["deed"], await json_body(request)
        if not any(cloud.change_offer(offer_id, deed, body) for cloud in self._clouds):
            raise Refusal(404, {"error": "no such offer, or no such deed: withdraw, restore, reprice"})
        return {}

    async def _rate_limits(self, request: Request) -> object:
        self._world.limiter.enabled = bool((await json_body(request)).get("enabled", True))
        return {"enabled": self._world.limiter.enabled}

    async def _calls(self, request: Request) -> object:  # noqa: ARG002 - as above
        counted = Counter(f"{call.provider} {call.operation} {call.status}" for call in self._world.calls)
        return {"counts": dict(sorted(counted.items()))}


async def _notice_seconds(request: Request) -> float:
    seconds = (await json_body(request)).get("notice_seconds", _NOTICE_SECONDS)
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or seconds < 0:
        raise Refusal(422, {"error": "notice_seconds must be a number, not negative"})
    return float(seconds)


def control_route(path: str, method: str, handler: Callable[[Request], Awaitable[object]]) -> Route:
    """Return a path that answers with JSON, or as a ``Refusal`` says."""

    async def endpoint(request: Request) -> Response:
        """Answer one call."""
        try:
            return json_response(await handler(request))
        except Refusal as refusal:
            return refusal.response()

    return Route(path, endpoint, methods=[method])


async def json_body(request: Request) -> dict[str, Any]:
    """Return the JSON object that was sent; nothing is an empty one.

    Raises:
        Refusal: it is something else.
    """
    raw = await request.body()
    try:
        body = json.loads(raw) if raw.strip() else {}
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise Refusal(422, {"error": "the body must be a JSON object"})
    return body


def _wire(value: object) -> object:
    if isinstance(value, tuple):
        return [_wire(item) for item in value]
    return rfc3339(value) if isinstance(value, datetime) else value
