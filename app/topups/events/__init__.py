"""Events: what Stripe tells us, stored first and handled by looking at the object; and what it failed to tell."""
