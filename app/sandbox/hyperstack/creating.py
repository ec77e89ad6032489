"""Hyperstack's create: what is asked for, found sound, and how the machine's rules are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from app.sandbox.hosts import HostBehaviour
from app.sandbox.hyperstack.errors import bad_request

_NAME_MAX = 50
_USER_DATA_MAX = 65_535
_SSH_PORT = 22
_KNOWN = frozenset({
    "name", "environment_name", "image_name", "flavor_name", "flavor", "key_name", "count", "assign_floating_ip",
    "labels", "user_data", "security_rules", "enable_port_randomization", "enhanced_monitoring_enabled",
    "callback_url", "create_bootable_volume", "volume_name", "profile",
})  # fmt: skip
_FLAGS = ("assign_floating_ip", "enable_port_randomization", "create_bootable_volume", "enhanced_monitoring_enabled")


@dataclass(frozen=True, slots=True)
class Wanted:
    """A create request, read and found sound."""

    name: str
    environment_name: str
    flavor_name: str
    key_name: str
    image_name: str
    count: int
    floating: bool
    randomized: bool
    labels: list[str]
    rules: list[dict[str, Any]]


def read_wanted(body: dict[str, Any]) -> Wanted:
    """Read a create request.

    Raises:
        Refusal: ``bad_request`` naming the field.
    """
    name, count, labels = body.get("name"), body.get("count"), body.get("labels") or []
    texts = ("environment_name", "flavor_name", "key_name", "image_name")
    checks = {
        f"name must have 1 to {_NAME_MAX} characters": isinstance(name, str) and 0 < len(name) <= _NAME_MAX,
        "count must be a positive integer": type(count) is int and count > 0,
        "labels must be texts": isinstance(labels, list) and all(isinstance(label, str) for label in labels),
        "user_data is too long": len(str(body.get("user_data") or "")) <= _USER_DATA_MAX,
        **{f"{key} is required": isinstance(body.get(key), str) and body[key] for key in texts},
        **{f"{key} must be a boolean": isinstance(body.get(key, False), bool) for key in _FLAGS},
        **{f"{key} is unknown": False for key in body.keys() - _KNOWN},
    }
    for message, holds in checks.items():
        if not holds:
            raise bad_request(f"{message}.")
    floating = body.get("assign_floating_ip", False)
    return Wanted(
        name=str(name),
        environment_name=body["environment_name"],
        flavor_name=body["flavor_name"],
        key_name=body["key_name"],
        image_name=body["image_name"],
        count=int(count or 1),
        floating=floating,
        randomized=floating and body.get("enable_port_randomization", True),
        labels=labels,
        rules=[read_rule(rule) for rule in body.get("security_rules") or []],
    )


def read_rule(rule: object) -> dict[str, Any]:
    """Read a firewall rule.

    Raises:
        Refusal: ``bad_request``.
    """
    wanted = ("direction", "ethertype", "protocol", "remote_ip_prefix")
    if not isinstance(rule, dict) or not all(isinstance(rule.get(key), str) for key in wanted):
        raise bad_request("Invalid security rule.")
    if rule["direction"] not in {"ingress", "egress"} or rule["ethertype"] not in {"IPv4", "IPv6"}:
        raise bad_request("Invalid security rule.")
    ends = {key: rule.get(key) for key in ("port_range_min", "port_range_max")}
    return {**{key: rule[key] for key in wanted}, **ends, "status": "SUCCESS"}


def behaviour_of(rules: list[dict[str, Any]], *, floating: bool, randomized: bool) -> HostBehaviour:
    """Return how the machine answers: SSH only with a public address, its own port and a rule that lets it in."""
    opened = any(
        rule["direction"] == "ingress"
        and rule["protocol"] in {"tcp", "any"}
        and (rule["port_range_min"] or 0) <= _SSH_PORT <= (rule["port_range_max"] or 65_535)
        for rule in rules
    )
    return HostBehaviour(accepts_ssh=opened and floating and not randomized)
