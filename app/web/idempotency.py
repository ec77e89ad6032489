"""Asking twice, having it once: a key is written in the same transaction as the effect it stands for.

A twin that arrives meanwhile waits on that row. When the first one commits, the twin reads its answer; when it rolls
back, key and effect are gone together and the twin runs itself. So an error is never stored: it had no effect.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

import asyncpg
from fastapi import Request, Response
from pydantic import BaseModel

from app.kit.db import driver
from app.web.acts import changed_nothing, name_made
from app.web.errors import IdempotencyInProgress, IdempotencyKeyMissing, IdempotencyMismatch, ValidationFailed
from app.web.work import Work

KEPT = timedelta(hours=24)
"""How long an answer can be read again at least."""

IDEMPOTENT: Final = (IdempotencyKeyMissing, IdempotencyInProgress, IdempotencyMismatch)
"""What ``replay_or_run`` refuses a request with, for ``responses_for``."""

_KEY = re.compile(r"[\x21-\x7e]{1,255}", re.ASCII)
_MEDIA_TYPE = "application/json"

_WAIT = "SET LOCAL lock_timeout = '2s'"
_CLAIM = """
    INSERT INTO idempotency_keys (account_id, route, key, body_hash, created_at) VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT DO NOTHING RETURNING true
"""
_FIND = "SELECT body_hash, status, body, headers::text AS headers FROM idempotency_keys WHERE account_id = $1 AND route = $2 AND key = $3"
_STORE = """
    UPDATE idempotency_keys SET status = $4, body = $5, headers = $6
    WHERE account_id = $1 AND route = $2 AND key = $3
"""
PRUNE: Final = """
    DELETE FROM idempotency_keys WHERE (account_id, route, key) IN (
        SELECT account_id, route, key FROM idempotency_keys WHERE created_at < $1 ORDER BY created_at LIMIT $2)
"""
"""For the worker: forgets keys that were made before a moment."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a run gives: the body, headers such as ``Location``, and what a replay shows when that must differ.

    A secret that is shown once is in ``body`` and not in ``replayed``; only the latter is stored.
    """

    body: BaseModel
    headers: Mapping[str, str] = field(default_factory=dict)
    replayed: BaseModel | None = None


async def replay_or_run(
    work: Work, request: Request, *, status: int, run: Callable[[], Awaitable[Answer | BaseModel]]
) -> Response:
    """Return the stored answer of the request's Idempotency-Key, or run and store the answer.

    ``run`` works in ``work.session``: it commits with the key or not at all.

    Raises:
        IdempotencyKeyMissing: there is no such header.
        IdempotencyMismatch: the key was used for another request.
        IdempotencyInProgress: its twin has not ended within two seconds.
    """
    reference = (work.account_id, _route(request), idempotency_key(request))
    body_hash = await fingerprint(request)
    if not await _claim(work, reference, body_hash):
        return await _replay(work, reference, body_hash)
    result = await run()
    answer = result if isinstance(result, Answer) else Answer(result)
    name_made(work.session, answer.body)
    kept = _json(answer.replayed or answer.body)
    await driver(work.session).execute(_STORE, *reference, status, kept, json.dumps(dict(answer.headers)))
    return Response(_json(answer.body), status, dict(answer.headers), media_type=_MEDIA_TYPE)


def idempotency_key(request: Request) -> str:
    """Return the key of a request, for rooms that keep it on a row of their own.

    Raises:
        IdempotencyKeyMissing: there is none.
        ValidationFailed: it has another form.
    """
    key = request.headers.get("idempotency-key")
    if key is None:
        raise IdempotencyKeyMissing
    if not _KEY.fullmatch(key):
        problem = {
            "pointer": "header:/Idempotency-Key",
            "code": "key_form",
            "message": "must be 1 to 255 visible ASCII",
        }
        raise ValidationFailed(errors=[problem])
    return key


def _json(model: BaseModel) -> str:
    return model.model_dump_json()


async def fingerprint(request: Request) -> bytes:
    """Return the hash of what a request asks for: its path, query and body, whatever the order of the keys."""
    raw = await request.body()
    document = json.dumps(await request.json(), sort_keys=True, default=str) if raw else ""
    asked = f"{request.method} {request.url.path}?{request.url.query}\n{document}"
    return hashlib.sha256(asked.encode()).digest()


async def _claim(work: Work, reference: tuple[str, str, str], body_hash: bytes) -> bool:
    connection = driver(work.session)
    await connection.execute(_WAIT)
    try:
        return bool(await connection.fetchval(_CLAIM, *reference, body_hash, work.at))
    except asyncpg.LockNotAvailableError:
        raise IdempotencyInProgress(headers={"Retry-After": "1"}) from None


async def _replay(work: Work, reference: tuple[str, str, str], body_hash: bytes) -> Response:
    changed_nothing(work.session)
    stored = await driver(work.session).fetchrow(_FIND, *reference)
    if stored is None or stored["status"] is None:  # pruned in this very moment: asking again will run it
        raise IdempotencyInProgress(headers={"Retry-After": "1"})
    if stored["body_hash"] != body_hash:
        raise IdempotencyMismatch
    headers = json.loads(stored["headers"]) | {"Idempotency-Replayed": "true"}
    return Response(stored["body"], stored["status"], headers, media_type=_MEDIA_TYPE)


def _route(request: Request) -> str:
    return f"{request.method} {request.scope['route'].path}"
