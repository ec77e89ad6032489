"""Whose a rental is."""

from alembic import op

revision = "202611210805_rentals_teams"
down_revision = "202611210804_budgets"
branch_labels = None
depends_on = None

_FENCED = ("rentals", "api_keys", "commitments")


def upgrade() -> None:
    op.execute("""
        ALTER TABLE rentals
            ADD COLUMN team_id TEXT,
            ADD COLUMN key_id TEXT,
            ADD COLUMN user_id TEXT
    """)
    op.execute("""
        CREATE INDEX ix_rentals_account_id_team_id_id ON rentals (account_id, team_id, id) WHERE team_id IS NOT NULL
    """)
    _take_up_what_there_is()


def downgrade() -> None:
    op.execute("ALTER TABLE rentals DROP COLUMN team_id, DROP COLUMN key_id, DROP COLUMN user_id")


def _take_up_what_there_is() -> None:
    """Tell of every rental who made it, and count what is not over as committed."""
    for table in _FENCED:
        op.execute(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY")
    op.execute("""
        UPDATE rentals r SET
            key_id = CASE WHEN r.created_by LIKE 'key\\_%' THEN r.created_by END,
            user_id = CASE WHEN r.created_by LIKE 'usr\\_%' THEN r.created_by ELSE (
                SELECT k.created_by FROM api_keys k
                WHERE k.account_id = r.account_id AND k.id = r.created_by AND k.created_by LIKE 'usr\\_%') END
    """)
    op.execute("""
        INSERT INTO commitments (account_id, rental_id, team_id, key_id, user_id, family, gpu_count, created_at, ended_at)
        SELECT account_id, id, team_id, key_id, user_id, nullif(listing ->> 'family', ''),
               greatest(1, (listing ->> 'gpu_count')::bigint), created_at,
               CASE WHEN status IN ('stopped', 'failed') THEN coalesce(ended_at, created_at) END
        FROM rentals
        ON CONFLICT DO NOTHING
    """)
    for table in _FENCED:
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
