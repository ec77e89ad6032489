"""Teams, members, roles, invitations, and what a key may spend."""

from alembic import op

from app.kit.rls import global_table, tenant_table

revision = "202611210800_teams"
down_revision = "202611210703_costs"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _users_become_memberships()
    _teams()
    _keys_of_teams()
    _invitations()
    _accounts_opened_by_the_api()


def _users_become_memberships() -> None:
    op.execute("ALTER TABLE users RENAME COLUMN created_at TO joined_at")
    # Until now an account had the one person it was opened for.
    op.execute("ALTER TABLE users ADD COLUMN role TEXT NOT NULL DEFAULT 'owner', ADD COLUMN removed_at TIMESTAMPTZ")
    op.execute("ALTER TABLE users ALTER COLUMN role DROP DEFAULT")
    op.execute("""
        ALTER TABLE users ADD CONSTRAINT ck_users_role CHECK (role IN ('owner', 'admin', 'billing', 'member', 'viewer'))
    """)
    # A person is known by its id; its address may change, and one that somebody gave up may become another's.
    op.execute("ALTER TABLE users DROP CONSTRAINT uq_users_account_id_email")
    op.execute("CREATE INDEX ix_users_id ON users (id)")
    op.execute("GRANT INSERT, UPDATE (email, name, role, joined_at, removed_at) ON users TO hourglass_api")
    op.execute("CREATE POLICY before_the_account_is_known ON users TO hourglass_auth USING (true) WITH CHECK (true)")
    op.execute("GRANT SELECT ON users TO hourglass_auth")


def _teams() -> None:
    op.execute("""
        CREATE TABLE teams (
            account_id TEXT NOT NULL,
            id TEXT NOT NULL,
            name TEXT NOT NULL,
            time_zone TEXT NOT NULL,
            created_at TIMESTAMPTZ NOT NULL,
            archived_at TIMESTAMPTZ,
            CONSTRAINT pk_teams PRIMARY KEY (account_id, id),
            CONSTRAINT fk_teams_account_id_accounts FOREIGN KEY (account_id) REFERENCES accounts (account_id)
        )
    """)
    op.execute("CREATE UNIQUE INDEX ix_teams_account_id_name ON teams (account_id, name) WHERE archived_at IS NULL")
    tenant_table(
        op, "teams", api="SELECT, INSERT, UPDATE (name, time_zone, archived_at)", worker="SELECT, INSERT", auth="SELECT"
    )
    op.execute("""
        CREATE TABLE team_members (
            account_id TEXT NOT NULL,
            team_id TEXT NOT NULL,
            user_id TEXT NOT NULL,
            role TEXT NOT NULL,
            added_at TIMESTAMPTZ NOT NULL,
            CONSTRAINT pk_team_members PRIMARY KEY (account_id, team_id, user_id),
            CONSTRAINT fk_team_members_account_id_team_id_teams
                FOREIGN KEY (account_id, team_id) REFERENCES teams (account_id, id),
            CONSTRAINT fk_team_members_account_id_user_id_users
                FOREIGN KEY (account_id, user_id) REFERENCES users (account_id, id),
            CONSTRAINT ck_team_members_role CHECK (role IN ('lead', 'member'))
        )
    """)
    op.execute("CREATE INDEX ix_team_members_account_id_user_id ON team_members (account_id, user_id)")
    tenant_table(
        op, "team_members", api="SELECT, INSERT, UPDATE (role), DELETE", worker="SELECT, INSERT", auth="SELECT"
    )


def _keys_of_teams() -> None:
    op.execute(
        "ALTER TABLE api_keys ADD COLUMN team_id TEXT, ADD COLUMN spend_limit BIGINT, ADD COLUMN limit_reset TEXT"
    )
    op.execute("""
        ALTER TABLE api_keys
            ADD CONSTRAINT fk_api_keys_account_id_team_id_teams
                FOREIGN KEY (account_id, team_id) REFERENCES teams (account_id, id),
            ADD CONSTRAINT ck_api_keys_spend_limit CHECK (spend_limit > 0),
            ADD CONSTRAINT ck_api_keys_limit_reset CHECK (limit_reset IN ('daily', 'weekly', 'monthly')),
            ADD CONSTRAINT ck_api_keys_limit_that_resets CHECK (limit_reset IS NULL OR spend_limit IS NOT NULL)
    """)
    op.execute("CREATE INDEX ix_api_keys_account_id_created_by ON api_keys (account_id, created_by)")
    op.execute("CREATE INDEX ix_api_keys_account_id_team_id ON api_keys (account_id, team_id)")
    op.execute("GRANT UPDATE (name, allowed_ips, team_id, spend_limit, limit_reset) ON api_keys TO hourglass_api")


