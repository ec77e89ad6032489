"""What a ``SandboxCreate`` asks for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from grpclib import GRPCError, Status

from app.sandbox.modal_cloud.market import shape_micros_per_hour

TIMEOUT_MAX_SECONDS = 86_400
_KEY_WORDS = ("ssh-ed25519 ", "ecdsa-sha2-", "ssh-rsa ")


@dataclass(frozen=True, slots=True)
class Wanted:
    """A request, read and found sound."""

    app_id: str
    name: str
    tags: Mapping[str, str]
    gpu: str
    gpu_count: int
    shape_micros_per_hour: int
    """What CPU and memory cost."""
    env: Mapping[str, str]
    keys: tuple[str, ...]
    ports: tuple[int, ...]
    command: tuple[str, ...]
    image_id: str
    timeout_seconds: int


def read_wanted(request: Any, secrets: Mapping[str, Mapping[str, str]]) -> Wanted:  # noqa: ANN401 - protobuf's
    """Read a request, with the variables that stand in its secrets.

    Raises:
        GRPCError: INVALID_ARGUMENT saying why.
    """
    wanted = request.definition
    if not request.app_id or not wanted.image_id or not wanted.resources.gpu_config.gpu_type:
        raise GRPCError(Status.INVALID_ARGUMENT, "An app, an image and a GPU are required.")
    if not 0 < wanted.timeout_secs <= TIMEOUT_MAX_SECONDS:
        raise GRPCError(Status.INVALID_ARGUMENT, "Timeout must be between 1 second and 24 hours.")
    missing = [secret_id for secret_id in wanted.secret_ids if secret_id not in secrets]
    if missing:
        raise GRPCError(Status.NOT_FOUND, f"Secret {missing[0]} not found.")
    env = {name: value for secret_id in wanted.secret_ids for name, value in secrets[secret_id].items()}
    return Wanted(
        app_id=request.app_id,
        name=wanted.name,
        tags={tag.tag_name: tag.tag_value for tag in request.tags},
        gpu=wanted.resources.gpu_config.gpu_type,
        gpu_count=max(1, wanted.resources.gpu_config.count),
        shape_micros_per_hour=shape_micros_per_hour(
            milli_cpu=wanted.resources.milli_cpu, memory_mb=wanted.resources.memory_mb
        ),
        env=env,
        keys=tuple(value for value in env.values() if value.startswith(_KEY_WORDS)),
        ports=tuple(port.port for port in wanted.open_ports.ports if port.unencrypted),
        command=tuple(wanted.entrypoint_args),
        image_id=wanted.image_id,
        timeout_seconds=wanted.timeout_secs,
    )
