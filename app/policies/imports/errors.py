"""Why an import is refused."""

from __future__ import annotations

from app.kit.errors import AppError


class ImportRefused(AppError):
    """The file can't be applied as it is; nothing was set."""

    status = 422
    code = "validation_failed"
    suggestion = "Send it with dry_run first: the answer tells what would change, and what is odd on which line."

    @classmethod
    def of_team(cls, name: str, line: int) -> ImportRefused:
        """Return the error for a team that does not exist."""
        message = f"line {line}: there is no team called {name!r}; with create_teams it is made"
        return cls(errors=[{"pointer": "/text", "code": "unknown_team", "message": message}])

    @classmethod
    def of_nothing(cls) -> ImportRefused:
        """Return the error for a text in which nothing was found."""
        problem = {"pointer": "/text", "code": "nothing_found", "message": "says nothing that a policy could hold"}
        return cls(errors=[problem])
