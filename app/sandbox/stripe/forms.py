"""Form-encoded parameters with brackets (``a[b][0]=c``), and the check that a call takes only those it knows.

A spec names what a call takes: ``str``, ``int``, ``bool``, ``dict`` for a map of strings, a tuple of words for a choice,
a mapping for parameters within parameters, a list with one spec for many. A name with ``!`` must be given.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from app.sandbox.stripe.errors import StripeRefusal

Params = dict[str, Any]
Spec = dict[str, Any]

METADATA = dict
CREATED: Spec = {"gt": int, "gte": int, "lt": int, "lte": int}
LIST: Spec = {"limit": int, "starting_after": str, "ending_before": str, "created": CREATED}
_INTEGER = re.compile(r"-?\d{1,15}")
_NAME = re.compile(r"[^\[\]]+|\[\]")
_KEYS_MAX, _KEY_MAX, _VALUE_MAX = 50, 40, 500


def decode(text: str) -> Params:
    """Return nested parameters as they were sent; lists are maps from ``0`` on."""
    params: Params = {}
    for name, value in parse_qsl(text, keep_blank_values=True, max_num_fields=2_000):
        parts = _NAME.findall(name)
        place = params
        for part, following in zip(parts, [*parts[1:], None], strict=True):
            key = str(len(place)) if part == "[]" else part
            if following is None:
                place[key] = value
            else:
                place = place.setdefault(key, {})
                if not isinstance(place, dict):
                    raise StripeRefusal(400, f"Invalid parameters: {name} was given twice.", param=name)
    return params


def read(given: Params, spec: Spec, *, within: str = "") -> Params:
    """Return typed parameters; an empty text is None.

    Raises:
        StripeRefusal: one is unknown, missing or of another type.
    """
    kinds = {name.rstrip("!"): kind for name, kind in spec.items()}
    for name in given:
        if name not in kinds:
            full = _full(within, name)
            raise StripeRefusal(400, f"Received unknown parameter: {full}", code="parameter_unknown", param=full)
    for name in spec:
        if name.endswith("!") and given.get(name[:-1], "") == "":
            full = _full(within, name[:-1])
            raise StripeRefusal(400, f"Missing required param: {full}.", code="parameter_missing", param=full)
    return {name: _value(value, kinds[name], _full(within, name)) for name, value in given.items()}


def merged(old: Mapping[str, str], changes: Mapping[str, str]) -> dict[str, str]:
    """Return metadata with changes; an empty value removes its key."""
    return {key: value for key, value in {**old, **changes}.items() if value}


def need_urls(params: Params, *names: str) -> None:
    """Check that parameters are addresses of the web.

    Raises:
        StripeRefusal: one is not.
    """
    for name in names:
        if params.get(name) and not params[name].startswith(("http://", "https://")):
            raise StripeRefusal(400, "Not a valid URL", code="url_invalid", param=name)


def _full(within: str, name: str) -> str:
    return f"{within}[{name}]" if within else name


def _value(value: Any, kind: Any, name: str) -> Any:  # noqa: ANN401 - any parameter
    if kind is METADATA:
        return _metadata(value, name)
    if isinstance(kind, list):
        return _many(value, kind[0], name)
    if kind is CREATED and isinstance(value, str):
        return {"equal": _integer(value, name)}
    if isinstance(kind, dict):
        if not isinstance(value, dict):
            raise _invalid("hash", name)
        return read(value, kind, within=name)
    if not isinstance(value, str):
        raise _invalid("string", name)
    return _single(value, kind, name) if value else None


def _single(value: str, kind: Any, name: str) -> str | int | bool:  # noqa: ANN401 - a type or a choice
    if kind is int:
        return _integer(value, name)
    if kind is bool:
        if value not in {"true", "false"}:
            raise _invalid("boolean", name)
        return value == "true"
    if isinstance(kind, tuple) and value not in kind:
        raise StripeRefusal(400, f"Invalid {name}: must be one of {', '.join(kind)}", param=name)
    return value


def _many(value: Any, kind: Any, name: str) -> list[Any]:  # noqa: ANN401 - what was sent
    if value == "":
        return []
    if not isinstance(value, dict):
        raise _invalid("array", name)
    return [_value(item, kind, f"{name}[{key}]") for key, item in value.items()]


def _metadata(value: Any, name: str) -> dict[str, str]:  # noqa: ANN401 - what was sent
    if value == "":
        return {}
    if not isinstance(value, dict) or any(not isinstance(item, str) for item in value.values()):
        raise _invalid("hash", name)
    if len(value) > _KEYS_MAX:
        raise StripeRefusal(400, f"Metadata can have up to {_KEYS_MAX} keys.", param=name)
    for key, item in value.items():
        if len(key) > _KEY_MAX or len(item) > _VALUE_MAX:
            raise StripeRefusal(
                400, f"Metadata keys can have up to {_KEY_MAX} characters, values up to {_VALUE_MAX}.", param=name
            )
    return dict(value)


def _integer(value: str, name: str) -> int:
    if not _INTEGER.fullmatch(value):
        raise StripeRefusal(400, f"Invalid integer: {value}", code="parameter_invalid_integer", param=name)
    return int(value)


def _invalid(kind: str, name: str) -> StripeRefusal:
    return StripeRefusal(400, f"Invalid {kind}: {name}", param=name)