def _invitations() -> None:
    op.execute("""
        CREATE TABLE invitations (
            account_id TEXT NOT NULL,
            id TEXT NOT NULL,
            email TEXT NOT NULL,
            role TEXT NOT NULL,
            teams JSONB NOT NULL,
            token_hash BYTEA NOT NULL,
            invited_by TEXT NOT NULL,
            created_at TIMESTAMPTZ NOT NULL,
            expires_at TIMESTAMPTZ NOT NULL,
            sent_at TIMESTAMPTZ NOT NULL,
            times_sent BIGINT NOT NULL,
            accepted_at TIMESTAMPTZ,
            accepted_by TEXT,
            revoked_at TIMESTAMPTZ,
            CONSTRAINT pk_invitations PRIMARY KEY (account_id, id),
            CONSTRAINT fk_invitations_account_id_accounts FOREIGN KEY (account_id) REFERENCES accounts (account_id),
            CONSTRAINT ck_invitations_role CHECK (role IN ('owner', 'admin', 'billing', 'member', 'viewer')),
            CONSTRAINT ck_invitations_one_end CHECK (accepted_at IS NULL OR revoked_at IS NULL)
        )
    """)
    op.execute("""
        CREATE UNIQUE INDEX ix_invitations_account_id_email ON invitations (account_id, email)
        WHERE accepted_at IS NULL AND revoked_at IS NULL
    """)
    tenant_table(
        op,
        "invitations",
        api="SELECT, INSERT, UPDATE (token_hash, expires_at, sent_at, times_sent, accepted_at, accepted_by, revoked_at)",
        worker="SELECT, INSERT, UPDATE (revoked_at)",
    )
    op.execute("""
        CREATE TABLE invitation_tokens (
            hash BYTEA NOT NULL,
            account_id TEXT NOT NULL,
            invitation_id TEXT NOT NULL,
            CONSTRAINT pk_invitation_tokens PRIMARY KEY (hash),
            CONSTRAINT fk_invitation_tokens_account_id_invitation_id_invitations
                FOREIGN KEY (account_id, invitation_id) REFERENCES invitations (account_id, id),
            CONSTRAINT ck_invitation_tokens_length CHECK (octet_length(hash) = 32)
        )
    """)
    global_table(op, "invitation_tokens", reason="finds the account of an invitation before the account is known")
    # Fenced all the same: the API may only tie a token to an invitation of the account it works for.
    tenant_table(op, "invitation_tokens", api="INSERT", worker="INSERT", auth="SELECT")


def _accounts_opened_by_the_api() -> None:
    op.execute("GRANT INSERT, UPDATE (name) ON accounts TO hourglass_api")
    op.execute("GRANT INSERT ON wallets TO hourglass_api")
    op.execute("""
        CREATE POLICY opened_empty ON wallets AS RESTRICTIVE FOR INSERT TO hourglass_api
        WITH CHECK (available = 0 AND reserved = 0 AND owed = 0 AND seq = 0)
    """)


def downgrade() -> None:
    op.execute("DROP POLICY opened_empty ON wallets")
    op.execute("REVOKE INSERT ON wallets FROM hourglass_api")
    op.execute("REVOKE INSERT, UPDATE (name) ON accounts FROM hourglass_api")
    op.execute("DROP TABLE invitation_tokens")
    op.execute("DROP TABLE invitations")
    op.execute("REVOKE UPDATE (name, allowed_ips) ON api_keys FROM hourglass_api")
    op.execute("ALTER TABLE api_keys DROP COLUMN team_id, DROP COLUMN spend_limit, DROP COLUMN limit_reset")
    op.execute("DROP INDEX ix_api_keys_account_id_created_by")
    op.execute("DROP TABLE team_members")
    op.execute("DROP TABLE teams")
    op.execute("REVOKE SELECT ON users FROM hourglass_auth")
    op.execute("DROP POLICY before_the_account_is_known ON users")
    op.execute("REVOKE INSERT, UPDATE (email, name, role, joined_at, removed_at) ON users FROM hourglass_api")
    op.execute("DROP INDEX ix_users_id")
    op.execute("DELETE FROM users WHERE removed_at IS NOT NULL")
    op.execute("ALTER TABLE users ADD CONSTRAINT uq_users_account_id_email UNIQUE (account_id, email)")
    op.execute("ALTER TABLE users DROP COLUMN role, DROP COLUMN removed_at")
    op.execute("ALTER TABLE users RENAME COLUMN joined_at TO created_at")
