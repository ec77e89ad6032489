"""Accounts, users and API keys, and the one place where a key is found before its account is known."""

from alembic import op

from app.kit.rls import global_table, tenant_table

revision = "202611210302_tenancy"
down_revision = "202611210301_web"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        CREATE TABLE accounts (
            account_id TEXT NOT NULL,
            name TEXT NOT NULL,
            kind TEXT NOT NULL,
            status TEXT NOT NULL,
            metadata JSONB NOT NULL,
            created_at TIMESTAMPTZ NOT NULL,
            CONSTRAINT pk_accounts PRIMARY KEY (account_id),
            CONSTRAINT ck_accounts_kind CHECK (kind IN ('personal', 'organization')),
            CONSTRAINT ck_accounts_status CHECK (status IN ('active', 'suspended'))
        )
    """)
    tenant_table(op, "accounts", api="SELECT", worker="SELECT, INSERT, UPDATE", auth="SELECT")
    op.execute("""
        CREATE TABLE users (
            account_id TEXT NOT NULL,
            id TEXT NOT NULL,
            email TEXT NOT NULL,
            name TEXT NOT NULL,
            created_at TIMESTAMPTZ NOT NULL,
            CONSTRAINT pk_users PRIMARY KEY (account_id, id),
            CONSTRAINT uq_users_account_id_email UNIQUE (account_id, email),
            CONSTRAINT fk_users_account_id_accounts FOREIGN KEY (account_id) REFERENCES accounts (account_id)
        )
    """)
    tenant_table(op, "users", api="SELECT", worker="SELECT, INSERT, UPDATE")
    op.execute("""
        CREATE TABLE api_keys (
            account_id TEXT NOT NULL,
            id TEXT NOT NULL,
            name TEXT NOT NULL,
            prefix TEXT NOT NULL,
            last4 TEXT NOT NULL,
            mode TEXT NOT NULL,
            scopes TEXT[] NOT NULL,
            allowed_ips TEXT[] NOT NULL,
            created_by TEXT,
            created_at TIMESTAMPTZ NOT NULL,
            expires_at TIMESTAMPTZ,
            revoked_at TIMESTAMPTZ,
            rotated_to TEXT,
            last_used_at TIMESTAMPTZ,
            CONSTRAINT pk_api_keys PRIMARY KEY (account_id, id),
            CONSTRAINT fk_api_keys_account_id_accounts FOREIGN KEY (account_id) REFERENCES accounts (account_id),
            CONSTRAINT fk_api_keys_account_id_rotated_to_api_keys
                FOREIGN KEY (account_id, rotated_to) REFERENCES api_keys (account_id, id),
            CONSTRAINT ck_api_keys_mode CHECK (mode IN ('live', 'test'))
        )
    """)
    tenant_table(
        op,
        "api_keys",
        api="SELECT, INSERT, UPDATE (expires_at, revoked_at, rotated_to)",
        worker="SELECT, INSERT, UPDATE",
        auth="SELECT, UPDATE (last_used_at)",
    )
    op.execute("""
        CREATE TABLE key_hashes (
            hash BYTEA NOT NULL,
            account_id TEXT NOT NULL,
            key_id TEXT NOT NULL,
            CONSTRAINT pk_key_hashes PRIMARY KEY (hash),
            CONSTRAINT fk_key_hashes_account_id_key_id_api_keys
                FOREIGN KEY (account_id, key_id) REFERENCES api_keys (account_id, id),
            CONSTRAINT ck_key_hashes_length CHECK (octet_length(hash) = 32)
        )
    """)
    global_table(op, "key_hashes", reason="finds the account of a key before the account is known")
    # Fenced all the same: the API may only tie a hash to a key of the account it works for.
    tenant_table(op, "key_hashes", api="INSERT", worker="INSERT", auth="SELECT")


def downgrade() -> None:
    op.execute("DROP TABLE key_hashes")
    op.execute("DROP TABLE api_keys")
    op.execute("DROP TABLE users")
    op.execute("DROP TABLE accounts")
