"""Who may do what, and where the relay may connect."""
