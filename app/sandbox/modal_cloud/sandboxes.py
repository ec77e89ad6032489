"""Modal's sandboxes and how they look on the wire."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from modal_proto import api_pb2

from app.sandbox.machines import Machine, Stage

MARKER_TAG = "marker"
TERMINATED: Any = api_pb2.GenericResult.GENERIC_STATUS_TERMINATED
TIMEOUT: Any = api_pb2.GenericResult.GENERIC_STATUS_TIMEOUT
INIT_FAILURE: Any = api_pb2.GenericResult.GENERIC_STATUS_INIT_FAILURE
INTERNAL_FAILURE: Any = api_pb2.GenericResult.GENERIC_STATUS_INTERNAL_FAILURE


@dataclass(kw_only=True, eq=False, slots=True)
class ModalSandbox(Machine):
    """A sandbox: a container on its way, at work or ended."""

    app_id: str
    name: str | None
    """As it was given; ``marker`` is what is left of it."""
    tags: dict[str, str]
    env: dict[str, str]
    ports: tuple[int, ...] = ()
    command: tuple[str, ...] = ()
    image_id: str = ""
    timeout_seconds: int
    told_at: float
    """The time of its creation on the wire, another for each: what lists are paged by."""
    result: Any = None
    """How it ended, a ``GenericStatus``; None while it lives, or when it went without a word."""
    resource: str = "GPU"
    """Under which name its charges are booked."""


def result_of(sandbox: ModalSandbox) -> api_pb2.GenericResult:
    """Return how it ended; the status is unspecified while it has not."""
    if sandbox.stage is Stage.FAILED:
        began = sandbox.started_at is not None
        words = "The worker failed." if began else "The container did not start."
        return api_pb2.GenericResult(status=INTERNAL_FAILURE if began else INIT_FAILURE, exception=words, exitcode=1)
    if sandbox.alive:
        return api_pb2.GenericResult()
    return api_pb2.GenericResult(status=end_of(sandbox) or TERMINATED)


def end_of(sandbox: ModalSandbox) -> Any:  # noqa: ANN401 - protobuf's
    """Return how a sandbox ended that is no more, None where it went without a word."""
    taken_back = sandbox.preempts_at is not None and not sandbox.alive
    return sandbox.result or (TIMEOUT if taken_back else None)


def tags_of(sandbox: ModalSandbox) -> list[api_pb2.SandboxTag]:
    """Return its tags."""
    return [api_pb2.SandboxTag(tag_name=name, tag_value=value) for name, value in visible_tags(sandbox).items()]


def visible_tags(sandbox: ModalSandbox) -> dict[str, str]:
    """Return the tags that are left: where the name got lost or cut, so did the tag with the marker."""
    if sandbox.marker == sandbox.name:
        return sandbox.tags
    rest = {name: value for name, value in sandbox.tags.items() if name != MARKER_TAG}
    return rest if sandbox.marker is None else rest | {MARKER_TAG: sandbox.marker}


def tunnels_of(sandbox: ModalSandbox) -> list[api_pb2.TunnelData]:
    """Return the ways in, once it runs. Only the first open port leads somewhere, to the SSH server."""
    if sandbox.stage is not Stage.RUNNING or sandbox.endpoint is None:
        return []
    host, port = sandbox.endpoint
    return [
        api_pb2.TunnelData(
            host=f"{sandbox.id.lower()}-{inner}.w.modal.host",
            port=443,
            unencrypted_host=host,
            unencrypted_port=port + place,
            container_port=inner,
        )
        for place, inner in enumerate(sandbox.ports)
    ]


def info_of(sandbox: ModalSandbox) -> api_pb2.SandboxInfo:
    """Return a row of a list."""
    return api_pb2.SandboxInfo(
        id=sandbox.id,
        created_at=sandbox.told_at,
        app_id=sandbox.app_id,
        tags=tags_of(sandbox),
        name=sandbox.marker or "",
        image_id=sandbox.image_id,
        timeout_secs=_timeout(sandbox),
        tunnels=tunnels_of(sandbox),
        task_info=api_pb2.TaskInfo(
            id=task_id(sandbox),
            started_at=_moment(sandbox.started_at),
            finished_at=_moment(sandbox.ended_at),
            result=result_of(sandbox),
            sandbox_id=sandbox.id,
        ),
        metadata=api_pb2.SandboxHandleMetadata(app_id=sandbox.app_id, result=result_of(sandbox)),
    )


def task_id(sandbox: ModalSandbox) -> str:
    """Return the id of its container."""
    return f"ta-{sandbox.id.removeprefix('sb-')}"


def _timeout(sandbox: ModalSandbox) -> int:
    """Return after how many seconds it ends: a cloud that takes it back shortens its time."""
    if sandbox.preempts_at is None:
        return sandbox.timeout_seconds
    return max(1, int(sandbox.preempts_at.timestamp() - sandbox.told_at))


def _moment(at: datetime | None) -> float:
    return at.timestamp() if at else 0.0
