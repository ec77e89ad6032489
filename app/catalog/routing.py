"""The room's one router; each file of endpoints adds its routes to it."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends

from app.web import Work, consulting, new_router

router = new_router("/v1", tag="catalog")
CatalogWork = Annotated[Work, Depends(consulting("catalog:read"), scope="function")]
