"""Lambda's launch: what is asked for, and the address the machine will have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from app.sandbox.lambda_cloud.errors import invalid_parameters
from app.sandbox.lambda_cloud.images import find_image
from app.sandbox.lambda_cloud.market import REGIONS

_NAME_MAX = 64
_USER_DATA_MAX = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Wanted:
    """A launch request, read and found sound."""

    type_name: str
    region: str
    key_name: str
    name: str | None
    hostname: str | None
    tags: list[dict[str, str]]


def read_wanted(body: dict[str, Any]) -> Wanted:
    """Read a launch request.

    Raises:
        Refusal: ``global/invalid-parameters`` naming the field.
    """
    name, keys, tags = body.get("name"), body.get("ssh_key_names"), body.get("tags") or []
    user_data = body.get("user_data") or ""
    checks = {
        "region_name": body.get("region_name") in REGIONS,
        "instance_type_name": isinstance(body.get("instance_type_name"), str),
        "ssh_key_names: exactly one key is required": isinstance(keys, list) and len(keys) == 1,
        "name must have at most 64 characters": name is None or (isinstance(name, str) and len(name) <= _NAME_MAX),
        "user_data": isinstance(user_data, str) and len(user_data) <= _USER_DATA_MAX,
        "tags": isinstance(tags, list) and all(isinstance(tag, dict) and {"key", "value"} <= set(tag) for tag in tags),
        "file_system_names": not body.get("file_system_names"),
    }
    for field, holds in checks.items():
        if not holds:
            raise invalid_parameters(f"Invalid request data: {field}.")
    if body.get("quantity") not in {None, 1}:
        raise invalid_parameters("Requested too many instances.")
    return Wanted(
        type_name=body["instance_type_name"],
        region=body["region_name"],
        key_name=str((keys or [""])[0]),
        name=name or None,
        hostname=body.get("hostname"),
        tags=[{"key": str(tag["key"]), "value": str(tag["value"])} for tag in tags],
    )


def check_image(body: dict[str, Any], *, architecture: str, region: str) -> None:
    """Refuse an image that there is not, or that the machine can't run."""
    wanted = body.get("image")
    if wanted is None:
        return
    if not isinstance(wanted, dict) or find_image(wanted, architecture=architecture, region=region) is None:
        raise invalid_parameters("Invalid request data: image.")
