"""Reports: what was spent by whom on what; every sum equals the ledger's to the micro-dollar."""
