"""The API with one more route, an empty one without authentication; served as ``app.main`` serves it."""

from __future__ import annotations

from app.bootstrap import new_api_state
from app.kit.log import configure_logs
from app.main import create_app, serve_app
from app.settings import read_settings

EMPTY = "/bench/empty"


def main() -> None:
    """Serve by what the environment says."""
    settings = read_settings()
    configure_logs(process="api", level=settings.log_level)
    app = create_app(new_api_state(settings))

    @app.get(EMPTY)
    async def empty() -> dict[str, str]:
        return {"hello": "world"}

    serve_app(app, settings)


if __name__ == "__main__":
    main()
