"""Looking sandboxes up: by id, by name, by tag."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from grpclib import GRPCError, Status
from modal_proto import api_pb2

from app.sandbox.machines import Stage
from app.sandbox.modal_cloud.sandboxes import (
    TIMEOUT,
    ModalSandbox,
    end_of,
    info_of,
    result_of,
    tags_of,
    task_id,
    tunnels_of,
    visible_tags,
)
from app.sandbox.modal_cloud.serving import Rpc
from app.sandbox.modal_cloud.workspace import Workspace
from app.sandbox.world import World

_PAGE = 20


class Lookups:
    """The calls that change nothing but a sandbox's tags."""

    def __init__(
        self, world: World, workspace: Workspace, *, late_listed: Callable[[list[ModalSandbox]], set[str]]
    ) -> None:
        """``late_listed`` returns the ids of those that a list shows at this moment."""
        self._world = world
        self._workspace = workspace
        self._late_listed = late_listed

    def rpcs(self) -> dict[str, Rpc]:
        """Return the calls, those for the newer kind of sandbox like those for the older."""
        return both_kinds(
            {
                "SandboxGetTaskId": Rpc("get_machine", self._task, self.about),
                "SandboxWait": Rpc("get_machine", self._wait, self.about),
                "SandboxGetTunnels": Rpc("get_machine", self._tunnels, self.about),
                "SandboxTagsGet": Rpc("get_machine", self._tags, self.about),
                "SandboxTagsSet": Rpc("label", self._label, self.about),
                "SandboxGetFromName": Rpc("get_machine", self._by_name),
                "SandboxList": Rpc("list_machines", self._list),
            }
        )

    def all(self) -> list[ModalSandbox]:
        """Return every sandbox there ever was."""
        return [one for one in self._world.fleet.machines("modal") if isinstance(one, ModalSandbox)]

    def one(self, sandbox_id: str) -> ModalSandbox:
        """Return a sandbox; one that ended with a result is still known.

        Raises:
            GRPCError: NOT_FOUND.
        """
        found = self._world.fleet.find(sandbox_id)
        if isinstance(found, ModalSandbox) and (found.found(self._world.clock.now()) or end_of(found)):
            return found
        raise GRPCError(Status.NOT_FOUND, f"Sandbox with ID {sandbox_id} not found.")

    def about(self, request: Any) -> frozenset[str]:  # noqa: ANN401 - protobuf's
        """Return the id and the marker that a request is about."""
        found = self._world.fleet.find(request.sandbox_id)
        return frozenset({request.sandbox_id, *({found.marker} if found and found.marker else ())})

    async def _task(self, request: Any) -> Any:  # noqa: ANN401 - as above
        sandbox = self.one(request.sandbox_id)
        result = result_of(sandbox)
        if result.status:
            return api_pb2.SandboxGetTaskIdResponse(task_result=result)
        began = sandbox.stage is not Stage.BOOTING
        return api_pb2.SandboxGetTaskIdResponse(task_id=task_id(sandbox) if began else None)

    async def _wait(self, request: Any) -> Any:  # noqa: ANN401 - as above
        sandbox = self.one(request.sandbox_id)
        metadata = api_pb2.SandboxHandleMetadata(app_id=sandbox.app_id)
        return api_pb2.SandboxWaitResponse(result=result_of(sandbox), metadata=metadata)

    async def _tunnels(self, request: Any) -> Any:  # noqa: ANN401 - as above
        tunnels = tunnels_of(self.one(request.sandbox_id))
        result = None if tunnels else api_pb2.GenericResult(status=TIMEOUT)
        return api_pb2.SandboxGetTunnelsResponse(result=result, tunnels=tunnels)

    async def _tags(self, request: Any) -> Any:  # noqa: ANN401 - as above
        return api_pb2.SandboxTagsGetResponse(tags=tags_of(self.one(request.sandbox_id)))

    async def _label(self, request: Any) -> Any:  # noqa: ANN401 - as above
        self.one(request.sandbox_id).tags = {tag.tag_name: tag.tag_value for tag in request.tags}
        return api_pb2.SandboxTagsGetResponse()  # nothing in it, as in the Empty that is due

    async def _by_name(self, request: Any) -> Any:  # noqa: ANN401 - as above
        app_id = self._workspace.app_id(request.app_name)
        for sandbox in self.all():
            if sandbox.alive and sandbox.app_id == app_id and sandbox.marker == request.sandbox_name:
                metadata = api_pb2.SandboxHandleMetadata(app_id=app_id)
                return api_pb2.SandboxGetFromNameResponse(sandbox_id=sandbox.id, metadata=metadata)
        raise GRPCError(Status.NOT_FOUND, f"Sandbox with name '{request.sandbox_name}' not found.")

    async def _list(self, request: Any) -> Any:  # noqa: ANN401 - as above
        living = [one for one in self.all() if one.alive]
        hidden = {one.id for one in living} - self._late_listed(living)
        wanted = {tag.tag_name: tag.tag_value for tag in request.tags}
        found = [
            one
            for one in self.all()
            if one.id not in hidden
            and (not request.app_id or one.app_id == request.app_id)
            and (not request.before_timestamp or one.told_at < request.before_timestamp)
            and (_running(one) or (request.include_finished and (one.alive or end_of(one))))
            and wanted.items() <= visible_tags(one).items()
        ]
        found.sort(key=lambda one: one.told_at, reverse=True)
        return api_pb2.SandboxListResponse(sandboxes=[info_of(one) for one in found[:_PAGE]])


def both_kinds(rpcs: Mapping[str, Rpc]) -> dict[str, Rpc]:
    """Return the calls under their own names and under those for the newer kind of sandbox."""
    return {name + suffix: rpc for name, rpc in rpcs.items() for suffix in ("", "V2")}


def _running(sandbox: ModalSandbox) -> bool:
    return sandbox.alive and sandbox.stage is not Stage.FAILED
