"""Everything that waits for a unit: one device actor each, its connection, its reads."""

__all__: list[str] = []
