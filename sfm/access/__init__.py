"""Who may do what, and where the relay may connect."""

__all__: list[str] = []
