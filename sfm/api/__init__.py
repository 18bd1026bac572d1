"""HTTP words for the gateway's verbs: routers by noun, schemas, problems, provenance."""

__all__: list[str] = []
