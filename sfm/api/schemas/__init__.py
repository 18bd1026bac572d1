"""The shapes of requests and answers, as OpenAPI shows them."""

__all__: list[str] = []
