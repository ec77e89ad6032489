"""Every statement of the policies room, handed to the driver. Other rooms' tables are read, never written.

What counts as spent is what reached the account's ``spend`` bucket, less what came back from it. A capture belongs to the
days on which its seconds ran, whenever it was made: its last second ends where it was effective, less the captures that
the same settlement made after it. So a budget does not depend on when we settle.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Final

_PARAMETER: Final = re.compile(r"\$(\d+)")

_POLICY: Final = (
    "p.version, p.gpu_whitelist::text, p.max_instances, p.max_gpus, p.max_price_micros_per_hour, "
    "p.daily_budget_micros, p.monthly_budget_micros, p.max_duration_seconds, p.allowed_regions::text, "
    "p.allowed_providers::text, p.min_reliability_ppm, p.on_budget_exceeded, p.time_zone, p.paused_until, "
    "p.paused_because, p.updated_at, p.updated_by"
)

# Changes whenever what a policy says does.
_STATE: Final = "p.subject || ' ' || p.version || ' ' || coalesce(p.paused_until, 'epoch')::text"

READ_POLICIES: Final = f"""
SELECT s.subject, t.time_zone AS team_zone, t.archived_at IS NULL AND t.id IS NOT NULL AS is_team, {_POLICY},
       {_STATE} AS state
FROM unnest($2::text[]) WITH ORDINALITY AS s(subject, n)
LEFT JOIN policies p ON p.account_id = $1 AND p.subject = s.subject
LEFT JOIN teams t ON t.account_id = $1 AND t.id = s.subject
ORDER BY s.n
"""  # noqa: S608 - a constant

# $4 to $14 are the fields of ``Terms``, in their order.
SAVE_POLICY: Final = """
INSERT INTO policies (account_id, subject, version, gpu_whitelist, max_instances, max_gpus, max_price_micros_per_hour,
                      daily_budget_micros, monthly_budget_micros, max_duration_seconds, allowed_regions,
                      allowed_providers, min_reliability_ppm, on_budget_exceeded, time_zone, created_at, updated_at,
                      updated_by)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $16, $17)
ON CONFLICT (account_id, subject) DO UPDATE SET version = excluded.version, gpu_whitelist = excluded.gpu_whitelist,
    max_instances = excluded.max_instances, max_gpus = excluded.max_gpus,
    max_price_micros_per_hour = excluded.max_price_micros_per_hour,
    daily_budget_micros = excluded.daily_budget_micros, monthly_budget_micros = excluded.monthly_budget_micros,
    max_duration_seconds = excluded.max_duration_seconds, allowed_regions = excluded.allowed_regions,
    allowed_providers = excluded.allowed_providers, min_reliability_ppm = excluded.min_reliability_ppm,
    on_budget_exceeded = excluded.on_budget_exceeded, time_zone = excluded.time_zone, updated_at = excluded.updated_at,
    updated_by = excluded.updated_by
"""

COUNT_RENTAL: Final = """
INSERT INTO commitments (account_id, rental_id, team_id, key_id, user_id, family, gpu_count, created_at) VALUES ({})
"""

END_COMMITMENT: Final = """
UPDATE commitments SET ended_at = $3 WHERE account_id = $1 AND rental_id = $2 AND ended_at IS NULL
"""

FIND_COMMITMENT: Final = """
SELECT team_id, key_id, user_id, family, gpu_count FROM commitments WHERE account_id = $1 AND rental_id = $2
"""

# What was spent since the transfer that the days are counted up to, with the moment at which each row's last second ended.
TAIL: Final = """
SELECT t.account_id, t.seq, t.rental_id, t.rate, t.from_s, t.to_s, coalesce(t.base_s, 0) AS base_s,
       CASE WHEN t.credit = 'spend' THEN t.amount ELSE -t.amount END AS micros,
       t.effective_at - make_interval(secs => coalesce(sum(t.to_s - t.from_s) OVER later, 0)) AS until,
       c.team_id, c.user_id, c.key_id
