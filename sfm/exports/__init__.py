"""Formats of other programs: what is read from them, and what is written in them."""

__all__: list[str] = []
