"""What every request passes before a route: authentication, cache hits, limits."""
