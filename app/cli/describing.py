"""The API's description, as it is committed."""

from __future__ import annotations

import json
import pkgutil

from pydantic import SecretStr

from app.bootstrap import new_api_state
from app.settings import Settings


def document() -> str:
    """Return the OpenAPI document of the application, sorted, with nothing of this machine in it."""
    settings = Settings(secret=SecretStr("0" * 32), database_url=SecretStr("postgresql://nowhere/none"))
    app = pkgutil.resolve_name("app.main:create_app")(new_api_state(settings))
    return json.dumps(app.openapi(), indent=1, sort_keys=True, ensure_ascii=False) + "\n"
