"""
The web app: its page at ``/`` and what the page loads, from the files inside the package.

The rule: only what the build left in ``sfm/web`` has a name here, so no path leads out of it. A
file of ``/assets/`` carries a digest of itself in its name and never changes; the page that names
it is asked for again each time. Without a build the page says why, and all else answers.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from importlib.resources.abc import Traversable

from fastapi import APIRouter, Request
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from sfm.api.compression import compressed, takes
from sfm.api.provenance import names
from sfm.api.routes.dependencies import Nothing

__all__ = ["NEVER_BUILT", "WebFile", "WebFiles", "web"]

PAGE = "index.html"
REASON = "no-build.txt"
"""Where the build leaves the reason when there could be none."""
NEVER_BUILT = "Nobody has built it here. On a machine with the sources: make web."

MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".woff2": "font/woff2",
}
_PACKED = frozenset((".png", ".woff2"))
"""What gzip does not make smaller."""
CODINGS = ("br", "gzip")
"""The smaller first. Brotli is packed by the build, since nothing here can; gzip on the way."""

web = APIRouter(include_in_schema=False)


@dataclass(frozen=True, slots=True)
class WebFile:
    """One built file, as it is sent."""

    media_type: str
    body: bytes
    etag: str
    packed: dict[str, bytes]
    """The same, packed, by coding, where that is smaller."""


class WebFiles:
    """
    The built files. Lives as long as the application; a build that came later is found.

    Args:
        folder: where the build left them; need not be there.
    """

    def __init__(self, folder: Traversable | None = None) -> None:
        self._folder = files("sfm") / "web" if folder is None else folder
        self._held: dict[str, WebFile] = {}

    def page(self) -> WebFile | None:
        """Return the page as it is now; ``None``: there is no build."""
        return self._read(self._folder / PAGE)

    def why_none(self) -> str:
        """Return why there is no page."""
        reason = self._folder / REASON
        return reason.read_text().strip() if reason.is_file() else NEVER_BUILT

    def asset(self, name: str) -> WebFile | None:
        """Return what has that name among the assets, if anything does."""
        if name not in self._held:
            folder = self._folder / "assets"
            there = {found.name: found for found in folder.iterdir()} if folder.is_dir() else {}
            if name not in there or name.endswith(".br"):
                return None
            found = self._read(there[name], there.get(f"{name}.br"))
            if found is None:
                return None
            self._held[name] = found
        return self._held[name]

    @staticmethod
    def _read(file: Traversable, brotli: Traversable | None = None) -> WebFile | None:
        if not file.is_file():
            return None
        body = file.read_bytes()
        ending = f".{file.name.rpartition('.')[2]}"
        packed = {} if ending in _PACKED else {"gzip": compressed(body)}
        if brotli is not None:
            packed["br"] = brotli.read_bytes()
        return WebFile(
            MEDIA_TYPES.get(ending, "application/octet-stream"),
            body,
            hashlib.blake2b(body, digest_size=16).hexdigest(),
            {coding: less for coding, less in packed.items() if len(less) < len(body)},
        )


@web.get("/")
async def get_page(request: Request, _: Nothing) -> Response:
    """Show the web app, or say why it is not there."""
    built: WebFiles = request.app.state.web
    page = built.page()
    if page is None:
        headers = {"Cache-Control": "no-store"}
        return Response(_plain_page(built.why_none()), 200, headers, "text/html")
    return _send(request, page, "no-cache")


@web.get("/assets/{name}")
async def get_asset(request: Request, name: str, _: Nothing) -> Response:
    """Send what the page loads."""
    built: WebFiles = request.app.state.web
    found = built.asset(name)
    if found is None:
        raise HTTPException(404)
    return _send(request, found, "public, max-age=31536000, immutable")


def _send(request: Request, file: WebFile, cache_control: str) -> Response:
    accepted = request.headers.get("accept-encoding", "")
    coding = next((one for one in CODINGS if one in file.packed and takes(one, accepted)), None)
    etag = file.etag if coding is None else f"{file.etag}.{coding}"
    headers = {"ETag": f'"{etag}"', "Cache-Control": cache_control, "Vary": "accept-encoding"}
    if names(request.headers.get("if-none-match", ""), etag):
        return Response(status_code=304, headers=headers)
    if coding is None:
        return Response(file.body, 200, headers, file.media_type)
    headers["Content-Encoding"] = coding
    return Response(file.packed[coding], 200, headers, file.media_type)


def _plain_page(reason: str) -> str:
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<link rel="icon" href="data:,"><title>seismo-relay</title></head><body><main>'
        "<h1>seismo-relay</h1><p>The relay is up, but its web app is not built.</p>"
        f"<p>{escape(reason)}</p>"
        '<p>Everything it shows can be asked of the API: <a href="/docs">every route</a>.</p>'
        "</main></body></html>"
    )
