"""Hyperstack's pages: by number, with how many there are in all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_USUAL, _MOST = 20, 50


def paged(key: str, rows: list[dict[str, Any]], query: Mapping[str, str]) -> dict[str, Any]:
    """Return the page asked for in the usual envelope."""
    number, size = page_of(query, "pageSize")
    page = rows[(number - 1) * size : number * size]
    return {"status": True, "message": "Success", "count": len(rows), "page": number, "page_size": size, key: page}


def page_of(query: Mapping[str, str], size_key: str) -> tuple[int, int]:
    """Return which page is asked for and how large it is, within what the cloud gives."""
    return max(1, _whole(query.get("page"), 1)), min(max(1, _whole(query.get(size_key), _USUAL)), _MOST)


def _whole(text: str | None, usual: int) -> int:
    return int(text) if text and text.isdecimal() else usual
