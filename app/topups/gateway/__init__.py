"""The gateway: everything that is asked of Stripe, and the facts that come back. Nothing else here imports its library."""
