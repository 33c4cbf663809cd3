"""Networks that learn to segment from pseudo labels alone."""
