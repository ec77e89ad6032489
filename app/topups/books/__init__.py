"""Books: each day and month compared with Stripe, both ways."""
