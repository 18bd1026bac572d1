"""What every request passes before a route: authentication, cache hits, limits."""

__all__: list[str] = []
