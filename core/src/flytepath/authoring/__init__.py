"""What a user writes: tasks and workflows as Python, and the context a task runs in."""
