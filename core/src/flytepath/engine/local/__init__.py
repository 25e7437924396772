"""Running attempts on this machine: its workers, what they may use, and what they leave."""
