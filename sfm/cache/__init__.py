"""What decides whether a value may be served: pure, standard library alone."""

__all__: list[str] = []
