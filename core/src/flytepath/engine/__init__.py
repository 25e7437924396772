"""What happens: the fold and the decider, the scheduler that carries decisions out, and the local workers."""
