"""A page of another site, in a real browser, before a relay that is open to its own machine."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from kit.browser import PATIENCE_MS, NewUnit
from playwright.sync_api import Browser, Page

pytest_plugins = ["kit.web_world"]

WAYS = {
    "image": "new Image().src = url",
    "image without referrer": """
        const image = new Image(); image.referrerPolicy = "no-referrer"; image.src = url""",
    "script": "add('script', {src: url})",
    "style sheet": "add('link', {rel: 'stylesheet', href: url})",
    "prefetch": "add('link', {rel: 'prefetch', href: url})",
    "video": "add('video', {src: url, preload: 'auto'})",
    "frame": "add('iframe', {src: url})",
    "object": "add('object', {data: url})",
    "fetch": "fetch(url, {mode: 'no-cors', credentials: 'include'}).catch(() => 0)",
    "fetch with the whole referrer": """
        fetch(url, {mode: 'no-cors', referrerPolicy: 'unsafe-url'}).catch(() => 0)""",
    "fetch for CORS": "fetch(url).catch(() => 0)",
    "fetch of the head": "fetch(url, {mode: 'no-cors', method: 'HEAD'}).catch(() => 0)",
    "posted fetch": "fetch(url, {mode: 'no-cors', method: 'POST', body: '{}'}).catch(() => 0)",
    "beacon": "navigator.sendBeacon(url, '{}')",
    "event stream": "new EventSource(url)",
    "form": """
        add('iframe', {name: 'into'}); const form = add('form', {action: url, target: 'into'});
        for (const [name, value] of new URL(url).searchParams) add('input', {name, value}, form);
        form.submit()""",
    "posted form": """
        add('iframe', {name: 'into'});
        add('form', {action: url, target: 'into', method: 'POST'}).submit()""",
    "new window": "window.open(url)",
    "link": "add('a', {href: url}).click()",
    "link without referrer": "add('a', {href: url, rel: 'noreferrer'}).click()",
    "navigation": "location.href = url",
}
SEEN_BY_THE_PERSON = ("new window", "link", "link without referrer", "navigation")
PAGE = b"""<!doctype html><title>another site</title><body><script>
function add(kind, more, into = document.body) {
    return into.appendChild(Object.assign(document.createElement(kind), more));
}
</script>"""


class _Site(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/html")
        self.end_headers()
        self.wfile.write(PAGE)

    def log_message(self, *_: object) -> None: ...


@contextmanager
def other_site(host: str) -> Iterator[str]:
    """Serve a page that can do anything to its own document; yield its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Site)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://{host}:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"], ids=["cross-site", "same-site"])
def test_no_way_of_another_site_reaches_a_unit(
    host: str, browser: Browser, base: str, new_unit: NewUnit
) -> None:
    unit = new_unit("SIM0801")
    url = f"{base}/device/info?host=127.0.0.1&tcp_port={unit.port}"
    statuses: dict[str, int] = {}
    with other_site(host) as site, browser.new_context() as context:
        for way, script in WAYS.items():
            page = context.new_page()
            page.goto(site)
            # What the page itself loads is answered, and then kept from it by the browser.
            end = "response" if way in SEEN_BY_THE_PERSON else "requestfailed"
            with context.expect_event(
                end, lambda one: one.url.startswith(base), timeout=PATIENCE_MS
            ) as ended:
                page.evaluate(f"url => {{ {script} }}", url)
            if end == "response":
                statuses[way] = ended.value.status
            for left in list(context.pages):
                left.close()
        reached = unit.callers()
        # The person who types the address is answered, and so is the relay's own page.
        page = context.new_page()
        typed = page.goto(url)
        assert typed is not None
        assert typed.status == 200
        assert own_page_reads(page, base, url) == 200
    assert reached == 0
    assert statuses == dict.fromkeys(SEEN_BY_THE_PERSON, 403)
    assert unit.callers() > 0


def own_page_reads(page: Page, base: str, url: str) -> int:
    page.goto(base)
    status: int = page.evaluate("async url => (await fetch(url)).status", url)
    return status
