"""Documents: TOML, JSON (also as Python writes it), YAML's plain part and CSV, as people keep them, into one tree.

Lines that can't be read are told and left out; the rest counts.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from app.policies.imports.scanning import Scanner, scalar
from app.policies.imports.tree import DEPTH_MAX, LINES_MAX, Item, Notice, Table, UnreadableError

_ASSIGNED: Final = re.compile(r"\s*(?:[A-Za-z_]\w*\s*=\s*)?(?=\{)")
_SECTION: Final = re.compile(r"\s*+\[\[?([^\[\]]++)\]\]?\s*+(?:#.*)?")
_PART: Final = re.compile(r"""\s*+(?:"([^"]*+)"\s*+|'([^']*+)'\s*+|([^."']++))(?:\.|$)""")
_SETTING: Final = re.compile(r"""\s*+("[^"]*+"\s*+|'[^']*+'\s*+|[^\s=:"'\[\{#][^=:]*+)[=:]""")
_NESTED: Final = re.compile(r"""( *+)("[^"]*+"\s*+|'[^']*+'\s*+|[^\s=:"'\[\{#-][^=:]*+):\s*+(?:#.*)?""")
_ITEM: Final = re.compile(r"( *+)-\s++(.+)")


def read_document(text: str) -> tuple[Table, list[Notice]]:
    """Return what a text says and what is odd about it; whatever it holds, nothing is raised."""
    notices: list[Notice] = []
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    if text.count("\n") > LINES_MAX:
        text = "\n".join(text.split("\n", LINES_MAX)[:LINES_MAX])
        notices.append(Notice(LINES_MAX, "too_long", f"Only the first {LINES_MAX} lines were read."))
    try:
        return _read(text, notices), notices
    except UnreadableError as error:
        notices.append(Notice(error.line, "unreadable", error.message))
        return Table(), notices


def _read(text: str, notices: list[Notice]) -> Table:
    begins = _without_comments(text)
    if (table := _json(begins, notices)) is not None:
        return table
    if _is_csv(begins):
        return _csv(begins, notices)
    lines = text.split("\n")
    if any(_SECTION.fullmatch(line) for line in lines) or not any(_NESTED.fullmatch(line) for line in lines):
        return _toml(lines, notices)
    return _yaml(lines, notices)


def _without_comments(text: str) -> str:
    """Return a text whose leading comments are empty lines, so that lines count the same."""
    lines = text.split("\n")
    for n, line in enumerate(lines):
        if line.strip() and not line.lstrip().startswith(("#", "//", "---")):
            break
        lines[n] = ""
    return "\n".join(lines)


def _json(text: str, notices: list[Notice]) -> Table | None:
    """Return a text that is one table in braces, or one such that a name is given; None for any other."""
    begin = _ASSIGNED.match(text)
    if begin is None:
        return None
    found: list[Notice] = []
    scanner = Scanner(text, found)
    scanner.at = begin.end()
    table = scanner.value().value
    ended = scanner.skip() in {"", ";"}
    is_named = bool(begin.group().strip())
    if not isinstance(table, Table) or (is_named and not (ended and _holds_tables(table))):
        return None
    notices += found
    if not ended:
        notices.append(Notice(scanner.line, "unreadable", "What follows the closing brace was left out."))
    return table


def _holds_tables(table: Table) -> bool:
    return all(isinstance(item.value, Table) for item in table.items.values())


def _is_csv(text: str) -> bool:
    head = text.lstrip().split("\n", 1)[0]
    return head.lower().startswith(("team,", "team;", "team\t", '"team"', "name,", "name;")) and "=" not in head


def _csv(text: str, notices: list[Notice]) -> Table:
    skipped = len(text) - len(text.lstrip("\n"))
    head = text[skipped:].split("\n", 1)[0]
    delimiter = max(",;\t", key=head.count)
    rows = csv.reader(text[skipped:].split("\n"), delimiter=delimiter, skipinitialspace=True)
    names = [name.strip() for name in next(rows)]
    table = Table()
    for row in rows:
        line = rows.line_num + skipped
        if not row or not row[0].strip() or row[0].lstrip().startswith("#"):
            continue
        if len(row) > len(names):
            notices.append(
                Notice(line, "unreadable", "There are more cells than columns; what is beyond was left out.")
            )
        team = Table()
        for name, cell in zip(names[1:], row[1:], strict=False):
            if cell.strip():
                team.put(name, Item(scalar(cell.strip()), line), notices)
        table.put(row[0].strip(), Item(team, line), notices)
    return table


