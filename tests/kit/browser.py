"""
A real browser before the real relay: Debian's Chromium, driven by Playwright, each page watched.

The rule: a page that a test opens may say nothing in its console, ask no other host, and let no
error go unseen; ``Watched.close`` holds it to that. ``Watched.look`` is one state of a page looked
at: axe-core finds no violation in it, light and dark, on a narrow phone and on a wide screen, and
pictures of it are kept in ``SCREENSHOTS``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

import numpy as np
from numpy.typing import NDArray
from playwright.sync_api import (
    Browser,
    ConsoleMessage,
    Page,
    Request,
    Response,
    TimeoutError,
    ViewportSize,
    expect,
    sync_playwright,
)

from kit.chromium import ARGUMENTS, CHROMIUM
from kit.peers import lack
from kit.unit_thread import UnitThread

ROOT = Path(__file__).parents[2]
BUILT = ROOT / "sfm" / "web" / "index.html"
AXE = ROOT / "webapp" / "node_modules" / "axe-core" / "axe.min.js"
SCREENSHOTS = Path(os.environ.get("SFM_SCREENSHOTS", ROOT / "build" / "screenshots"))
ARE_PICTURES_KEPT = "SFM_SCREENSHOTS" in os.environ
"""For people to look at: a picture takes as long as all that is checked of a page."""

PATIENCE_MS = 30_000
"""A bound for a machine that is busy; nothing is judged by it."""
expect.set_options(timeout=PATIENCE_MS)
NARROW = ViewportSize(width=360, height=740)
WIDE = ViewportSize(width=1200, height=900)
LIGHTS: tuple[Literal["light", "dark"], ...] = ("light", "dark")
LOOKS = tuple(
    (light, width, size) for light in LIGHTS for width, size in (("wide", WIDE), ("narrow", NARROW))
)
KEPT = {("light", "wide"), ("dark", "narrow")}
"""Looks of which a picture is kept."""
COLOUR_RULES = ("color-contrast", "link-in-text-block")
"""The rules of axe-core's category "colour" that it applies by default."""
FAILED_LOAD = "Failed to load resource: "
"""What Chromium says of an answer with an error, or of none; who unplugs things expects it."""
MAX_TRANSFER_BYTES = 60_000
"""What all of the app may weigh over a modem; the build checks it too (``pack.mjs``)."""

TOO_SMALL = """() => [
    ...document.querySelectorAll("a, button, select, summary, input")
].filter(one => {
    const { width, height } = one.getBoundingClientRect();
    // A link within a sentence is as high as its line; what is out of sight cannot be touched.
    const isInText = one.matches("p a, .skip") || getComputedStyle(one).visibility === "hidden";
    const target = one.closest("label.check") ?? one;
    return one.offsetParent && !isInText && width > 0 &&
        Math.round(target.getBoundingClientRect().height) < 44;
}).map(one => one.outerHTML.slice(0, 120))"""
"""Returns what is touched and less than 44 px high."""

SIDEWAYS = """() => [...document.querySelectorAll("body *")].filter(one =>
    one.clientWidth > 1 && one.scrollWidth > one.clientWidth &&
        getComputedStyle(one).overflowX !== "visible"
).map(one => one.outerHTML.slice(0, 120))"""
"""Returns what has to be scrolled sideways to be read whole."""

SPILL = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
SETTLES_MS = 5_000
"""What is wider than its window for as long stays so."""

BRISK = {"SFM_REPLY_S": "4", "SFM_CONNECT_S": "4"}
"""A relay that soon gives up, so that no test waits for a silent unit."""

