"""The names of formats and decimal signs, for those that must not import what writes them."""

from __future__ import annotations

from typing import Literal

__all__ = ["Decimal", "FormatName"]

FormatName = Literal["csv", "blastware", "json", "parquet"]
Decimal = Literal["point", "comma"]
