"""
The page at ``/docs``: every route with its parameters and answers, from the OpenAPI description.

Plain HTML from this process. The usual page of the framework loads its scripts from another host,
which a machine in the field does not reach, and which would reveal the reader to that host.
"""

from __future__ import annotations

import base64
import hashlib
from html import escape
from typing import Any

__all__ = ["STYLE_HASH", "docs_page"]

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
  color: #1c2430; background: #fff; }
h2 { margin-top: 2.5rem; font-size: 1.1rem; }
code, td:first-child { font-family: ui-monospace, monospace; }
table { border-collapse: collapse; width: 100%; }
td, th { text-align: left; vertical-align: top; padding: .25rem .75rem .25rem 0;
  border-bottom: 1px solid #d5dae2; }
.method { background: #14532d; color: #fff; padding: .1rem .5rem; border-radius: .2rem; }
@media (prefers-color-scheme: dark) {
  body { color: #e5e9f0; background: #11161d; } td, th { border-color: #333c48; }
  a { color: #8ab4f8; }
}
"""

STYLE_HASH = "sha256-" + base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
"""What the content security policy knows the page's style by."""


def docs_page(description: dict[str, Any]) -> str:
    """Return the page for an OpenAPI description."""
    info = description["info"]
    routes = "".join(
        _route(path, method, route)
        for path, methods in description["paths"].items()
        for method, route in methods.items()
    )
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width">'
        f"<title>{escape(info['title'])}</title><style>{_STYLE}</style>"
        f"<h1>{escape(info['title'])} {escape(info['version'])}</h1>"
        f"<p>{escape(info['description'])} "
        f'For machines: <a href="/openapi.json">/openapi.json</a>.</p>{routes}</html>'
    )


def _route(path: str, method: str, route: dict[str, Any]) -> str:
    parameters = "".join(_parameter(parameter) for parameter in route.get("parameters", ()))
    answers = "".join(
        f"<tr><td>{escape(status)}<td>{escape(answer['description'])}"
        for status, answer in sorted(route["responses"].items())
    )
    body = route.get("requestBody", {}).get("content", {}).get("application/json", {})
    for name, schema in body.get("schema", {}).get("properties", {}).items():
        parameters += _parameter({"name": f"body: {name}", "schema": schema})
    table = f"<table><tr><th>Parameter<th>Value<th>Meaning{parameters}</table>"
    return (
        f'<h2><span class="method">{escape(method.upper())}</span> <code>{escape(path)}</code></h2>'
        f"<p>{escape(route.get('description', ''))}</p>{table if parameters else ''}"
        f"<table><tr><th>Answer<th>When{answers}</table>"
    )


def _parameter(parameter: dict[str, Any]) -> str:
    schema = parameter["schema"]
    kinds = [part.get("type", "") for part in schema.get("anyOf", [schema])]
    kind = " or ".join(k for k in kinds if k != "null")
    limits = [
        f"{word} {schema[name]}"
        for name, word in (("minimum", "from"), ("maximum", "to"))
        if name in schema
    ]
    if schema.get("default") is not None:
        limits.append(f"default {schema['default']}")
    value = ", ".join([kind, *limits])
    meaning = parameter.get("description") or schema.get("description", "")
    return f"<tr><td>{escape(parameter['name'])}<td>{escape(value)}<td>{escape(str(meaning))}"
