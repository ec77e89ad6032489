"""Hourglass: GPUs rented by the second, prepaid, over one REST API."""
