"""Keeping: what runs is watched, what is taken back is replaced, what sleeps is woken, what is over is stopped."""
