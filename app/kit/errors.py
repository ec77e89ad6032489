"""Errors as the caller sees them: a class says its HTTP status, its code and whether trying again can help."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import ClassVar


class AppError(Exception):
    """Something is wrong with the request or the state it met."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal"
    retryable: ClassVar[bool] = False
    suggestion: ClassVar[str] = ""

    def __init__(
        self,
        detail: str | None = None,
        *,
        extra: Mapping[str, object] | None = None,
        errors: list[dict[str, str]] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Take a detail for this occurrence; without one the class docstring's first line is told.

        ``extra`` adds members to the problem document, ``errors`` lists ``{pointer, code, message}``.
        """
        self.detail = detail or (inspect.getdoc(type(self)) or "").partition("\n")[0]
        self.extra = dict(extra or {})
        self.errors = errors or []
        self.headers = dict(headers or {})
        super().__init__(self.detail)


class NotFound(AppError):
    """There is no such resource."""

    status = 404
    code = "not_found"
    suggestion = "Check the id. Ids of other accounts are answered in the same way."


class InvalidState(AppError):
    """The resource is in a state in which this can't be done."""

    status = 409
    code = "invalid_state"
    suggestion = "Read the resource again and look at its status and actions."
