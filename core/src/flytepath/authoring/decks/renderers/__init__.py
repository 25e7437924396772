"""What turns values into HTML for decks. Every text that comes from a value is escaped; nothing is fetched.

The result needs no other file and no network: styles, pictures and scripts are in it.
"""
