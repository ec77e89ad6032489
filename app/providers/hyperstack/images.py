"""Which system a machine boots. An image is named by all its versions, so its name changes with each of them."""

from __future__ import annotations

import re
from collections.abc import Iterable

from app.providers.errors import Rejected
from app.providers.reading import Malformed, items, mapping, maybe, name

_NOT_PLAIN = re.compile(r"[^a-z0-9.]+")
_NUMBERS = re.compile(r"[0-9]+")
_SYSTEM = "ubuntu-server"


def image_names(groups: list[object]) -> list[str]:
    """Return the names of all images in all groups.

    Raises:
        Malformed: not one can be read.
    """
    found = []
    for group in groups:
        listed = maybe(items, (maybe(mapping, group) or {}).get("images")) or []
        names = (maybe(name, (maybe(mapping, image) or {}).get("name")) for image in listed)
        found += [title for title in names if title is not None]
    if not found:
        raise Malformed("no image can be read")
    return found


def choose_image(names: Iterable[str], wanted: str) -> str:
    """Return the newest image that the wish names.

    A container's image (with ``/`` or ``:``) names none: then any Ubuntu with CUDA does, rather one with Docker.
    A system is named by the beginning of an image's name with dashes for spaces, ``ubuntu-server-22.04-lts``.

    Raises:
        Rejected: there is none such.
    """
    any_system = "/" in wanted or ":" in wanted
    begin = _SYSTEM if any_system else _plain(wanted)
    fitting = [title for title in names if _plain(title).startswith(begin) and not (any_system and not _cuda(title))]
    if not fitting:
        raise Rejected("this region has no such image")
    return max(fitting, key=_newness)


def _cuda(title: str) -> bool:
    return "cuda" in title.casefold()


def _newness(title: str) -> tuple[bool, bool, list[int]]:
    """Order by CUDA, by Docker, then by all numbers from left to right: the system's, the driver's, CUDA's."""
    return _cuda(title), "docker" in title.casefold(), [int(digits) for digits in _NUMBERS.findall(title)]


def _plain(title: str) -> str:
    return _NOT_PLAIN.sub("-", title.casefold()).strip("-")
