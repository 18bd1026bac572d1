"""The relay: one owner per seismograph, one live cache, everybody else served from it."""

__all__: list[str] = []
