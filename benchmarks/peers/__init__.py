"""The programs that are timed against each other, one per engine; each runs one case in a process of its own."""
