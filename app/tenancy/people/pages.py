"""The one page that a person may see here: why signing in went wrong."""

from __future__ import annotations

from html import escape

from fastapi import Request
from fastapi.responses import HTMLResponse

from app.kit.errors import AppError

_PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Hourglass</title></head>
<body><h1>You are not signed in</h1><p>{detail}</p><p>{suggestion}</p><p><a href="/v1/auth/github">Begin again</a></p></body>
</html>
"""
_POLICY = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"


def wants_page(request: Request) -> bool:
    """Say whether a browser is to show the answer."""
    return "text/html" in request.headers.get("accept", "").lower()


def refusal_page(error: AppError) -> HTMLResponse:
    """Return an error as a page; it repeats nothing of the request."""
    text = _PAGE.format(detail=escape(error.detail), suggestion=escape(error.suggestion))
    headers = {**error.headers, "Content-Security-Policy": _POLICY}
    return HTMLResponse(text, error.status, headers)