FROM {transfers} LEFT JOIN commitments c ON c.account_id = t.account_id AND c.rental_id = t.rental_id
WHERE {where} AND (t.credit = 'spend' OR t.debit = 'spend')
WINDOW later AS (PARTITION BY t.account_id, t.rental_id, t.effective_at ORDER BY t.seq DESC
                 ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
"""


def cost_up_to(moment: str) -> str:
    """Return the SQL of what a row ``t`` of the tail cost in its seconds up to a moment; all or nothing without seconds."""
    seconds = f"least(t.to_s, greatest(t.from_s, t.to_s - ceil(extract(epoch FROM t.until - {moment}))::bigint))"
    return f"""
    CASE WHEN t.from_s IS NULL THEN CASE WHEN t.until < {moment} THEN t.micros ELSE 0 END
         ELSE div(t.rate::numeric * ({seconds} - t.base_s), 3600) - div(t.rate::numeric * (t.from_s - t.base_s), 3600)
    END"""


_SPENT_SINCE: Final = f"""
coalesce((SELECT sum(t.micros - ({cost_up_to("m.since")})) FROM tail t
          WHERE m.subject IN (t.account_id, t.team_id, t.user_id, t.key_id)), 0)
"""  # noqa: S608 - a constant


def _opened_of(whose: str) -> str:
    return f"count(*){whose}, coalesce(sum(c.gpu_count){whose}, 0)::bigint, coalesce(sum(h.held){whose}, 0)::bigint"


# One row: of the account ($1), a team ($2), a person ($3) and a key ($4) what is open and held, all but one rental ($5),
# and for each measure ($6 subject, $7 since which day, $8 since when) what was spent. {whose} narrows to what is asked.
STANDING: Final = f"""
WITH tail AS MATERIALIZED ({{tail}})
SELECT (SELECT ARRAY[{_opened_of("")}, {_opened_of(" FILTER (WHERE c.team_id = $2)")},
                     {_opened_of(" FILTER (WHERE c.user_id = $3)")}, {_opened_of(" FILTER (WHERE c.key_id = $4)")}]
        FROM commitments c LEFT JOIN holds h ON h.account_id = c.account_id AND h.rental_id = c.rental_id
        WHERE c.account_id = $1 AND c.ended_at IS NULL AND c.rental_id <> $5 AND {{whose}}) AS opened,
    ARRAY(SELECT ({{days}} + {_SPENT_SINCE})::bigint
          FROM unnest($6::text[], $7::date[], $8::timestamptz[]) WITH ORDINALITY AS m(subject, day, since, n)
          ORDER BY m.n) AS spent,
    ARRAY(SELECT ARRAY[z.subject, z.time_zone] FROM policy_zones z
          WHERE z.account_id = $1 AND z.subject = ANY($6::text[])) AS zones,
    ARRAY(SELECT {_STATE} FROM policies p WHERE p.account_id = $1 AND p.subject IN ($1, $2, $3, $4)) AS states
"""  # noqa: S608 - a constant

_COUNTED: Final = "coalesce((SELECT k.seq FROM policy_counted k WHERE k.account_id = $1), 0)"
_DAYS: Final = """
coalesce((SELECT sum(s.micros) FROM policy_spend s
          WHERE s.account_id = $1 AND s.subject = m.subject AND s.day >= m.day), 0)
"""
_OF_ANY: Final = "(c.team_id = $2 OR c.user_id = $3 OR c.key_id = $4)"


_WITH: Final = "WITH "
_COUNTED_BY: Final = "$1, $5, $2, $4, $3, ${}, ${}, ${}"


@cache
def standing(*, of_account: bool, from_days: bool) -> str:
    """Return the statement: with everything open, or what is a team's, a person's or a key's; from days, or transfers."""
    counted = f" AND t.seq > {_COUNTED}" if from_days else ""
    return STANDING.format(
        tail=TAIL.format(transfers="transfers t", where=f"t.account_id = $1{counted}"),
        whose="true" if of_account else _OF_ANY,
        days=_DAYS if from_days else "0",
    )


@cache
def counting(parts: str, *, taken: int) -> str:
    """Return the statement of what a rental begins with, beside the row that counts it.

    Its parameters after those that are taken: $1 to $5 of ``standing``, the family, the number of GPUs, the moment.
    """
    return f"WITH {parts}, {_counted(taken, own=5)} SELECT"


@cache
def counting_and_standing(parts: str, *, taken: int, of_account: bool) -> str:
    """Return the statement of ``counting`` that reads the standing before it, too.

    Its parameters after those that are taken: those of ``standing``, then those that only ``counting`` has.
    """
    asked = _renumbered(standing(of_account=of_account, from_days=True).strip().removeprefix(_WITH), by=taken)
    return f"WITH {parts}, {_counted(taken, own=8)}, {asked}"


def _counted(taken: int, *, own: int) -> str:
    row = COUNT_RENTAL.format(_COUNTED_BY.format(own + 1, own + 2, own + 3))
    return f"counted AS ({_renumbered(row, by=taken)})"


def _renumbered(statement: str, *, by: int) -> str:
    return _PARAMETER.sub(lambda found: f"${int(found[1]) + by}", statement)


FIND_UNCOUNTED: Final = """
SELECT w.account_id FROM wallets w LEFT JOIN policy_counted k ON k.account_id = w.account_id
WHERE w.bucket = ANY($1::smallint[]) AND w.seq > coalesce(k.seq, 0) ORDER BY w.account_id LIMIT $2
"""

# Subjects whose days are counted in another zone than theirs.
FIND_MISZONED: Final = """
SELECT s.account_id, s.subject, s.time_zone FROM (
    SELECT account_id, id AS subject, time_zone FROM teams
    UNION ALL SELECT account_id, subject, time_zone FROM policies
    WHERE subject = account_id OR subject LIKE 'usr\\_%'
) s JOIN wallets w ON w.account_id = s.account_id
LEFT JOIN policy_zones z ON z.account_id = s.account_id AND z.subject = s.subject
WHERE w.bucket = ANY($1::smallint[]) AND s.time_zone <> coalesce(z.time_zone, 'UTC')
ORDER BY s.account_id, s.subject LIMIT $2
"""

OPEN_COUNTED: Final = """
INSERT INTO policy_counted (account_id, seq) SELECT a, 0 FROM unnest($1::text[]) AS a ON CONFLICT DO NOTHING
"""

LOCK_COUNTED: Final = """
SELECT account_id, seq FROM policy_counted WHERE account_id = ANY($1::text[]) ORDER BY account_id FOR UPDATE
"""

READ_POSTED: Final = "SELECT account_id, seq FROM wallets WHERE account_id = ANY($1::text[])"

_BOOKS: Final = """
unnest($1::text[], $2::bigint[], $3::bigint[]) AS b(account_id, after, upto)
JOIN transfers t ON t.account_id = b.account_id AND t.seq > b.after AND t.seq <= b.upto
"""
_COUNTED_TAIL: Final = TAIL.format(transfers=_BOOKS, where="true")
_SUBJECT_TAIL: Final = TAIL.format(transfers=_BOOKS, where="$4 IN (t.account_id, c.team_id, c.user_id, c.key_id)")

_SPAN: Final = """
WITH tail AS MATERIALIZED ({tail})
SELECT min(t.until - make_interval(secs => coalesce(t.to_s - t.from_s, 0))) AS since, max(t.until) AS until FROM tail t
"""
READ_SPAN: Final = _SPAN.format(tail=_COUNTED_TAIL)
READ_SPAN_OF_SUBJECT: Final = _SPAN.format(tail=_SUBJECT_TAIL)

READ_ZONES: Final = """
SELECT DISTINCT time_zone FROM policy_zones WHERE account_id = ANY($1::text[])
"""

# Each row of the tail, cut where the days ($5 zone, $6 day, $7 since, $8 until) of its subjects end.
_COUNT: Final = f"""
WITH tail AS MATERIALIZED ({{tail}}), cut AS (
    SELECT t.account_id, s.subject, d.day, sum(({cost_up_to("d.until")}) - ({cost_up_to("d.since")})) AS micros
    FROM tail t CROSS JOIN LATERAL ({{subjects}}) AS s(subject)
    LEFT JOIN policy_zones z ON z.account_id = t.account_id AND z.subject = s.subject
    JOIN unnest($5::text[], $6::date[], $7::timestamptz[], $8::timestamptz[]) AS d(zone, day, since, until)
        ON d.zone = coalesce(z.time_zone, 'UTC') AND d.since <= t.until
        AND d.until > t.until - make_interval(secs => coalesce(t.to_s - t.from_s, 0) + 1)
    GROUP BY 1, 2, 3
)
INSERT INTO policy_spend (account_id, subject, day, micros)
SELECT account_id, subject, day, micros FROM cut WHERE micros <> 0
ON CONFLICT (account_id, subject, day) DO UPDATE SET micros = policy_spend.micros + excluded.micros
"""  # noqa: S608 - a constant
_EVERYBODY: Final = """
SELECT DISTINCT x FROM (VALUES (t.account_id), (t.team_id), (t.user_id), (t.key_id)) AS v(x)
WHERE x IS NOT NULL AND ($4::text IS NULL OR x = $4)
"""
COUNT: Final = _COUNT.format(tail=_COUNTED_TAIL, subjects=_EVERYBODY)
COUNT_SUBJECT: Final = _COUNT.format(tail=_SUBJECT_TAIL, subjects=_EVERYBODY)

SAVE_COUNTED: Final = """
UPDATE policy_counted k SET seq = b.upto FROM unnest($1::text[], $2::bigint[]) AS b(account_id, upto)
WHERE k.account_id = b.account_id
"""

FORGET_DAYS: Final = "DELETE FROM policy_spend WHERE account_id = $1 AND subject = $2"

SAVE_ZONE: Final = """
INSERT INTO policy_zones (account_id, subject, time_zone) VALUES ($1, $2, $3)
ON CONFLICT (account_id, subject) DO UPDATE SET time_zone = excluded.time_zone
"""

IS_MEMBER: Final = "SELECT true FROM users WHERE account_id = $1 AND id = $2 AND removed_at IS NULL"

FIND_KEY: Final = "SELECT team_id, created_by FROM api_keys WHERE account_id = $1 AND id = $2"
