"""Answers: a model becomes a response in one step."""

from __future__ import annotations

from collections.abc import Mapping

from fastapi import Response
from pydantic import BaseModel


def answer(body: BaseModel, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return a model as a JSON response. FastAPI would validate it once more; declare it as ``response_model``."""
    return Response(body.model_dump_json(), status, dict(headers or {}), media_type="application/json")
