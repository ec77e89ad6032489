"""Placing: a rental gets a machine, checked, and machines that nobody wants any more are seen to their end."""
