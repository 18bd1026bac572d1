"""The routes, one module for each resource."""

__all__: list[str] = []
