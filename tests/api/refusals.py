"""What a refusal must be."""

from __future__ import annotations

from .operations import PROBLEM

CANARY = "canary$9f3b"
BIG = 2**63
LONG = "7" * 5_000
TYPE = (b"content-type", b"application/json")
KEY = (b"idempotency-key", b"k")


def check(operation, answer, *, refused=True):
    """Pass when an answer is one that the description names, and a refusal is a problem without an echo."""
    assert answer.status < 500, (operation.id, answer.text)
    assert operation.documents(answer.status), (operation.id, answer.status, answer.text[:300])
    if refused:
        assert answer.status >= 400, (operation.id, answer.status)
    if answer.status >= 400:
        assert answer.headers["content-type"] == PROBLEM
        told = answer.json()
        assert told["status"] == answer.status
        assert told["code"] in operation.spec["responses"][str(answer.status)]["content"][PROBLEM]["examples"]
        assert CANARY not in answer.text
        assert "x-injected" not in answer.headers
