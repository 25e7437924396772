"""Reports that tasks write for people, and how values look in them."""
