"""What the client shows: tables and facts for people, the API's own JSON for scripts."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

Columns = Sequence[tuple[str, str]]
"""(title, path) each, where a path such as ``rate.per_hour`` leads into the object."""


def write_json(told: object) -> None:
    """Write a value as JSON on one line."""
    sys.stdout.write(json.dumps(told, ensure_ascii=False) + "\n")


def write_line(text: str) -> None:
    """Write a line."""
    sys.stdout.write(text + "\n")


def show(told: Mapping[str, Any], facts: Columns, *, as_json: bool) -> None:
    """Write an object: some of its facts for people, all of it for scripts."""
    if as_json:
        write_json(told)
    else:
        write_facts(told, facts)


def show_list(rows: Sequence[Mapping[str, Any]], columns: Columns, empty: str, *, as_json: bool) -> None:
    """Write a list: a table for people, all of it for scripts."""
    if as_json:
        write_json({"object": "list", "data": rows})
    else:
        write_table(rows, columns, empty=empty)


def write_table(rows: Sequence[Mapping[str, Any]], columns: Columns, *, empty: str) -> None:
    """Write a table of some columns, or a sentence when there are no rows. Columns without any value are left out."""
    from rich.console import Console
    from rich.table import Table

    if not rows:
        write_line(empty)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    shown = [(title, path) for title, path in columns if any(at(row, path) is not None for row in rows)]
    for title, _ in shown:
        table.add_column(title, no_wrap=True)
    for row in rows:
        table.add_row(*(text_of(at(row, path)) for _, path in shown))
    console = Console()
    console.width = max(console.width, 160) if not console.is_terminal else console.width
    console.print(table, markup=False)


def write_facts(told: Mapping[str, Any], facts: Columns) -> None:
    """Write facts below each other; those without a value are left out."""
    shown = [(title, text_of(at(told, path))) for title, path in facts if at(told, path) is not None]
    width = max((len(title) for title, _ in shown), default=0)
    for title, text in shown:
        write_line(f"{title:<{width}}  {text}")


def at(told: Mapping[str, Any], path: str) -> Any:  # noqa: ANN401 - a JSON value
    """Return what lies at a path, or None."""
    value: Any = told
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def text_of(value: object) -> str:
    """Return a JSON value as people read it, without control characters."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case list():
            text = ", ".join(map(text_of, value))
        case dict():
            text = ", ".join(f"{key} {text_of(item)}" for key, item in value.items())
        case _:
            text = str(value)
    return "".join(character if character.isprintable() else " " for character in text)
