"""What an imported file comes to: for each team, or for the account, what its policy is to say."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from app.policies.imports.tree import Notice
from app.policies.terms import TERMS_FIELDS, Terms


@dataclass(slots=True)
class Draft:
    """What one policy is to say: fields of ``Terms``, each with the line that says so. What is not named stays."""

    team: str | None
    """A team's name, or its id; None for the account."""
    line: int
    changes: dict[str, Any] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)

    def put(self, name: str, value: Any, line: int) -> None:  # noqa: ANN401 - a field of Terms
        """Set a field."""
        self.changes[name], self.lines[name] = value, line

    def tighten(self, name: str, value: int, line: int) -> bool:
        """Set a limit unless a lower one stands there. Returns whether two differ."""
        before = self.changes.get(name)
        if before is None or value < before:
            self.put(name, value, line)
        return before is not None and before != value

    def terms(self, before: Terms) -> Terms:
        """Return a policy's terms with these in their place."""
        return Terms(**{name: getattr(before, name) for name in TERMS_FIELDS} | self.changes)


@dataclass(slots=True)
class Reading:
    """Everything that a file comes to. Launch defaults are what no policy holds: they belong into each launch."""

    drafts: list[Draft] = field(default_factory=list)
    launch_defaults: dict[str, Any] = field(default_factory=dict)
    notices: list[Notice] = field(default_factory=list)

    def note(self, line: int, code: str, message: str) -> None:
        """Tell something about a line."""
        self.notices.append(Notice(line, code, message))
