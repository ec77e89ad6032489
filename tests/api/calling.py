"""A caller that hands a request to the application as a server would, byte for byte, with nothing put right on the way."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote
from uuid import uuid4


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    content: bytes

    @property
    def text(self) -> str:
        return self.content.decode()

    def json(self) -> Any:
        return json.loads(self.content)

    @property
    def told(self) -> Any:
        """The answer without what differs between any two answers."""
        document = self.json()
        if isinstance(document, dict):
            document = {name: value for name, value in document.items() if name not in ("request_id", "instance")}
        fleeting = ("x-request-id", "ratelimit", "content-length")
        return self.status, {name: self.headers[name] for name in self.headers if name not in fleeting}, document


@dataclass(frozen=True)
class Caller:
    """Somebody with a key, or without one."""

    app: Any
    secret: str | None = None
    client: tuple[str, int] = ("198.51.100.7", 50_000)

    async def send(
        self, method: str, target: str, body: bytes = b"", headers: Iterable[tuple[bytes, bytes]] = ()
    ) -> Answer:
        """Send a request as it stands; ``target`` is percent-encoded."""
        path, _, query = target.partition("?")
        own = () if self.secret is None else ((b"authorization", f"Bearer {self.secret}".encode()),)
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method.upper(),
            "scheme": "http",
            "path": unquote(path),
            "raw_path": path.encode(),
            "query_string": query.encode("latin-1"),
            "root_path": "",
            "headers": [(b"host", b"test"), (b"content-length", str(len(body)).encode()), *own, *headers],
            "client": self.client,
            "server": ("test", 80),
        }
        messages: list[dict[str, Any]] = [{"type": "http.request", "body": body, "more_body": False}]
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            if messages:
                return messages.pop(0)
            await self.patience()
            return {"type": "http.disconnect"}

        async def take(message: dict[str, Any]) -> None:
            sent.append(message)

        await self.app(scope, receive, take)
        start, *parts = sent
        return Answer(
            start["status"],
            {name.decode(): value.decode() for name, value in start["headers"]},
            b"".join(part.get("body", b"") for part in parts),
        )

    async def patience(self) -> None:
        """Leave at once where an answer does not end."""

    async def ask(self, method: str, target: str, body: Any = None, *, key: str | None = None, **more: str) -> Answer:
        """Send a well-formed request, with an Idempotency-Key."""
        raw = b"" if body is None else json.dumps(body).encode()
        headers = [(b"idempotency-key", (key or uuid4().hex).encode())]
        headers += [(b"content-type", b"application/json")] if raw else []
        headers += [(name.replace("_", "-").encode(), value.encode()) for name, value in more.items()]
        return await self.send(method, target, raw, headers)

    async def made(self, target: str, body: Any) -> Any:
        """Post, and return what was made."""
        answer = await self.ask("POST", target, body)
        assert answer.status in (200, 201, 202), answer.text
        return answer.json()
