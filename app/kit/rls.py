"""Row-level security for migrations: who may touch a table, and which rows of it they see."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

OWNER, API, WORKER, AUTH = "hourglass_owner", "hourglass_api", "hourglass_worker", "hourglass_auth"
ROLES = (OWNER, API, WORKER, AUTH)

_SAME_ACCOUNT = "account_id = NULLIF(current_setting('app.account_id', true), '')"


class Operations(Protocol):
    """The part of Alembic's ``op`` used here."""

    def execute(self, sqltext: str) -> None:
        """Run one statement."""


def tenant_table(op: Operations, table: str, *, api: str, worker: str, auth: str = "") -> None:
    """Fence a table that belongs to accounts.

    The API role sees only rows of the account its transaction was opened for, and none without one. The worker
    sees all by a policy of its own rather than by BYPASSRLS. FORCE holds the owner to the policies too.
    """
    statements = [
        f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY",
        f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY",
    ]
    for rights, role, policy, rows in (
        (api, API, "same_account", _SAME_ACCOUNT),
        (worker, WORKER, "every_account", "true"),
        (auth, AUTH, "before_the_account_is_known", "true"),
    ):
        if rights:
            statements.append(f"CREATE POLICY {policy} ON {table} TO {role} USING ({rows}) WITH CHECK ({rows})")
            statements.append(f"GRANT {rights} ON {table} TO {role}")
    _execute_at_once(op, statements)


def global_table(op: Operations, table: str, *, reason: str, api: str = "", worker: str = "", auth: str = "") -> None:
    """Grant rights on a table that belongs to no account; the reason is kept as the table's comment."""
    statements = [f"COMMENT ON TABLE {table} IS 'global: {reason.replace(chr(39), chr(39) * 2)}'"]
    statements += [
        f"GRANT {rights} ON {table} TO {role}"
        for rights, role in ((api, API), (worker, WORKER), (auth, AUTH))
        if rights
    ]
    _execute_at_once(op, statements)


def _execute_at_once(op: Operations, statements: Sequence[str]) -> None:
    """Run statements in one message: a new database gets hundreds of these, and somebody waits for it."""
    op.execute(f"DO $$ BEGIN {'; '.join(statements)}; END $$")
