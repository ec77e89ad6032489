"""Lots: which credit is spent first, and what is left of each."""
