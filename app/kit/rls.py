"""Row-level security for migrations: who may touch a table, and which rows of it they see."""

from __future__ import annotations

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
    op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
    op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
    if api:
        op.execute(
            f"CREATE POLICY same_account ON {table} TO {API} USING ({_SAME_ACCOUNT}) WITH CHECK ({_SAME_ACCOUNT})"
        )
        op.execute(f"GRANT {api} ON {table} TO {API}")
    if worker:
        op.execute(f"CREATE POLICY every_account ON {table} TO {WORKER} USING (true) WITH CHECK (true)")
        op.execute(f"GRANT {worker} ON {table} TO {WORKER}")
    if auth:
        op.execute(f"CREATE POLICY before_the_account_is_known ON {table} TO {AUTH} USING (true) WITH CHECK (true)")
        op.execute(f"GRANT {auth} ON {table} TO {AUTH}")


def global_table(op: Operations, table: str, *, reason: str, api: str = "", worker: str = "", auth: str = "") -> None:
    """Grant rights on a table that belongs to no account; the reason is kept as the table's comment."""
    op.execute(f"COMMENT ON TABLE {table} IS 'global: {reason.replace(chr(39), chr(39) * 2)}'")
    for rights, role in ((api, API), (worker, WORKER), (auth, AUTH)):
        if rights:
            op.execute(f"GRANT {rights} ON {table} TO {role}")
