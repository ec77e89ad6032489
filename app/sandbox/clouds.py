"""What every cloud of the sandbox does with a call: read it, check the key, keep the pace, let faults strike."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, ClassVar

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.sandbox.answers import Refusal, gateway_page, json_response, spoilt
from app.sandbox.faults import ANSWERS, OFFERS, REFUSALS, Fault
from app.sandbox.limits import Pace
from app.sandbox.machines import Machine
from app.sandbox.world import CallRecord, World

_GATEWAY_STATUSES = frozenset({502, 503, 504})


@dataclass(frozen=True, slots=True)
class Call:
    """One request, read and admitted."""

    operation: str
    path: Mapping[str, Any]
    query: Mapping[str, str]
    body: dict[str, Any]
    at: datetime
    subjects: frozenset[str]
    """The ids and markers it is about."""


Handler = Callable[[Call], Awaitable[object]]
"""Answers with the JSON body of a 200 or with a whole response, or raises ``Refusal``."""


class Cloud(ABC):
    """One cloud behind its own paths."""

    provider: ClassVar[str]

    def __init__(self, world: World) -> None:
        self.world = world

    @abstractmethod
    def routes(self) -> list[Route]:
        """Return the cloud's paths."""

    @abstractmethod
    def admit(self, request: Request, operation: str) -> None:
        """Check the key; raise ``Refusal`` in the cloud's own form."""

    @abstractmethod
    def paces(self, operation: str) -> tuple[Pace, ...]:
        """Return the documented rate limits on an operation."""

    @abstractmethod
    def refusal(self, kind: str, *, pace: Pace | None = None, status: int | None = None) -> Refusal:
        """Return the cloud's words for one of the kinds in ``REFUSALS``, or for ``bad_json``."""

    @abstractmethod
    def offers(self, at: datetime) -> list[dict[str, object]]:
        """Return the market as it really is, what is taken or withdrawn included."""

    @abstractmethod
    def change_offer(self, offer_id: str, deed: str, body: Mapping[str, Any]) -> bool:
        """Do something to an offer from outside; False when there is no such offer or deed."""

    def route(
        self, path: str, method: str, operation: str | Callable[[dict[str, Any]], str], handler: Handler
    ) -> Route:
        """Return a route that does everything every call needs."""

        async def endpoint(request: Request) -> Response:
            """Answer one call."""
            return await self._answer(request, operation, handler)

        return Route(path, endpoint, methods=[method])

    def machines(self) -> list[Machine]:
        """Return the machines of this cloud, the gone ones too."""
        return self.world.fleet.machines(self.provider)

    def strikes(self, kind: str, call: Call) -> Fault | None:
        """Return the fault of one kind that strikes this call."""
        return self.world.faults.draw({kind}, provider=self.provider, operation=call.operation, subjects=call.subjects)

    def strikes_offer(self, call: Call) -> str | None:
        """Return what happens to the offer at this create."""
        fault = self.world.faults.draw(OFFERS, provider=self.provider, operation=call.operation, subjects=call.subjects)
        return fault.kind if fault else None

    def late_listed(self, call: Call, machines: list[Machine]) -> list[Machine]:
        """Return those machines that a list shows now."""
        fault = self.strikes("lists_late", call)
        young = fault.wait(5.0) if fault else 0.0
        return [
            machine
            for machine in machines
            if machine.listed(call.at) and (not young or (call.at - machine.created_at).total_seconds() >= young)
        ]

    async def _answer(
        self, request: Request, operation: str | Callable[[dict[str, Any]], str], handler: Handler
    ) -> Response:
        raw = await request.body()
        name = operation if isinstance(operation, str) else "label"
        fault: Fault | None = None
        try:
            self.admit(request, name)
            body = self._read(raw)
            name = operation if isinstance(operation, str) else operation(body)
            call = self._call(request, name, body)
            self._keep_pace(call)
            fault = self.world.faults.draw(ANSWERS, provider=self.provider, operation=name, subjects=call.subjects)
            if fault and not fault.after_effect:
                self._refuse(fault)
            answer = await handler(call)
            response = answer if isinstance(answer, Response) else json_response(answer)
            if fault:
                self._refuse(fault)
        except Refusal as refusal:
            response = refusal.response()
        if fault:
            response = spoilt(response, fault, self.world)
        self._record(request, name, response)
        return response

    def _read(self, raw: bytes) -> dict[str, Any]:
        """Read a JSON object, whatever the content type says; an empty body is an empty object."""
        try:
            body = json.loads(raw, parse_float=Decimal) if raw.strip() else {}
        except ValueError:
            raise self.refusal("bad_json") from None
        if not isinstance(body, dict):
            raise self.refusal("bad_json")
        return body

    def _call(self, request: Request, operation: str, body: dict[str, Any]) -> Call:
        listed = body.get("instance_ids")
        ids = {str(request.path_params.get("id", "")), *map(str, listed if isinstance(listed, list) else ())}
        named = {body.get("label"), body.get("name")} if operation == "create" else set()
        found = (self.world.fleet.find(machine_id) for machine_id in ids)
        markers = {machine.marker for machine in found if machine is not None}
        subjects = frozenset(item for item in ids | named | markers if isinstance(item, str))
        return Call(operation, request.path_params, request.query_params, body, self.world.clock.now(), subjects)

    def _keep_pace(self, call: Call) -> None:
        broken = self.world.limiter.refuses(self.paces(call.operation), self.provider, at=call.at)
        if broken:
            raise self.refusal("rate_limited", pace=broken)

    def _refuse(self, fault: Fault) -> None:
        if fault.kind not in REFUSALS:
            return
        if fault.kind == "server_error" and fault.status in _GATEWAY_STATUSES:
            raise gateway_page(fault.status or 0)
        refusal = self.refusal(fault.kind, status=fault.status)
        if fault.retry_after is not None:
            refusal.headers = {**(refusal.headers or {}), "Retry-After": fault.retry_after}
        raise refusal

    def _record(self, request: Request, operation: str, response: Response) -> None:
        record = CallRecord(
            self.world.clock.now(), self.provider, operation, request.method, request.url.path, response.status_code
        )
        self.world.calls.append(record)
