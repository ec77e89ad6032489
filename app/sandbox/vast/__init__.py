"""Vast.ai: slices of machines that hosts offer, on demand or by bid."""
