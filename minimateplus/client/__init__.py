"""The client: one conversation with one unit. ``MiniMate`` is what others use."""
