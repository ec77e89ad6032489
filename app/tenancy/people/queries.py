"""Statements about people, their sign-ins and sessions; all for the auth role, which alone sees them."""

from __future__ import annotations

FIND_SESSION = """
    SELECT s.id, s.person_id, s.account_id, s.created_at, s.seen_at, s.rotated_at, s.ended_at, s.previous_until,
           s.secret_hash = $1 AS is_current, p.name, p.emails, u.role, a.status, m.teams, m.leads
    FROM sessions s
    JOIN people p ON p.id = s.person_id
    LEFT JOIN accounts a ON a.account_id = s.account_id
    LEFT JOIN users u ON u.account_id = s.account_id AND u.id = s.person_id AND u.removed_at IS NULL
    CROSS JOIN LATERAL (
        SELECT coalesce(array_agg(team_id), '{}') AS teams,
               coalesce(array_agg(team_id) FILTER (WHERE role = 'lead'), '{}') AS leads
        FROM team_members WHERE account_id = s.account_id AND user_id = s.person_id
    ) m
    WHERE s.secret_hash = $1 OR s.previous_hash = $1
"""
"""A session by the hash of its secret or of the one before, its person, and what that is in the account it has chosen."""

INSERT_SESSION = """
    INSERT INTO sessions
        (id, secret_hash, person_id, account_id, user_agent, address, created_at, seen_at, rotated_at)
    SELECT $1, $2, $3, coalesce(
        (SELECT s.account_id FROM sessions s
         JOIN users u ON u.account_id = s.account_id AND u.id = s.person_id AND u.removed_at IS NULL
         WHERE s.person_id = $3 ORDER BY s.created_at DESC LIMIT 1),
        (SELECT personal_account_id FROM people WHERE id = $3)
    ), $4, $5, $6, $6, $6
    RETURNING account_id
"""
"""A new session, in the account that the person chose last, if it is still there, else in its own."""

NOTE_SEEN = "UPDATE sessions SET seen_at = greatest(seen_at, $2) WHERE id = $1"

ROTATE = """
    UPDATE sessions
    SET secret_hash = $3, previous_hash = $2, previous_until = $5, rotated_at = $4, seen_at = greatest(seen_at, $4)
    WHERE id = $1 AND secret_hash = $2 AND ended_at IS NULL
"""
"""The next secret takes the place of this one, unless somebody was quicker."""

CHOOSE = """
    UPDATE sessions s
    SET account_id = $6, secret_hash = $3, previous_hash = $2, previous_until = $5, rotated_at = $4,
        seen_at = greatest(s.seen_at, $4)
    WHERE s.id = $1 AND s.secret_hash = $2 AND s.ended_at IS NULL
      AND EXISTS (SELECT 1 FROM users u WHERE u.account_id = $6 AND u.id = s.person_id AND u.removed_at IS NULL)
    RETURNING s.id
"""
"""The session acts in another account, under its next secret, if its person belongs there."""

BELONGS = "SELECT 1 FROM users WHERE account_id = $1 AND id = $2 AND removed_at IS NULL"

END = """
    UPDATE sessions SET ended_at = $3
    WHERE id = $1 AND person_id = $2 AND ended_at IS NULL AND created_at > $4 AND seen_at > $5 RETURNING id, account_id
"""

END_OTHERS = """
    UPDATE sessions SET ended_at = $3 WHERE person_id = $1 AND id <> $2 AND ended_at IS NULL RETURNING id
"""

LIST_SESSIONS = """
    SELECT id, account_id, user_agent, address, created_at, seen_at FROM sessions
    WHERE person_id = $1 AND ended_at IS NULL AND created_at > $2 AND seen_at > $3
      AND ($4::timestamptz IS NULL OR (created_at, id) < ($4, $5))
    ORDER BY created_at DESC, id DESC LIMIT $6
"""

PUT_PERSON = """
    INSERT INTO people (id, github_id, login, name, emails, personal_account_id, created_at, signed_in_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $7)
    ON CONFLICT (github_id) DO UPDATE
    SET login = excluded.login, name = excluded.name, emails = excluded.emails, signed_in_at = excluded.signed_in_at
    RETURNING id, personal_account_id
"""
"""The person with an id of GitHub's, as GitHub describes it now; of two first sign-ins at once both get the same."""

TELL_MEMBERSHIPS = """
    UPDATE users u SET email = $2, name = $3
    WHERE u.id = $1 AND u.removed_at IS NULL AND (u.email, u.name) <> ($2, $3)
      AND NOT EXISTS (SELECT 1 FROM users o
                      WHERE o.account_id = u.account_id AND o.id <> u.id AND o.email = $2 AND o.removed_at IS NULL)
"""
"""A person's present name and address, wherever it belongs and nobody else has that address."""

IS_OPEN = "SELECT 1 FROM accounts WHERE account_id = $1"

INSERT_SIGN_IN = """
    INSERT INTO sign_ins (state_hash, browser_hash, return_to, created_at, expires_at) VALUES ($1, $2, $3, $4, $5)
"""

TAKE_SIGN_IN = """
    DELETE FROM sign_ins WHERE state_hash = $1 AND browser_hash = $2 RETURNING return_to, expires_at
"""
"""A sign-in by its state and its browser, both by their hashes; it can be taken once."""

PRUNE_SIGN_INS = """
    DELETE FROM sign_ins WHERE state_hash IN
        (SELECT state_hash FROM sign_ins WHERE expires_at < $1 ORDER BY expires_at LIMIT $2)
"""

PRUNE_SESSIONS = """
    DELETE FROM sessions WHERE id IN (SELECT id FROM sessions WHERE created_at < $1 ORDER BY created_at LIMIT $2)
"""
"""These two for the worker."""
