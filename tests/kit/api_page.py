"""The API's own page (OpenAPI), made once in a process: that takes a second of processor time."""

from __future__ import annotations

import copy
from functools import cache
from typing import Any

from sfm.api.app import build_app
from sfm.settings import Settings

__all__ = ["api_page"]


def api_page() -> dict[str, Any]:
    """Return the page of this program's API; a copy of its own for each caller."""
    return copy.deepcopy(_made())


@cache
def _made() -> dict[str, Any]:
    return build_app(Settings(database_url="none")).openapi()