def _toml(lines: Sequence[str], notices: list[Notice]) -> Table:
    root = Table()
    here, numbered = root, _numbered(lines)
    for line, text in numbered:
        section = _SECTION.fullmatch(text)
        if section is not None:
            here = _descend(root, _parts(section.group(1)), line)
            continue
        setting = _SETTING.match(text)
        if setting is None:
            notices.append(Notice(line, "unreadable", "This line is neither a section nor a setting; it was left out."))
            continue
        _set(here, setting, lines, line, numbered, notices)
    return root


def _set(
    here: Table,
    setting: re.Match[str],
    lines: Sequence[str],
    line: int,
    numbered: Iterator[tuple[int, str]],
    notices: list[Notice],
) -> None:
    """Read one setting, whose value may go on over the next lines."""
    first = lines[line - 1][setting.end() :]
    *above, key = _parts(setting.group(1)) or [""]
    here = _descend(here, above, line)
    if not first.lstrip().startswith(("[", "{", '"', "'")):
        here.put(key, Item(scalar(_bare(first)), line), notices)
        return
    rest = "\n".join([first, *lines[line:]]) if _goes_on(first) else first
    scanner = Scanner(rest, notices, line=line)
    try:
        item = scanner.value()
        for _ in range(scanner.line - line):
            next(numbered, None)
        here.put(key, Item(item.value, line), notices)
    except UnreadableError as error:
        notices.append(Notice(error.line, "unreadable", error.message))


def _bare(text: str) -> str:
    """Return a value without quotes: the rest of its line, up to a comment."""
    return text.partition(" #")[0].strip().rstrip(",")


def _goes_on(text: str) -> bool:
    return text.lstrip().startswith(("[", "{", '"""', "'''"))


def _yaml(lines: Sequence[str], notices: list[Notice]) -> Table:
    opened = [_Open(-1, Table())]
    numbered = _numbered(lines)
    for line, text in numbered:
        indent = len(text) - len(text.lstrip(" "))
        item = _ITEM.fullmatch(text)
        while len(opened) > 1 and opened[-1].indent >= indent + (item is not None):
            opened.pop()
        here, nested, setting = opened[-1], _NESTED.fullmatch(text), _SETTING.match(text)
        if item is not None:
            _add_item(here, item.group(2), line, notices)
        elif nested is not None and len(opened) <= DEPTH_MAX:
            key = nested.group(2).strip("\"' ")
            opened.append(_Open(indent, here.table.table(key, line), here.table, key))
        elif setting is not None:
            _set(here.table, setting, lines, line, numbered, notices)
        else:
            notices.append(Notice(line, "unreadable", "This line is neither a name nor a setting; it was left out."))
    return opened[0].table


@dataclass(slots=True)
class _Open:
    """A table that lines further in belong to; it may turn out to be a list."""

    indent: int
    table: Table
    owner: Table | None = None
    key: str = ""
    items: list[Item] | None = None


def _add_item(here: _Open, word: str, line: int, notices: list[Notice]) -> None:
    if here.owner is None or here.table.items:
        notices.append(Notice(line, "unreadable", "This item belongs to no list; it was left out."))
        return
    if here.items is None:
        here.items = []
        here.owner.items[here.key] = Item(here.items, here.owner.items[here.key].line)
    here.items.append(Item(scalar(_bare(word).strip("\"'")), line))


def _numbered(lines: Sequence[str]) -> Iterator[tuple[int, str]]:
    """Yield lines that say something, with their numbers."""
    for n, text in enumerate(lines, start=1):
        if text.strip() and not text.lstrip().startswith(("#", "//", "---")):
            yield n, text


def _parts(name: str) -> list[str]:
    return [next(filter(None, found.groups()), "").strip() for found in _PART.finditer(name)][:DEPTH_MAX]


def _descend(root: Table, parts: Sequence[str], line: int) -> Table:
    here = root
    for part in parts:
        here = here.table(part, line)
    return here
