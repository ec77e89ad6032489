"""Statements: an account's month on paper."""
