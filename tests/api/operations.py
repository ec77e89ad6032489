"""Every operation of the API, read from its description, so that a new one is covered by what goes through all of them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

PROBLEM = "application/problem+json"
PUBLIC = frozenset({"get_health", "get_readiness", "receive_stripe_event"})
"""Operations without a key."""


@dataclass(frozen=True)
class Operation:
    """One method of one path."""

    method: str
    path: str
    spec: dict[str, Any] = field(repr=False, compare=False)
    schemas: dict[str, Any] = field(repr=False, compare=False)

    @property
    def id(self) -> str:
        return str(self.spec["operationId"])

    @property
    def scope(self) -> str | None:
        """The scope it asks for; None for any valid key."""
        scopes = [scope for scheme in self.spec.get("security", []) for scope in scheme.get("apiKey", ())]
        return scopes[0] if scopes else None

    @property
    def secured(self) -> bool:
        return "security" in self.spec

    @property
    def by_person(self) -> bool:
        """Whether only a person who is signed in can ask, and no key."""
        return self.secured and not any("apiKey" in scheme for scheme in self.spec["security"])

    @cached_property
    def owners(self) -> list[tuple[str, str]]:
        """For each id in the path its collection and its name: ("rentals", "rental_id")."""
        return re.findall(r"([a-z-]+)/\{([a-z_]+)\}", self.path)

    @property
    def query(self) -> list[dict[str, Any]]:
        return [one for one in self.spec.get("parameters", ()) if one["in"] == "query"]

    @cached_property
    def body(self) -> dict[str, Any] | None:
        """The schema of the body, resolved at its top."""
        if "requestBody" not in self.spec:
            return None
        return self.resolved(self.spec["requestBody"]["content"]["application/json"]["schema"])

    @property
    def example(self) -> Any:
        """A body that is fine."""
        return None if self.body is None else dict(self.body["examples"][0])

    def resolved(self, schema: dict[str, Any]) -> dict[str, Any]:
        while "$ref" in schema:
            schema = self.schemas[schema["$ref"].rpartition("/")[2]]
        return schema

    def kinds(self, schema: dict[str, Any]) -> set[str]:
        """The JSON types that a schema takes."""
        schema = self.resolved(schema)
        if "anyOf" in schema:
            return set().union(*(self.kinds(one) for one in schema["anyOf"]))
        return {schema.get("type", "string" if "enum" in schema or "const" in schema else "any")}

    def at(self, **ids: str) -> str:
        """The path with ids filled in; those not given name nothing."""
        return re.sub(r"\{([a-z_]+)\}", lambda found: ids.get(found[1], "nothing"), self.path)

    def documents(self, status: int) -> bool:
        return str(status) in self.spec["responses"]


def operations(document: dict[str, Any]) -> list[Operation]:
    """Return every operation of a description."""
    schemas = document["components"]["schemas"]
    return [
        Operation(method.upper(), path, spec, schemas)
        for path, methods in document["paths"].items()
        for method, spec in methods.items()
    ]
