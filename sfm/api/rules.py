"""
Who may use which route: one table, and a test that every route is in it.

``None``: every client, with or without a token. A route listed here with a role needs that role
or one above it. A path not listed needs a viewer before it is answered with 404, and the
framework never sees it: it reads some paths more freely (a line end behind them is lost on it), and
would reach a route without a check of its rule.
"""

from __future__ import annotations

import re
from functools import lru_cache

from sfm.access.principal import Role

__all__ = ["FORCED", "OF_ALL_UNITS", "RULES", "Rule", "rule_of"]

Rule = Role | None

V, O, A = Role.VIEWER, Role.OPERATOR, Role.ADMIN  # noqa: E741  # as in the table of the docs

RULES: dict[tuple[str, str], Rule] = {
    ("GET", "/health"): None,
    ("GET", "/health/ready"): None,
    ("GET", "/"): None,
    ("GET", "/assets/{name}"): None,
    ("GET", "/session"): None,
    ("POST", "/session"): None,
    ("DELETE", "/session"): None,
    ("GET", "/docs"): V,
    ("GET", "/openapi.json"): V,
    ("GET", "/metrics"): V,
    ("GET", "/device/info"): V,
    ("GET", "/device/events"): V,
    ("GET", "/device/events/storage_range"): V,
    ("GET", "/device/events/index"): V,
    ("GET", "/device/event/{index}"): V,
    ("GET", "/device/event/{index}/waveform"): V,
    ("GET", "/device/event/{index}/export"): V,
    ("GET", "/device/event/{index}/analysis"): V,
    ("GET", "/device/event/{index}/spectra"): V,
    ("GET", "/device/event/{index}/report.pdf"): V,
    ("GET", "/device/event/{index}/chart"): V,
    ("GET", "/device/monitor/status"): V,
    ("GET", "/device/progress"): V,
    ("GET", "/device/call_home"): V,
    ("POST", "/device/monitor/start"): O,
    ("POST", "/device/monitor/stop"): O,
    ("POST", "/device/fetch"): O,
    ("GET", "/operations/{id}"): V,
    ("GET", "/operations/{id}/progress"): V,
    ("POST", "/device/config"): O,
    ("POST", "/device/call_home"): O,
    ("POST", "/device/events/erase"): A,
    ("POST", "/device/rescue"): A,
    ("GET", "/units"): V,
    ("POST", "/units"): A,
    ("PATCH", "/units/{serial}"): O,
    ("DELETE", "/units/{serial}"): A,
    ("GET", "/locations"): V,
    ("POST", "/locations"): A,
    ("PATCH", "/locations/{name}"): A,
    ("DELETE", "/locations/{name}"): A,
    ("POST", "/locations/{name}/unit"): O,
    ("POST", "/routes"): A,
    ("PATCH", "/routes"): A,
    ("DELETE", "/routes"): A,
    ("GET", "/zones"): V,
    ("POST", "/zones"): A,
    ("PATCH", "/zones"): A,
    ("DELETE", "/zones"): A,
    ("GET", "/archive/recordings/{id}/verdicts"): V,
    ("GET", "/limits"): V,
    ("POST", "/limits"): A,
    ("GET", "/limits/{id}"): V,
    ("DELETE", "/limits/{id}"): A,
    ("GET", "/limits/{id}/value"): V,
    ("PUT", "/limits/{id}/confirmation"): A,
    ("DELETE", "/limits/{id}/confirmation"): A,
    ("GET", "/limit-choices"): V,
    ("PUT", "/limit-choices"): A,
    ("DELETE", "/limit-choices"): A,
    ("GET", "/ports"): O,
    ("GET", "/cache/stats"): V,
    ("DELETE", "/cache/device"): A,
    ("GET", "/archive/units"): V,
    ("GET", "/archive/events"): V,
    ("GET", "/archive/recordings/{id}"): V,
    ("GET", "/archive/recordings/{id}/waveform"): V,
    ("GET", "/archive/recordings/{id}/export"): V,
    ("POST", "/archive/exports"): V,
    ("GET", "/archive/exports/{id}"): V,
    ("GET", "/archive/recordings/{id}/image"): V,
    ("GET", "/archive/recordings/{id}/review"): V,
    ("PUT", "/archive/recordings/{id}/review"): O,
    ("GET", "/archive/recordings/{id}/analysis"): V,
    ("GET", "/archive/recordings/{id}/spectra"): V,
    ("GET", "/archive/recordings/{id}/report.pdf"): V,
    ("GET", "/archive/recordings/{id}/chart"): V,
    ("GET", "/archive/recordings/{id}/facts"): V,
    ("PUT", "/archive/recordings/{id}/facts"): O,
    ("POST", "/archive/reports"): V,
    ("GET", "/archive/reports/{id}"): V,
    # 410 Gone: browsers may have cached answers of these paths.
    ("GET", "/archive/events/{id}"): V,
    ("GET", "/archive/events/{id}/waveform"): V,
    ("GET", "/archive/events/{id}/image"): V,
    ("GET", "/archive/events/{id}/review"): V,
    ("PUT", "/archive/events/{id}/review"): O,
    ("GET", "/archive/findings"): V,
    ("GET", "/tokens"): A,
    ("POST", "/tokens"): A,
    ("DELETE", "/tokens/{id}"): A,
    ("GET", "/audit"): A,
}

FORCED = Role.OPERATOR
"""What a read needs that asks the unit in any case: force, no-cache, max_age below 1 s."""

OF_ALL_UNITS = frozenset(
    (
        "/metrics",
        "/cache/stats",
        "/archive/findings",
        "/tokens",
        "/tokens/{id}",
        "/audit",
        "/zones",
        "/limit-choices",
    )
)
"""Routes that reveal every unit: not for a token that is limited to some."""

_PATHS = frozenset(path for _, path in RULES)
_SHAPES = [
    (re.compile(re.sub(r"\{\w+\}", "[^/]+", path)), path) for path in sorted(_PATHS) if "{" in path
]


@lru_cache(maxsize=256)
def rule_of(method: str, path: str) -> tuple[str | None, Rule]:
    """
    Return the template of a path, and who may use it with that method.

    ``None``: there is no such page. One that is there, but not by that method, is for viewers.
    """
    template = path if path in _PATHS else None
    if template is None:
        template = next((known for shape, known in _SHAPES if shape.fullmatch(path)), None)
    method = "GET" if method == "HEAD" else method
    return template, RULES.get((method, template or path), Role.VIEWER)
