"""What a recording is, as plain values and as JSON payloads."""

__all__: list[str] = []
