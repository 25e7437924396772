"""How checkpoints are kept: the folders they lie in, what a save consists of, and how states become files."""
