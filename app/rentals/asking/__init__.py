"""Asking: what a caller wishes for, read, priced and written down in one transaction; or queued, where there is nothing."""
