"""Lambda: instance types by region."""
