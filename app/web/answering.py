"""Answers: a model becomes a response in one step; and which of its forms is preferred."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from fastapi import Request, Response
from pydantic import BaseModel

Form = TypeVar("Form")


def answer(body: BaseModel, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return a model as a JSON response. FastAPI would validate it once more; declare it as ``response_model``."""
    return Response(body.model_dump_json(), status, dict(headers or {}), media_type="application/json")


def preferred(request: Request, forms: Mapping[str, Form], *, otherwise: Form) -> Form:
    """Return the form of the first media type of the Accept header that has one; ``otherwise`` when none has.

    Weights are not looked at: who has a preference names it first.
    """
    for part in request.headers.get("accept", "").lower().split(","):
        if found := forms.get(part.partition(";")[0].strip()):
            return found
    return otherwise
