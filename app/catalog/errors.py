"""What the catalog refuses."""

from __future__ import annotations

from app.kit.errors import AppError


class UnknownFamily(AppError):
    """There is no such GPU family."""

    status = 422
    code = "unknown_family"
    suggestion = "GET /v1/families lists the families and their aliases."
