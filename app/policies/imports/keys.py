"""Keys as people write them: quoted or not, in any case, misspelt; and those that must never be kept."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Final

from app.policies.imports.tree import Item, Notice, Table

_SECRET: Final = re.compile(
    r"(?:^|_)(?:api_?key|key|secret|token|password|passwd|credentials?)s?(?:_|$)", re.IGNORECASE
)
_LIKENESS: Final = 0.8
_SHOWN_MAX: Final = 40


def known_keys(
    table: Table, aliases: Mapping[str, str], notices: list[Notice], *, unknown: Callable[[str, Item], None]
) -> Iterator[tuple[str, Item]]:
    """Yield a table's settings under the names that we give them; others go to ``unknown``, credentials nowhere.

    ``aliases`` maps what circulates, as ``plain`` writes it, to our name.
    """
    for key, item in table.items.items():
        name = plain(key)
        if _is_secret(name):
            note_odd_key(key, item, notices)
        elif name in aliases:
            yield aliases[name], item
        elif like := _like(name, aliases):
            notices.append(Notice(item.line, "misspelt_key", f"{shown(key)} was read as {like}."))
            yield aliases[like], item
        else:
            unknown(key, item)


def note_odd_key(key: str, item: Item, notices: list[Notice]) -> None:
    """Tell of a key that is left out: as a credential where it may be one, else as one that is not understood."""
    if _is_secret(plain(key)):
        message = f"{shown(key)} was neither read nor kept. Take it out of the file; revoke it if others have seen it."
        notices.append(Notice(item.line, "secret_left_out", message))
    else:
        notices.append(Notice(item.line, "unknown_key", f"{shown(key)} is not understood; it was left out."))


def plain(key: str) -> str:
    """Return a key without quotes, case and separators other than ``_``, ``$`` and ``/``."""
    return re.sub(r"[\s\-.]+", "_", key.strip("\"' \t")).lower()


def shown(key: str) -> str:
    """Return a key as it may be repeated: printable, and short."""
    return "".join(filter(str.isprintable, key))[:_SHOWN_MAX]


def _is_secret(name: str) -> bool:
    return _SECRET.search(name) is not None


def _like(name: str, aliases: Iterable[str]) -> str | None:
    found = get_close_matches(name[:64], list(aliases), n=1, cutoff=_LIKENESS)
    return found[0] if found else None
