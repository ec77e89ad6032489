"""The edge of HTTP: who calls, one tenant transaction per request, problem details, idempotency, lists, rate limits.

Promises: an answer that says success is sent after its commit; a key used twice has one effect and one answer; no
error repeats what was sent; one tenant's cursor or key is nothing to another.

Table: idempotency_keys. Every room above may use this one.
"""

from app.web.admitting import Proof
from app.web.answering import answer, preferred
from app.web.browsing import Site
from app.web.etags import check_match, etag
from app.web.idempotency import IDEMPOTENT, Answer, idempotency_key, replay_or_run
from app.web.installing import install, new_router
from app.web.limiting import Limiter
from app.web.metrics import RequestMetrics
from app.web.middleware import Bounds
from app.web.paging import Cursors, ListAnswer, Page, Position, list_answer, moment_in
from app.web.principal import SCOPES, AppState, Principal, SignedIn
from app.web.problems import responses_for
from app.web.work import Visiting, Work, calling, consulting, visiting_person, working

__all__ = [
    "IDEMPOTENT",
    "SCOPES",
    "Answer",
    "AppState",
    "Bounds",
    "Cursors",
    "Limiter",
    "ListAnswer",
    "Page",
    "Position",
    "Principal",
    "Proof",
    "RequestMetrics",
    "SignedIn",
    "Site",
    "Visiting",
    "Work",
    "answer",
    "calling",
    "check_match",
    "consulting",
    "etag",
    "idempotency_key",
    "install",
    "list_answer",
    "moment_in",
    "new_router",
    "preferred",
    "replay_or_run",
    "responses_for",
    "visiting_person",
    "working",
]
