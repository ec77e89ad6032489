"""Budgets over time: hard ones end what runs at the very second, all are told of, and pause what is new."""
