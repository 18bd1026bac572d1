"""
A reader's freshness requirements, from parameters and ``Cache-Control`` (RFC 9111, 5.2.1).

Both may be given; the stricter applies. ``no-cache`` is ``force``, ``max-age`` is ``max_age``,
``only-if-cached`` is ``only_if_cached``, ``stale-if-error`` (RFC 5861) is ``stale_if_error``.
``max-stale``, ``min-fresh``, ``no-store`` and ``no-transform`` are allowed to be ignored, and are.
An invalid header is ignored too, as the standard requires; an invalid parameter is not.
"""

from __future__ import annotations

import re

from starlette.requests import Request

from sfm.api.schemas.reading import ReadQuery
from sfm.cache.freshness import Freshness

__all__ = ["directives", "freshness", "wanted"]

_DIRECTIVE = re.compile(r'\s*([a-z-]+)\s*(?:=\s*"?(\d{1,9})"?)?\s*', re.IGNORECASE)


def wanted(request: Request, query: ReadQuery) -> Freshness:
    """Return the freshness that a request requires."""
    # A repeated header is one list (RFC 9110 section 5.3).
    return freshness(query, ",".join(request.headers.getlist("cache-control")))


def freshness(query: ReadQuery, cache_control: str | None) -> Freshness:
    """
    Return the freshness that these parameters and this header require.

    >>> freshness(ReadQuery(host="h", max_age=60), "max-age=5, only-if-cached").max_age_s
    5.0
    """
    requested = directives(cache_control) if cache_control else {}
    ages = [query.max_age, requested.get("max-age")]
    force = query.force or "no-cache" in requested
    stale = query.stale_if_error
    return Freshness(
        force=force,
        max_age_s=min((float(age) for age in ages if age is not None), default=None),
        only_if_cached=not force and (query.only_if_cached or "only-if-cached" in requested),
        stale_if_error_s=stale if stale is not None else requested.get("stale-if-error"),
    )


def directives(header: str) -> dict[str, float | None]:
    """Return the directives of a ``Cache-Control`` header, each with its number if it has one."""
    found: dict[str, float | None] = {}
    for part in header.split(","):
        match = _DIRECTIVE.fullmatch(part)
        if match is None:
            continue
        name, number = match[1].lower(), match[2]
        if name in ("max-age", "stale-if-error") and number is None:
            continue
        found[name] = None if number is None else float(number)
    return found
