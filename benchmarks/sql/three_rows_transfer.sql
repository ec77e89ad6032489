-- One transfer from the hot account: one call, the whole of it in the database.
\set target random(2, 10000)
SELECT * FROM transfer('acct_00000000000000000000000001', 'acct_' || lpad(:target::TEXT, 26, '0'), 5);
