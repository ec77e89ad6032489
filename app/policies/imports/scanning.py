"""Scanning values: strings in either quotes, numbers, lists and tables in brackets, and bare words as people write them."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from typing import Final

from app.policies.imports.tree import DEPTH_MAX, Item, Notice, Scalar, Table, UnreadableError

_SPACE: Final = re.compile(r"(?:\s|#[^\n]*|//[^\n]*)*")
_BARE: Final = re.compile(r"[^,\]\}\n#]*")
_KEY: Final = re.compile(r"""[^\s=:,\]\}\{\["'#]+""")
_WORDS: Final[dict[str, Scalar]] = {
    "true": True,
    "yes": True,
    "false": False,
    "no": False,
    "null": None,
    "none": None,
    "~": None,
}
_NUMBER: Final = re.compile(r"[+-]?\d[\d_]*(\.\d+)?")
_ESCAPES: Final = {"n": "\n", "t": "\t", '"': '"', "'": "'", "\\": "\\", "/": "/"}


class Scanner:
    """A place in a text. Lines count from 1."""

    def __init__(self, text: str, notices: list[Notice], *, line: int = 1) -> None:
        self.text, self.at, self.notices = text, 0, notices
        self._line, self._counted = line, 0

    @property
    def line(self) -> int:
        """Return the line of the present place."""
        if self.at > self._counted:
            self._line += self.text.count("\n", self._counted, self.at)
            self._counted = self.at
        return self._line

    def skip(self) -> str:
        """Pass over space and comments, and return the next character; an empty text at the end."""
        found = _SPACE.match(self.text, self.at)
        self.at = found.end() if found else self.at
        return self.text[self.at : self.at + 1]

    def value(self, depth: int = 0) -> Item:
        """Read one value.

        Raises:
            UnreadableError: there is none, or it does not end.
        """
        first, line = self.skip(), self.line
        if depth > DEPTH_MAX:
            raise UnreadableError(line, "Values lie too deep within each other.")
        if first in {'"', "'"}:
            return Item(self.quoted(), line)
        if first == "[":
            return Item(self._list(depth), line)
        if first == "{":
            return Item(self._table(depth), line)
        return Item(self._bare(), line)

    def quoted(self) -> str:
        """Read a string in quotes."""
        quote, line, parts = self.text[self.at], self.line, []
        triple = self.text.startswith(quote * 3, self.at)
        end = quote * 3 if triple else quote
        self.at += len(end)
        while not self.text.startswith(end, self.at):
            if self.at >= len(self.text) or (self.text[self.at] == "\n" and not triple):
                raise UnreadableError(line, "A text in quotes does not end.")
            if self.text[self.at] == "\\" and quote == '"':
                self.at += 1
                parts.append(_ESCAPES.get(self.text[self.at : self.at + 1], ""))
            else:
                parts.append(self.text[self.at])
            self.at += 1
        self.at += len(end)
        return "".join(parts)

    def key(self) -> str:
        """Read a key, in quotes or bare."""
        if self.skip() in {'"', "'"}:
            return self.quoted()
        found = _KEY.match(self.text, self.at)
        if found is None:
            raise UnreadableError(self.line, "There is no key where one is due.")
        self.at = found.end()
        return found.group()

    def _list(self, depth: int) -> list[Item]:
        items, line = [], self.line
        self.at += 1
        while (first := self.skip()) != "]":
            if not first:
                raise UnreadableError(line, "A list does not end.")
            if first == ",":
                self.at += 1
            else:
                items.append(self.value(depth + 1))
        self.at += 1
        return items

    def _table(self, depth: int) -> Table:
        table, line = Table(), self.line
        self.at += 1
        while (first := self.skip()) != "}":
            if not first:
                raise UnreadableError(line, "A table does not end.")
            if first == ",":
                self.at += 1
                continue
            key_line, key = self.line, self.key()
            if self.skip() not in {":", "="}:
                raise UnreadableError(key_line, f"Nothing is said of {key}.")
            self.at += 1
            table.put(key, Item(self.value(depth + 1).value, key_line), self.notices)
        self.at += 1
        return table

    def _bare(self) -> Scalar:
        found = _BARE.match(self.text, self.at)
        word = found.group().strip() if found else ""
        if not word:
            raise UnreadableError(self.line, "There is no value where one is due.")
        self.at = found.end() if found else self.at
        return scalar(word)


def scalar(word: str) -> Scalar:
    """Return what a bare word means: a number, a truth, nothing, or itself."""
    if word.lower() in _WORDS:
        return _WORDS[word.lower()]
    if _NUMBER.fullmatch(word):
        try:
            return Decimal(word.replace("_", ""))
        except InvalidOperation:
            return word
    return word
