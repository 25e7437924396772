"""What things are: frozen data without I/O or behaviour of its own. Everything above speaks in these words."""
