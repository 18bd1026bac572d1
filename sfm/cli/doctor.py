"""``seismo-relay doctor``: what this machine has, what is wrong, and what to do about it."""

from __future__ import annotations

import json
import os
import platform
import shutil
import stat
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from sfm.cli.application import FAILED, Json, app, handles_errors, out
from sfm.cli.tables import Head, ListTable
from sfm.cli.views import counted, safe_text

if TYPE_CHECKING:
    from sfm.settings import Settings
    from sfm.store.engine import Engines

__all__ = ["doctor"]

ENOUGH_BYTES = 1 << 30
YEAR_OF_RELEASE = 2026
RELAY_ANSWERS_S = 1.0

State = Literal["ok", "warning", "failed"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    what: str
    state: State
    detail: str


@app.command
@handles_errors
def doctor(*, as_json: Json = False) -> None:
    """Look at versions, database, disk, permissions, serial ports and clock; change nothing."""
    found = list(_examine())
    if as_json:
        sys.stdout.write(json.dumps([asdict(finding) for finding in found], indent=2) + "\n")
    else:
        out.print(_view(found))
    if any(finding.state == "failed" for finding in found):
        raise SystemExit(FAILED)


def _examine() -> Iterator[Finding]:
    from importlib.metadata import version

    yield Finding(
        "program",
        "ok",
        f"seismo-relay {version('seismo-relay')}, Python {platform.python_version()}",
    )
    yield _parts()
    settings, found = _settings()
    yield from found
    yield _sqlite()
    yield from _guarded("database", partial(_database, settings))
    yield from _serial_ports()
    yield from _clock()
    yield _relay(settings)


def _parts() -> Finding:
    """Return which optional parts are installed, by the module that each needs most."""
    from importlib.util import find_spec

    modules = {"report": "typst", "postgresql": "psycopg", "parquet": "pyarrow"}
    here = [part for part, module in modules.items() if find_spec(module) is not None]
    missing = [part for part in modules if part not in here]
    detail = f"installed: {', '.join(here) or 'none'}"
    if missing:
        detail += f"; not installed: {', '.join(missing)}"
    return Finding("parts", "ok", detail)


def _settings() -> tuple[Settings, list[Finding]]:
    """Return the settings, or their defaults if one is wrong, and what was found."""
    from pydantic import ValidationError
    from pydantic_settings import SettingsError

    from sfm.settings import (
        Settings,
        SettingsFileError,
        fault_lines,
        find_file,
        search_path,
        unknown_names,
    )

    try:
        settings, lines, path = Settings(), unknown_names(), find_file()
    except SettingsFileError as error:
        return Settings.model_construct(), [Finding("settings", "failed", str(error))]
    except (ValidationError, SettingsError) as error:
        faults = [Finding("settings", "failed", line) for line in fault_lines(error)]
        return Settings.model_construct(), faults
    looked = ", ".join(map(str, search_path()))
    where = f"{path} and environment" if path else f"environment; no file at {looked}"
    warnings = [Finding("settings", "warning", line) for line in lines]
    return settings, [Finding("settings", "ok", f"from {where}"), *warnings]


def _guarded(what: str, look: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    from sfm.store import StoreError

    try:
        yield from look()
    except StoreError as error:
        yield Finding(what, "failed", str(error))


def _sqlite() -> Finding:
    from sfm.store.engine import SQLITE, sqlite_is_safe

    found = f"SQLite {SQLITE.sqlite_version} of {SQLITE.__name__}"
    if sqlite_is_safe():
        return Finding("SQLite", "ok", found)
    return Finding(
        "SQLite",
        "warning",
        f"{found}: before 3.51.3 two connections that checkpoint at once can corrupt a WAL file. "
        "The relay keeps to one connection that writes and checkpoints; let no other program write "
        "to its database. Where pysqlite3 has a wheel, installing it ends this",
    )


def _database(settings: Settings) -> Iterator[Finding]:
    from sfm.store import default_url, migrations
    from sfm.store.engine import Engines, read_url
    from sfm.store.network_share import share_of

    if settings.database_url == "none":
        yield Finding("database", "warning", "none, by SFM_DATABASE_URL: nothing read is kept")
        return
    url = read_url(settings.database_url or default_url())
    engines = Engines(url, read_only=True)
    try:
        path = engines.path
        if path is not None:
            yield from _folder(path)
            if (share := share_of(path)) is not None:
                yield Finding(
                    "disk",
                    "failed",
                    f"{path} is on a network share ({share}), where SQLite loses and damages "
                    "records; move it to a disk of this machine, or use PostgreSQL",
                )
            if not path.exists():
                yield Finding("database", "ok", f"{path} is not there yet; made at the first start")
                return
            yield _lock(path)
        with engines.read() as connection:
            found = migrations.revision_of(connection)
        if found == migrations.HEAD:
            yield Finding("database", "ok", f"{engines.where}, revision {found}")
            yield from _roster(engines, settings)
        else:
            yield Finding(
                "database",
                "failed",
                f"{engines.where} is of revision {found or 'none'}, this program needs "
                f"{migrations.HEAD}; run: {migrations.UPGRADE_COMMAND}",
            )
    finally:
        engines.close()


def _roster(engines: Engines, settings: Settings) -> Iterator[Finding]:
    """Compare the settings with the roster, which they only add to."""
    from sfm.records.roster import Seeds
    from sfm.store import roster

    with engines.read() as connection:
        known = roster.load(connection)
    seeded = known.with_seeds(Seeds.of(settings))
    for sentence in known.damaged:
        yield Finding("roster", "failed", f"{sentence}; restore a backup that has it")
    for sentence in seeded.differences:
        yield Finding("roster", "warning", sentence)
    counts = ", ".join(
        (counted(len(known.units), "units"), counted(len(known.locations), "locations"))
    )
    to_add = [one.name for one in seeded.locations]
    more = f"; added at the relay's next start: {', '.join(to_add)}" if to_add else ""
    yield Finding("roster", "ok", f"{counts}{more}")


def _folder(path: Path) -> Iterator[Finding]:
    folder = next(parent for parent in path.parents if parent.exists())
    if not os.access(folder, os.W_OK) or (path.exists() and not os.access(path, os.W_OK)):
        yield Finding(
            "permissions",
            "failed",
            f"{path} cannot be written by this user; change its owner, or SFM_DATABASE_URL",
        )
    elif path.exists() and stat.S_IMODE(path.stat().st_mode) & 0o077:
        mode = stat.S_IMODE(path.stat().st_mode)
        yield Finding(
            "permissions", "warning", f"{path} is open to others ({mode:o}); chmod 600 closes it"
        )
    else:
        yield Finding("permissions", "ok", f"{folder} can be written")
    names = (path, path.with_name(f"{path.name}-wal"))
    sizes = [name.stat().st_size if name.exists() else 0 for name in names]
    free = shutil.disk_usage(folder).free
    state: State = "ok" if free > max(ENOUGH_BYTES, sum(sizes)) else "warning"
    advice = "" if state == "ok" else "; make room before records have to wait"
    yield Finding(
        "disk",
        state,
        f"{free:,} bytes free; database {sizes[0]:,}, its WAL {sizes[1]:,}{advice}",
    )


def _lock(path: Path) -> Finding:
    from sfm.store.database_file import is_locked

    try:
        if is_locked(path):
            return Finding("lock", "ok", "a relay has the database; ask through it with --relay")
        return Finding("lock", "ok", "no relay has the database")
    except OSError as error:
        return Finding("lock", "warning", f"{path}: {error.strerror}")


def _serial_ports() -> Iterator[Finding]:
    from minimateplus.link.ports import list_ports

    ports = [one.port for one in list_ports()]
    closed = [p for p in ports if p.startswith("/") and not os.access(p, os.R_OK | os.W_OK)]
    usable = [port for port in ports if port not in closed]
    if usable or not closed:
        yield Finding("serial ports", "ok", ", ".join(usable) or "none on this machine")
    if closed:
        yield Finding(
            "serial ports",
            "warning",
            f"{', '.join(closed)}: not for this user; on Debian: adduser USER dialout",
        )


def _clock() -> Iterator[Finding]:
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    from sfm.store.service import boot_id

    now = datetime.now(UTC)
    found = f"{now.isoformat(timespec='seconds')}"
    if now.year < YEAR_OF_RELEASE:
        yield Finding("clock", "failed", f"{found} is before this program was made; set the clock")
    else:
        yield Finding("clock", "ok", found)
    if boot_id() is None:
        yield Finding(
            "boot number",
            "warning",
            "this system gives none: after each restart of the relay ages are unknown",
        )
    try:
        ZoneInfo("Europe/Oslo")
    except ZoneInfoNotFoundError:
        yield Finding("time zones", "failed", "no zone data; install the package tzdata")


def _relay(settings: Settings) -> Finding:
    import httpx

    base = f"http://{settings.host}:{settings.http_port}"
    try:
        health = httpx.get(f"{base}/health", timeout=RELAY_ANSWERS_S, trust_env=False).json()
        store = health["store"]
        state: State = "ok" if health["status"] == "ok" else "warning"
        detail = f"{base}: {health['status']}, {health['version']}, store {store['state']}"
        return Finding("relay", state, detail + (f": {store['detail']}" if store["detail"] else ""))
    except (httpx.HTTPError, ValueError, KeyError, TypeError):
        return Finding("relay", "ok", f"none answers at {base}")


def _view(found: list[Finding]) -> ListTable:
    table = ListTable("What", "State", Head(name="Found", is_text=True, rank=0))
    colours = {"ok": "green", "warning": "yellow", "failed": "red"}
    for finding in found:
        table.add_row(
            finding.what,
            safe_text(finding.state, style=colours[finding.state]),
            safe_text(finding.detail),
        )
    return table
