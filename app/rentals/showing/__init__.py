"""Showing: rentals over HTTP, as they are, as they came about and as they are changed."""
