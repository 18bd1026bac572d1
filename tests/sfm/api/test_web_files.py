from __future__ import annotations

import gzip
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest
from kit.access_world import LOCAL, protected_app
from kit.virtual_time import in_virtual_time, run

from sfm.api.routes.web import NEVER_BUILT, WebFiles

ROOT = Path(__file__).parents[3]
SCRIPT = "let unit = 1;\n" * 200


@pytest.fixture
def built(tmp_path: Path) -> Path:
    """A folder as the build leaves it, and a secret beside it."""
    folder = tmp_path / "web"
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_text("<!doctype html><title>app</title>")
    (folder / "assets" / "index-abc.js").write_text(SCRIPT)
    (tmp_path / "secret.js").write_text("secret")
    return folder


async def ask(folder: Path, *targets: str, **headers: Any) -> list[httpx.Response]:
    async with protected_app(real=True) as found:
        found.app.state.web = WebFiles(folder)
        return [await found.ask("GET", target, **LOCAL, **headers) for target in targets]


@in_virtual_time
async def test_the_page_is_asked_for_each_time_and_sent_once(built: Path) -> None:
    (first,) = await ask(built, "/")
    assert (first.status_code, first.text) == (200, "<!doctype html><title>app</title>")
    assert first.headers["content-type"] == "text/html; charset=utf-8"
    assert first.headers["cache-control"] == "no-cache"
    (again,) = await ask(built, "/", if_none_match=first.headers["etag"])
    assert (again.status_code, again.content) == (304, b"")
    (built / "index.html").write_text("<!doctype html><title>newer</title>")
    (newer,) = await ask(built, "/", if_none_match=first.headers["etag"])
    assert (newer.status_code, "newer" in newer.text) == (200, True)


@in_virtual_time
async def test_an_asset_is_sent_for_good_and_packed_to_who_takes_it(built: Path) -> None:
    (plain,) = await ask(built, "/assets/index-abc.js")
    (packed,) = await ask(built, "/assets/index-abc.js", accept_encoding="deflate, gzip;q=0.5")
    assert plain.text == packed.text == SCRIPT
    assert int(packed.headers["content-length"]) < len(SCRIPT) / 10
    assert packed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert plain.headers["etag"] != packed.headers["etag"]
    for answer in (plain, packed):
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert answer.headers["vary"] == "accept-encoding"
        assert answer.headers["content-type"] == "text/javascript; charset=utf-8"


@pytest.mark.parametrize(
    "name",
    ["..", ".", "%2e%2e", "../secret.js", "..%2fsecret.js", "index.html", "index-abc.js/", "", "x"],
)
@in_virtual_time
async def test_only_what_was_built_has_a_name(built: Path, name: str) -> None:
    (answer,) = await ask(built, f"/assets/{name}")
    assert answer.status_code == 404
    assert "secret" not in answer.text
    assert WebFiles(built).asset(name) is None


@pytest.mark.parametrize("reason", [None, "The build failed <here>."])
@in_virtual_time
async def test_without_a_build_the_page_says_why(tmp_path: Path, reason: str | None) -> None:
    if reason:
        (tmp_path / "no-build.txt").write_text(reason)
    page, asset = await ask(tmp_path, "/", "/assets/index-abc.js")
    assert (page.status_code, asset.status_code) == (200, 404)
    assert page.headers["content-type"].startswith("text/html")
    assert (reason or NEVER_BUILT).replace("<", "&lt;").replace(">", "&gt;") in page.text
    assert 'href="/docs"' in page.text
    assert not re.findall(r"<script|<style|style=|https?://", page.text)


def test_a_build_that_came_later_is_found(built: Path, tmp_path: Path) -> None:
    page = built / "index.html"
    page.rename(tmp_path / "kept")
    files = WebFiles(built)
    assert files.page() is None
    (tmp_path / "kept").rename(page)
    assert files.page() is not None


@in_virtual_time
async def test_what_the_build_packed_is_preferred_and_no_file_of_its_own(built: Path) -> None:
    (built / "assets" / "index-abc.js.br").write_bytes(b"small")
    target = "/assets/index-abc.js"
    (best,) = await ask(built, target, accept_encoding="gzip, deflate, br, zstd")
    assert (best.headers["content-encoding"], best.headers["content-length"]) == ("br", "5")
    (other,) = await ask(built, target, accept_encoding="gzip, br;q=0")
    assert other.headers["content-encoding"] == "gzip"
    (again,) = await ask(built, target, accept_encoding="br", if_none_match=best.headers["etag"])
    assert again.status_code == 304
    (absent,) = await ask(built, f"{target}.br")
    assert absent.status_code == 404


def test_what_is_packed_is_the_same_each_time(built: Path) -> None:
    first, second = (WebFiles(built).asset("index-abc.js") for _ in range(2))
    assert first is not None
    assert first == second
    assert gzip.decompress(first.packed["gzip"]) == first.body


def test_a_build_that_cannot_be_had_leaves_its_reason_where_the_relay_finds_it(
    tmp_path: Path,
) -> None:
    shutil.copytree(
        ROOT / "webapp", tmp_path / "webapp", ignore=shutil.ignore_patterns("node_modules")
    )
    commands = tmp_path / "commands"
    commands.mkdir()
    for name in ("bash", "dirname", "mkdir", "tee"):
        (commands / name).symlink_to(shutil.which(name) or name)
    # Stands for a Python whose pip reaches nothing.
    (commands / "python").symlink_to(shutil.which("false") or "false")
    ran = subprocess.run(
        ["bash", "webapp/build.sh", "commands"],
        cwd=tmp_path,
        env={"PATH": str(commands)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 1, ran.stdout
    (page,) = run(ask(tmp_path / "sfm" / "web", "/"))
    assert "Node 20.19, 22.12 or newer" in page.text
