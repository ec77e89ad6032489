"""Strict bodies: what each property may be, and RunPod's words for one that is not."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from app.sandbox.runpod.problems import invalid

Check = Callable[[Any], bool]
_VERSION = re.compile(r"\d+\.\d+", re.ASCII)
_KEY = re.compile(r"(ssh|ecdsa|sk)-[^\s]+ [^\s]+([ \t][^\n\r]*)?")
_DISK_MIN_GB, _VOLUME_MIN_GB, _VCPUS_MIN = 1, 10, 2


def is_text(value: object) -> bool:
    """Whether it is a text."""
    return isinstance(value, str)


def is_named(value: object) -> bool:
    """Whether it is a text that is not empty."""
    return isinstance(value, str) and bool(value)


def is_flag(value: object) -> bool:
    """Whether it is true or false."""
    return isinstance(value, bool)


def at_least(low: int) -> Check:
    """Return a check for whole numbers from a bound on."""
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and value >= low


def list_of(check: Check) -> Check:
    """Return a check for lists."""
    return lambda value: isinstance(value, list) and all(check(item) for item in value)


def _is_version(value: object) -> bool:
    return isinstance(value, str) and bool(_VERSION.fullmatch(value))


def _is_key(value: object) -> bool:
    return isinstance(value, str) and bool(_KEY.fullmatch(value))


def _is_env(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(each, str) for each in value.values())


def _shape(required: Iterable[str], checks: Mapping[str, Check]) -> Check:
    names = frozenset(required)
    return lambda value: (
        isinstance(value, dict)
        and names <= set(value) <= set(checks)
        and all(checks[name](item) for name, item in value.items())
    )


_VOLUME = _shape(("size", "path"), {"size": at_least(_VOLUME_MIN_GB), "path": is_text})
_NETWORK = _shape(("volumeId", "path"), {"volumeId": is_text, "path": is_text})
_CONTAINER: dict[str, Check] = {
    "image": is_text,
    "args": is_text,
    "entrypoint": list_of(is_text),
    "cmd": list_of(is_text),
    "disk": at_least(_DISK_MIN_GB),
    "env": _is_env,
    "ports": list_of(is_text),
    "registry": lambda value: value is None or is_text(value),
    "mounts": _shape((), {"persistent": _VOLUME, "network": list_of(_NETWORK)}),
    "globalNetworking": is_flag,
}
_GPU: dict[str, Check] = {
    "id": is_named,
    "count": at_least(1),
    "allowedCudaVersions": list_of(_is_version),
    "minCudaVersion": _is_version,
    "minRamPerGpu": at_least(1),
    "minVcpuCountPerGpu": at_least(1),
}
_CPU: dict[str, Check] = {"id": is_named, "vcpuCount": at_least(_VCPUS_MIN)}
_CREATE: dict[str, Check] = {
    **_CONTAINER,
    "name": is_named,
    "cloud": lambda value: value in ("SECURE", "COMMUNITY"),
    "gpu": lambda value: isinstance(value, dict),
    "cpu": lambda value: isinstance(value, dict),
    "dataCenterIds": list_of(is_text),
    "startSsh": is_flag,
    "startJupyter": is_flag,
    "templateId": is_named,
}
_UPDATE: dict[str, Check] = {**_CONTAINER, "name": is_named, "locked": is_flag, "templateId": is_text}
_ACTION: dict[str, Check] = {"action": lambda value: value in ("start", "stop", "restart", "terminate")}


def check_create(body: dict[str, Any]) -> None:
    """Refuse a create that the schema does not allow; each property that is wrong is named.

    Raises:
        Refusal: 422.
    """
    required = ("name",) if "templateId" in body else ("name", "image")
    errors = _violations(body, _CREATE, required=required, at="$")
    for key, checks, needed in (("gpu", _GPU, ("id",)), ("cpu", _CPU, ("id", "vcpuCount"))):
        if isinstance(body.get(key), dict):
            errors += _violations(body[key], checks, required=needed, at=f"$.{key}")
    if errors:
        raise invalid(*errors)


def check_update(body: dict[str, Any]) -> None:
    """Refuse a change that the schema does not allow."""
    _refuse(_violations(body, _UPDATE, required=(), at="$"))


def check_action(body: dict[str, Any]) -> None:
    """Refuse an action that there is not."""
    _refuse(_violations(body, _ACTION, required=("action",), at="$"))


def check_keys(body: dict[str, Any]) -> None:
    """Refuse a list of keys that is none."""
    _refuse(_violations(body, {"keys": list_of(_is_key)}, required=("keys",), at="$"))


def _refuse(errors: list[str]) -> None:
    if errors:
        raise invalid(*errors)


def _violations(body: Mapping[str, Any], checks: Mapping[str, Check], *, required: Iterable[str], at: str) -> list[str]:
    unknown = [name for name in body if name not in checks]
    missing = [name for name in required if name not in body]
    wrong = [name for name, value in body.items() if name in checks and not checks[name](value)]
    return [
        *(f"{at}: additional properties '{name}' not allowed" for name in unknown),
        *(f"{at}: missing property '{name}'" for name in missing),
        *(f"{at}.{name}: is not what the schema allows" for name in wrong),
    ]
