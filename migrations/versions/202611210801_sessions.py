"""People who sign in, and their sessions."""

from alembic import op

from app.kit.rls import global_table

revision = "202611210801_sessions"
down_revision = "202611210800_teams"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        CREATE TABLE people (
            id TEXT NOT NULL,
            github_id BIGINT NOT NULL,
            login TEXT NOT NULL,
            name TEXT NOT NULL,
            emails TEXT[] NOT NULL,
            personal_account_id TEXT NOT NULL,
            created_at TIMESTAMPTZ NOT NULL,
            signed_in_at TIMESTAMPTZ NOT NULL,
            CONSTRAINT pk_people PRIMARY KEY (id),
            CONSTRAINT uq_people_github_id UNIQUE (github_id),
            CONSTRAINT ck_people_emails CHECK (cardinality(emails) > 0)
        )
    """)
    global_table(op, "people", reason="a person belongs to any number of accounts", auth="SELECT, INSERT, UPDATE")
    # A person's memberships tell its present name and first address.
    op.execute("GRANT UPDATE (email, name) ON users TO hourglass_auth")
    op.execute("""
        CREATE TABLE sign_ins (
            state_hash BYTEA NOT NULL,
            browser_hash BYTEA NOT NULL,
            return_to TEXT NOT NULL,
            created_at TIMESTAMPTZ NOT NULL,
            expires_at TIMESTAMPTZ NOT NULL,
            CONSTRAINT pk_sign_ins PRIMARY KEY (state_hash),
            CONSTRAINT ck_sign_ins_length CHECK (octet_length(state_hash) = 32 AND octet_length(browser_hash) = 32)
        )
    """)
    op.execute("CREATE INDEX ix_sign_ins_expires_at ON sign_ins (expires_at)")
    global_table(
        op,
        "sign_ins",
        reason="nobody is known yet while a person is on its way to sign in",
        auth="SELECT, INSERT, DELETE",
        worker="SELECT, DELETE",
    )
    _sessions()


def _sessions() -> None:
    op.execute("""
        CREATE TABLE sessions (
            id TEXT NOT NULL,
            secret_hash BYTEA NOT NULL,
            previous_hash BYTEA,
            previous_until TIMESTAMPTZ,
            person_id TEXT NOT NULL,
            account_id TEXT NOT NULL,
            user_agent TEXT NOT NULL,
            address TEXT,
            created_at TIMESTAMPTZ NOT NULL,
            seen_at TIMESTAMPTZ NOT NULL,
            rotated_at TIMESTAMPTZ NOT NULL,
            ended_at TIMESTAMPTZ,
            CONSTRAINT pk_sessions PRIMARY KEY (id),
            CONSTRAINT uq_sessions_secret_hash UNIQUE (secret_hash),
            CONSTRAINT fk_sessions_person_id_people FOREIGN KEY (person_id) REFERENCES people (id),
            CONSTRAINT ck_sessions_length CHECK (octet_length(secret_hash) = 32 AND octet_length(previous_hash) = 32),
            CONSTRAINT ck_sessions_previous CHECK ((previous_hash IS NULL) = (previous_until IS NULL))
        )
    """)
    op.execute("CREATE INDEX ix_sessions_previous_hash ON sessions (previous_hash)")
    op.execute("CREATE INDEX ix_sessions_person_id_created_at ON sessions (person_id, created_at)")
    op.execute("CREATE INDEX ix_sessions_created_at ON sessions (created_at)")
    global_table(
        op,
        "sessions",
        reason="a session is a person's, found before its account is known",
        auth="SELECT, INSERT, UPDATE",
        worker="SELECT, DELETE",
    )


def downgrade() -> None:
    op.execute("DROP TABLE sessions")
    op.execute("DROP TABLE sign_ins")
    op.execute("REVOKE UPDATE (email, name) ON users FROM hourglass_auth")
    op.execute("DROP TABLE people")
