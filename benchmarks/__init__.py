"""What start-up and discovery cost: one command, one run, side by side, as ratios. See README.md here."""
