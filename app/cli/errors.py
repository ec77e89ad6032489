"""What the command line can end with: exit codes, and errors that carry a message for people."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """The exit codes, the same for every command."""

    OK = 0
    FAILED = 1
    """Something else: no connection, a bug, a full disk."""
    USAGE = 2
    """The command or its values are wrong."""
    AUTH = 3
    """No key, or one that may not do this."""
    NOT_FOUND = 4
    POLICY = 5
    """A policy or a budget forbids it."""
    FUNDS = 6
    CAPACITY = 7
    """Nothing that matches can be had now."""
    PROVIDER = 8
    """A cloud failed."""


class CliError(Exception):
    """A command can't do what was asked; the message says why and what helps."""

    exit_code = Exit.FAILED

    def __init__(
        self, message: str, *, exit_code: Exit | None = None, problem: dict[str, object] | None = None
    ) -> None:
        """Take the message, and the service's own problem document where there is one."""
        super().__init__(message)
        self.exit_code = exit_code or self.exit_code
        self.problem = problem or {}


class UpError(CliError):
    """``up`` can't start or go on."""


class UsageError(CliError):
    """What was asked can't be meant."""

    exit_code = Exit.USAGE
