"""Checks what claims to be Stripe's against the type annotations of Stripe's own library.

A field that is not Optional must be there, a field that the class does not have must not, a ``Literal`` is closed even
where the library leaves it open, a reference is an id or the object itself, and so on down to the leaves.
"""

from __future__ import annotations

import ast
import functools
import inspect
from decimal import Decimal
from importlib import import_module
from typing import Any, ClassVar, ForwardRef, Literal, Union, get_args, get_origin

from stripe._error_object import ErrorObject
from stripe._list_object import ListObject
from stripe._object_classes import OBJECT_CLASSES
from stripe._stripe_object import StripeObject, UntypedStripeObject

_DELETED = {"id", "object", "deleted"}
_LISTS = {"list": {"data", "has_more", "url"}, "search_result": {"data", "has_more", "url", "next_page"}}


def faults_of(value: Any, where: str = "") -> list[str]:
    """Return what is wrong with an object, a list of them, an event or an error."""
    if not isinstance(value, dict):
        return [f"{where or 'answer'}: no object"]
    if set(value) == {"error"}:
        return _faults_of_class(value["error"], ErrorObject, f"{where}error")
    name = value.get("object")
    where = where or str(name)
    if name in _LISTS:
        wrong = [f"{where}: fields {sorted(value)}"] if set(value) - {"object"} != _LISTS[name] else []
        return wrong + [fault for row in value.get("data", []) for fault in faults_of(row, f"{where}[]")]
    if name not in OBJECT_CLASSES:
        return [f"{where}: {name!r} is no kind of object"]
    if value.get("deleted") is True and set(value) == _DELETED:
        return []
    return _faults_of_class(value, _class_of(name), where) + (_faults_of_event(value) if name == "event" else [])


def _faults_of_event(event: dict[str, Any]) -> list[str]:
    data = event.get("data")
    found = data.get("object") if isinstance(data, dict) else None
    if not isinstance(found, dict):
        return ["event.data.object: no object"]
    previous = data.get("previous_attributes") or {}
    wrong = faults_of(found, f"{event.get('type')}: {found.get('object')}")
    if found.get("object") in OBJECT_CLASSES:
        known = _fields(_class_of(found["object"]))
        wrong += [f"{event.get('type')}: previous {name}" for name in previous if name not in known]
    return wrong


def _faults_of_class(value: Any, cls: type, where: str) -> list[str]:
    if not isinstance(value, dict):
        return [f"{where}: {type(value).__name__} instead of {cls.__name__}"]
    fields = _fields(cls)
    wrong = [f"{where}.{name}: no such field" for name in value if name not in fields]
    for name, (kind, names) in fields.items():
        if name in value:
            wrong += _faults(value[name], kind, names, f"{where}.{name}")
        elif not _is_optional(kind):
            wrong.append(f"{where}.{name}: missing")
    return wrong


def _faults(value: Any, kind: Any, names: dict[str, type], where: str) -> list[str]:
    if isinstance(kind, ForwardRef | str):
        kind = names[kind.__forward_arg__ if isinstance(kind, ForwardRef) else kind]
    if (by_origin := _BY_ORIGIN.get(get_origin(kind))) is not None:
        return by_origin(value, get_args(kind), names, where)
    if inspect.isclass(kind) and issubclass(kind, StripeObject):
        return _faults_of_class(value, kind, where)
    return [] if _is_a(value, kind) else [f"{where}: {value!r} is no {getattr(kind, '__name__', kind)}"]


def _faults_of_choice(value: Any, args: tuple[Any, ...], names: dict[str, type], where: str) -> list[str]:
    return [] if value in args else [f"{where}: {value!r} is none of its words"]


def _faults_of_many(value: Any, args: tuple[Any, ...], names: dict[str, type], where: str) -> list[str]:
    if not isinstance(value, list):
        return [f"{where}: no list"]
    return [fault for item in value for fault in _faults(item, args[0], names, f"{where}[]")]


def _faults_of_union(value: Any, args: tuple[Any, ...], names: dict[str, type], where: str) -> list[str]:
    kinds = [arg for arg in args if arg is not type(None)]
    if value is None:
        return [] if len(kinds) < len(args) else [f"{where}: null"]
    if any(get_origin(arg) is Literal for arg in kinds):
        kinds = [arg for arg in kinds if arg is not str]
    tried = [_faults(value, kind, names, where) for kind in kinds]
    return [] if [] in tried else min(tried, key=lambda found: (found[0].count("instead of"), len(found)))


def _faults_of_map(value: Any, args: tuple[Any, ...], names: dict[str, type], where: str) -> list[str]:
    if not isinstance(value, dict):
        return [f"{where}: no map"]
    return [fault for name, item in value.items() for fault in _faults(item, args[0], names, f"{where}[{name}]")]


def _faults_of_list(value: Any, args: tuple[Any, ...], names: dict[str, type], where: str) -> list[str]:
    if not isinstance(value, dict) or value.get("object") != "list":
        return [f"{where}: no list object"]
    wrong = [f"{where}: fields {sorted(value)}"] if set(value) - {"object"} != _LISTS["list"] else []
    return wrong + [fault for row in value.get("data", []) for fault in _faults(row, args[0], names, f"{where}[]")]


_BY_ORIGIN = {
    Union: _faults_of_union,
    Literal: _faults_of_choice,
    list: _faults_of_many,
    UntypedStripeObject: _faults_of_map,
    ListObject: _faults_of_list,
}


def _is_a(value: Any, kind: Any) -> bool:
    if kind is Any:
        return True
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, str if kind is Decimal else kind)


def _is_optional(kind: Any) -> bool:
    return get_origin(kind) is Union and type(None) in get_args(kind)


def _class_of(name: str) -> type:
    module, attribute = OBJECT_CLASSES[name]
    return getattr(import_module(module), attribute)


@functools.cache
def _fields(cls: type) -> dict[str, tuple[Any, dict[str, type]]]:
    """Return a class's fields: what each may be, and what the names in it stand for."""
    found: dict[str, tuple[Any, dict[str, type]]] = {}
    for base in reversed(cls.__mro__):
        if base.__module__.startswith("stripe.") and base is not StripeObject:
            names = _names(base.__module__)
            for name, kind in vars(base).get("__annotations__", {}).items():
                if get_origin(kind) is not ClassVar and not name.startswith("_"):
                    found[name] = (kind, names)
    return found


class _Names(dict[str, Any]):
    """What the names of one module's annotations stand for, imported when asked for."""

    def __init__(self, sources: dict[str, tuple[str, str]]) -> None:
        super().__init__()
        self._sources = sources

    def __missing__(self, name: str) -> Any:
        module, attribute = self._sources[name]
        self[name] = getattr(import_module(module), attribute)
        return self[name]


@functools.cache
def _names(module: str) -> _Names:
    """Return what a module imports for its annotations only."""
    tree = ast.parse(inspect.getsource(import_module(module)))
    return _Names(
        {
            alias.asname or alias.name: (node.module, alias.name)
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and node.module
            for alias in node.names
        }
    )
