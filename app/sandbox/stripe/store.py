"""The objects of a Stripe account, in memory and, with a file, on disk.

The file is a journal: each line is what one call changed, and a line that was cut short by the end of the process
never was. So an answered call is still answered for after a restart, killed or not.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

Obj = dict[str, Any]


class Store:
    """Objects by kind and id, oldest first, each with notes that no answer shows."""

    def __init__(self) -> None:
        self._objects: dict[str, dict[str, Obj]] = {}
        self._kinds: dict[str, str] = {}
        self._notes: dict[str, dict[str, Any]] = {}
        self._changed: dict[str, None] = {}
        self._file: IO[str] | None = None

    def open(self, path: Path) -> None:
        """Take up what a journal tells, and go on with it."""
        self._load(path)
        self._file = self._rewritten(path)

    def add(self, obj: Obj, **notes: Any) -> Obj:  # noqa: ANN401 - any JSON
        """Take a new object in."""
        self._objects.setdefault(obj["object"], {})[obj["id"]] = obj
        self._kinds[obj["id"]] = obj["object"]
        if notes:
            self._notes[obj["id"]] = notes
        return self.touch(obj)

    def get(self, kind: str, object_id: str) -> Obj | None:
        """Return an object."""
        return self._objects.get(kind, {}).get(object_id)

    def find(self, object_id: str) -> Obj | None:
        """Return an object of any kind."""
        kind = self._kinds.get(object_id)
        return None if kind is None else self._objects[kind][object_id]

    def all(self, kind: str) -> Iterator[Obj]:
        """Return the objects of a kind, oldest first."""
        return iter(self._objects.get(kind, {}).values())

    def remove(self, obj: Obj) -> None:
        """Forget an object."""
        self._objects[obj["object"]].pop(obj["id"])
        del self._kinds[obj["id"]]
        self._notes.pop(obj["id"], None)
        self._changed[obj["id"]] = None

    def notes(self, obj: Obj) -> dict[str, Any]:
        """Return what is noted beside an object; ``touch`` it after a change."""
        return self._notes.setdefault(obj["id"], {})

    def touch(self, obj: Obj) -> Obj:
        """Remember that an object changed."""
        self._changed[obj["id"]] = None
        return obj

    def commit(self) -> None:
        """Write what changed since the last commit."""
        changed, self._changed = self._changed, {}
        if self._file is None or not changed:
            return
        self._file.write(json.dumps([self._row(object_id) for object_id in changed]) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self.commit()
            self._file.close()
            self._file = None

    def _row(self, object_id: str) -> list[Any]:
        return [object_id, self.find(object_id), self._notes.get(object_id)]

    def _load(self, path: Path) -> None:
        if not path.exists():
            return
        for line in path.read_text(encoding="utf-8", errors="replace").split("\n"):
            with suppress(ValueError):
                self._take(json.loads(line))
        self._changed.clear()

    def _take(self, rows: list[list[Any]]) -> None:
        for object_id, obj, notes in rows:
            if obj is not None:
                self.add(obj, **(notes or {}))
            elif (old := self.find(object_id)) is not None:
                self.remove(old)

    def _rewritten(self, path: Path) -> IO[str]:
        """Return the journal, shortened to what is there now."""
        new = path.with_name(f"{path.name}.new")
        new.unlink(missing_ok=True)
        new.touch(mode=0o600)
        with new.open("w", encoding="utf-8") as file:
            for object_id in self._kinds:
                file.write(json.dumps([self._row(object_id)]) + "\n")
        new.replace(path)
        return path.open("a", encoding="utf-8")