NewUnit = Callable[..., UnitThread]
Open = Callable[..., "Watched"]


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start Chromium, or say that it is missing."""
    if CHROMIUM is None:
        lack("Chromium is not installed (Debian: apt-get install chromium-headless-shell)")
    if not BUILT.exists() or not AXE.exists():
        lack("the web app is not built (make web says why)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*ARGUMENTS])
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Watched:
    """One page of a browser of its own: nothing of an earlier visit is in it."""

    page: Page
    base: str
    fails: bool = False
    """Whether answers with an error are part of the story."""
    asked: list[Request] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    @classmethod
    def open(cls, browser: Browser, base: str, fragment: str = "", **options: Any) -> Watched:
        """Open a page of the relay at ``base``, as ``#/archive``."""
        context = browser.new_context(viewport=WIDE, **options)
        context.set_default_timeout(PATIENCE_MS)
        page = context.new_page()
        seen = cls(page, base)
        page.on("console", seen._on_console)
        page.on("pageerror", lambda error: seen.wrong.append(f"error: {error}"))
        page.on("request", seen._on_request)
        page.on("response", seen._on_response)
        # Timers run by this clock too: a test steps on instead of waiting for a poll.
        page.clock.install()
        page.goto(f"{base}/{fragment}")
        return seen

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type not in ("error", "warning"):
            return
        if not (self.fails and message.text.startswith(FAILED_LOAD)):
            self.wrong.append(f"console: {message.text} ({message.location['url']})")

    def _on_request(self, request: Request) -> None:
        self.asked.append(request)
        if not request.url.startswith((self.base, "blob:", "data:")):
            self.wrong.append(f"asked another host: {request.url}")

    def _on_response(self, response: Response) -> None:
        policy = response.headers.get("content-security-policy", "")
        if not response.url.startswith(self.base):
            return
        if "default-src 'none'" not in policy:
            self.wrong.append(f"no policy with {response.url}: {policy!r}")
        if "unsafe-" in policy:
            self.wrong.append(f"a policy that is unsafe with {response.url}: {policy!r}")

    def requests(self, path: str) -> list[dict[str, str]]:
        """Return the queries of the requests of one path so far, in their order."""
        found = []
        for request in self.asked:
            parts = urlsplit(request.url)
            if parts.path == path:
                query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
                found.append(query | {"method": request.method})
        return found

    def go(self, fragment: str) -> None:
        """Follow a link inside the app, as ``#/unit/...``."""
        self.page.evaluate("to => { location.hash = to; }", fragment)

    def step(self, seconds: float) -> None:
        """Let time pass on the page, and each timer that is due run once."""
        self.page.clock.fast_forward(round(seconds * 1000))

    def look(self, name: str) -> None:
        """Look at the page as it stands now, in each light and width; keep pictures if asked to."""
        for light, width, size in LOOKS:
            self.page.emulate_media(color_scheme=light)
            self.page.set_viewport_size(size)
            if ARE_PICTURES_KEPT and (light, width) in KEPT:
                self.page.screenshot(
                    path=SCREENSHOTS / f"{name}-{width}-{light}.png", full_page=True
                )
            # Only colours depend on the light: the rest of a page is the same in the dark.
            for violation in self._violations(COLOUR_RULES if light == "dark" else None):
                self.wrong.append(f"{name}, {light}, {width}: {violation}")
            try:  # the page follows a new width a frame later
                self.page.wait_for_function(f"() => {SPILL} <= 0", timeout=SETTLES_MS)
            except TimeoutError:
                spill = self.page.evaluate(f"() => {SPILL}")
                self.wrong.append(f"{name}, {light}, {width}: {spill} px wider than its window")
        self.page.emulate_media(color_scheme="light")
        self.page.set_viewport_size(WIDE)

    def _violations(self, only: tuple[str, ...] | None) -> list[str]:
        """Return what axe-core finds, by all its rules or by those named."""
        if not self.page.evaluate("() => 'axe' in window"):
            self.page.evaluate(AXE.read_text())
        found = self.page.evaluate(
            "only => axe.run({ ...(only && { runOnly: only }), resultTypes: ['violations'] })", only
        )
        return [
            f"axe {one['id']}: {one['help']}: "
            + json.dumps([node["html"][:120] for node in one["nodes"]])
            for one in found["violations"]
        ]

    def close(self) -> None:
        """Close the page; whatever was wrong with it fails the test."""
        self.page.context.close()
        assert not self.wrong, "\n".join(self.wrong)


def rows(page: Page) -> list[list[str]]:
    """Return the cells of the events in sight, in a unit's list or the archive's."""
    found: list[list[str]] = page.eval_on_selector_all(
        ".events-table tbody tr:not(.spacer)",
        "rows => rows.map(row => [...row.cells].map(cell => cell.innerText.trim()))",
    )
    return found


def saved(page: Page, button: str, folder: Path) -> Path:
    """Press a button of the export menu that saves something; return the file."""
    page.get_by_text("Export ▾", exact=True).click()
    with page.expect_download() as waiting:
        page.get_by_role("button", name=button).click()
    path = folder / waiting.value.suggested_filename
    waiting.value.save_as(path)
    return path


def ground(seed: int) -> NDArray[np.int16]:
    """Return samples that take as many bytes whatever the seed, so that keys are equal too."""
    return np.random.default_rng(seed).integers(-900, 900, (4, 300)).astype(np.int16)


def at(unit: UnitThread, rest: str = "") -> str:
    """Return the fragment of a unit's page, as ``at(unit, "events")``."""
    return f"#/unit/{unit.key}" + (f"/{rest}" if rest else "")
