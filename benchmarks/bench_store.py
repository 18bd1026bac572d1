"""
What durability costs: commits, pages, a restart, a waveform from disk, room.

``make bench`` or ``PYTHONPATH=tests python benchmarks/bench_store.py``. SFM_BENCH_QUICK=1 makes it
small. The peer of a commit is the bare sqlite3 module: one row of the same size, one transaction,
``synchronous=FULL``, the same disk. The peer of a page is OFFSET on the same table.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import text

from minimateplus.client import MiniMate
from minimateplus.link.in_process import memory_pair
from minimateplus.model import Event, Waveform
from minimateplus.simulator import SimulatedUnit, serve_link, serve_tcp
from sfm.analysis import VERSION
from sfm.records import payloads
from sfm.records.digests import digest
from sfm.store import Origin, Store, Wanted, archive, schema, unit_data
from sfm.store.cursors import Cursor
from sfm.store.engine import SQLITE
from sfm.store.recording_names import public_id
from sfm.store.row_hashes import with_hash

QUICK = bool(os.environ.get("SFM_BENCH_QUICK"))
ROWS = 2_000 if QUICK else 1_000_000
ARCHIVES = (200,) if QUICK else (10_000, 100_000)
COMMITS = 20 if QUICK else 200
SERIALS = 50
RECORD = bytes(210)
T0 = datetime(2020, 1, 1)


def timed(act: Callable[[], Any], times: int) -> tuple[float, float]:
    """Return median and 90th percentile, ms."""
    took = []
    for _ in range(times):
        began = time.perf_counter()
        act()
        took.append((time.perf_counter() - began) * 1000)
    return statistics.median(took), sorted(took)[int(len(took) * 0.9)]


def print_row(what: str, figure: str, target: str = "") -> None:
    """Print one row."""
    print(f"{what:<58}{figure:>26}  {target}")


def origin(route: str = "tcp:bench:1", serial: str = "SIM0001") -> Origin:
    """Return where benchmark records are from."""
    return Origin(
        route=route,
        serial=serial,
        epoch=0,
        simulated=True,
        read_at=datetime(2026, 5, 1, tzinfo=UTC),
        began_mono=1.0,
        boot_id=None,
    )


def read_unit(events: int) -> tuple[Any, list[Event], list[Waveform]]:
    """Return what a simulated unit says: probe, list, waveforms."""
    unit = SimulatedUnit("SIM0001", seed=5)
    for number in range(events):
        unit.record_event(at_device_time=T0 + timedelta(hours=number))

    async def read() -> tuple[Any, list[Event], list[Waveform]]:
        ours, theirs = memory_pair("unit")
        answering = asyncio.create_task(serve_link(unit, theirs))
        async with MiniMate.connect(ours) as run:
            probe = await run.read_probe()
            listed = await run.read_events()
            waveforms = [await run.read_waveform(event) for event in listed]
        await answering
        return probe, listed, waveforms

    return asyncio.run(read())


def fill(path: Path, rows: int) -> None:
    """
    Put rows into the archive the short way: as the store writes them, without its checks.

    Each recording has samples, read once, and a result. What no list reads is left out of them:
    the unit's memory and the counts.
    """
    samples, reading, image = rows_of_samples(path)
    result = {
        "version": VERSION,
        "computed_at": "2026-05-01T00:00:00.000+00:00",
        "result_json": "{}",
    }
    connection = SQLITE.connect(str(path))
    connection.execute("PRAGMA synchronous=OFF")

    def insert(name: str, filled: Iterable[dict[str, Any]]) -> None:
        names = [column.name for column in schema.metadata.tables[name].c]
        values = ", ".join(f":{n}" for n in names)
        connection.executemany(f"INSERT INTO {name} ({', '.join(names)}) VALUES ({values})", filled)

    def of_samples(name: str, row: dict[str, Any]) -> Iterator[dict[str, Any]]:
        for n in range(1, rows + 1):
            own = {"reading_id" if name == "analyses" else "id": n, "waveform_id": n}
            yield with_hash(name, {**row, **own}, image=image)

    insert("recordings", map(recording, range(rows)))
    named = connection.execute("SELECT id, public_id FROM recordings").fetchall()
    insert(
        "recording_waveforms",
        (
            with_hash("recording_waveforms", {**samples, "id": n, "recording_id": n}, recording=of)
            for n, of in named
        ),
    )
    insert("recording_decodings", of_samples("recording_decodings", reading))
    insert("analyses", of_samples("analyses", result))
    connection.commit()
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.execute("ANALYZE")
    connection.close()


def rows_of_samples(path: Path) -> tuple[dict[str, Any], dict[str, Any], str]:
    """Make a database; return what it stores of one event's samples, their reading, their hash."""
    _, [event], [waveform] = read_unit(1)
    tables = [schema.recording_waveforms, schema.recording_decodings]
    with Store.open(f"sqlite:///{path}") as store:
        store.write(archive.save_events, origin(), [event])
        payload = payloads.waveform_payload(waveform, None)
        store.write(archive.save_waveform, origin(), 1, payload, waveform.image)
        with store.engines.write() as connection:
            samples, reading = (
                dict(connection.execute(table.select()).mappings().one()) for table in tables
            )
            for table in (*reversed(tables), schema.recordings):
                connection.execute(table.delete())
    return {**samples, "image": b"", "counts": b""}, reading, samples["content_hash"].hex()


def recording(n: int) -> dict[str, Any]:
    """Return one row of the archive."""
    row = {
        "id": n + 1,
        "serial": f"BE{n % SERIALS:05}",
        "waveform_key": f"{0x01110000 + n:08x}",
        "event_timestamp": (T0 + timedelta(seconds=97 * n)).isoformat(),
        "content_hash": digest(RECORD),
        "record": RECORD,
        "slot": n % 300,
        "tran_in_s": 0.1,
        "vert_in_s": 0.2,
        "long_in_s": 0.3,
        "mic_psi": 0.001,
        "vector_sum_in_s": 9.0 if n % 10_000 == 0 else 0.4,
        "project": "North face" if n % 2 else "Bridge pier 4",
        "simulated": True,
        "epoch": 0,
        "route": "tcp:bench:1",
        "read_at": "2026-05-01T00:00:00.000+00:00",
    }
    key, at = str(row["waveform_key"]), str(row["event_timestamp"])
    row["public_id"] = public_id(str(row["serial"]), key, at, RECORD)
    return with_hash("recordings", row)


def bench_commits(folder: Path) -> None:
    """Measure one durable commit, beside the bare module's."""
    probe, listed, waveforms = read_unit(40 if QUICK else 300)
    several = [payloads.event_payload(event) for event in listed]
    with Store.open(f"sqlite:///{folder / 'commits.sqlite'}") as store:
        began = time.perf_counter()
        seen: Any = store.write(
            unit_data.save_list, origin(), None, probe, several[:-1], listed[:-1]
        ).mirror
        print_row(
            f"first list of {len(listed) - 1} events",
            f"{(time.perf_counter() - began) * 1e3:.1f} ms",
        )
        keys, grown = iter(range(10**6)), several[:-1]
        last_address = int.from_bytes(listed[-1].key, "big")

        def append() -> None:
            nonlocal seen
            number = next(keys)
            event = Event(
                index=len(grown),
                key=(last_address + number * 0x500).to_bytes(4, "big"),
                device_time=T0 + timedelta(days=9, seconds=number),
                peaks=listed[-1].peaks,
                project=None,
                record=number.to_bytes(210, "big"),
            )
            grown.append(payloads.event_payload(event))
            seen = store.write(unit_data.save_list, origin(), seen, probe, grown, [event]).mirror

        ours = timed(append, COMMITS)
        waiting = iter(waveforms * 10)

        def save() -> None:
            nonlocal seen
            waveform = next(waiting)
            payload = payloads.waveform_payload(waveform, None)
            kept = store.write(
                unit_data.save_waveform, origin(), seen, waveform.event, payload, waveform.image
            )
            seen = kept.mirror

        samples = timed(save, min(COMMITS, len(waveforms)))
    size = len(waveforms[0].image) + 8000
    bare = SQLITE.connect(str(folder / "bare.sqlite"), isolation_level=None)
    bare.execute("PRAGMA journal_mode=WAL").close()
    bare.execute("PRAGMA synchronous=FULL").close()
    bare.execute("CREATE TABLE rows (id INTEGER PRIMARY KEY, data BLOB)")
    for what, (median, p90), data, target in (
        ("durable commit of an event", ours, bytes(600), "target 3 ms"),
        (
            f"durable commit of a waveform, {waveforms[0].counts.shape[1]:,} samples",
            samples,
            os.urandom(size),
            "target 3 ms",
        ),
    ):
        insert = partial(bare.execute, "INSERT INTO rows (data) VALUES (?)", (data,))
        floor, _ = timed(insert, COMMITS)
        met = "met" if median <= 3 else "NOT met"
        print_row(
            what, f"{median:.2f} ms, p90 {p90:.2f}", f"{target}: {met}; {median / floor:.1f} x bare"
        )
    bare.close()


def bench_pages(folder: Path) -> Path:
    """Measure pages of 100 at three depths, beside OFFSET."""
    path = folder / "large.sqlite"
    began = time.perf_counter()
    fill(path, ROWS)
    print_row(f"(filling {ROWS:,} recordings)", f"{time.perf_counter() - began:.0f} s")
    with Store.open(f"sqlite:///{path}", read_only=True) as store:
        for depth in (0.0, 0.5, 0.999):
            number = int(ROWS * (1 - depth))
            at = (T0 + timedelta(seconds=97 * number)).isoformat()
            cursor = Cursor(at, number).text()
            wishes = {
                "all units": Wanted(),
                "one unit": Wanted(serial="BE00007"),
                "a time range": Wanted(since="2020-01-01T00:00:00"),
            }
            for name, wanted in wishes.items():
                page = store.read(archive.load_page, wanted, cursor, 100)
                assert not page.damaged, page.damaged[0]
                median, p90 = timed(partial(store.read, archive.load_page, wanted, cursor, 100), 20)
                met = "met" if median <= 5 else "NOT met"
                print_row(
                    f"page of 100 at {depth:.1%}, {name}",
                    f"{median:.2f} ms, p90 {p90:.2f}",
                    f"target 5 ms: {met}",
                )
            with store.engines.read() as connection:
                offset = int(ROWS * depth)
                sql = (
                    "SELECT * FROM recordings ORDER BY event_timestamp DESC, id DESC "
                    f"LIMIT 100 OFFSET {offset}"
                )
                query = text(sql)
                median, _ = timed(lambda: connection.execute(query).all(), 3)  # noqa: B023
            print_row("  the same by OFFSET", f"{median:.2f} ms")
        for name, wanted in {
            "PVS of 1 in 10,000": Wanted(min_pvs_in_s=5.0),
            "project, half of them": Wanted(project="north"),
            "project, none": Wanted(project="nowhere"),
        }.items():
            median, _ = timed(partial(store.read, archive.load_page, wanted, None, 100), 3)
            print_row(f"first page, {name}", f"{median:.1f} ms", "no target")
        median, _ = timed(partial(store.read, archive.load_devices), 3)
        print_row("every unit with its counts", f"{median:.1f} ms", "no target")
    return path


def bench_restart(folder: Path) -> None:
    """Measure the first correct answers of a relay that was started anew."""
    for rows in ARCHIVES:
        path = folder / f"restart{rows}.sqlite"
        fill(path, rows)
        asyncio.run(_restart(path, rows))


async def _restart(path: Path, rows: int) -> None:
    unit = SimulatedUnit("SIM0001", seed=5)
    for number in range(20 if QUICK else 300):
        unit.record_event(at_device_time=T0 + timedelta(hours=number))
    async with serve_tcp(unit) as served:
        query = f"host=127.0.0.1&tcp_port={served.port}"
        for start in ("first", "second"):
            environment = {**os.environ, "SFM_DATABASE_URL": f"sqlite:///{path}"}
            began = time.perf_counter()
            relay = subprocess.Popen(  # noqa: ASYNC220  # starting it is no wait
                [
                    str(Path(sys.executable).with_name("seismo-relay")),
                    "serve",
                    "--http-port",
                    "8397",
                ],
                env=environment,
                stderr=subprocess.DEVNULL,
            )
            try:
                async with httpx.AsyncClient(
                    base_url="http://127.0.0.1:8397", timeout=60, trust_env=False
                ) as client:
                    while True:
                        try:
                            await client.get("/health")
                            break
                        except httpx.TransportError:
                            await asyncio.sleep(0.005)
                    up = time.perf_counter()
                    listed = await client.get(f"/device/events?{query}")
                    first = time.perf_counter()
                    waveform = await client.get(f"/device/event/3/waveform?{query}")
                    second = time.perf_counter()
                    if start == "second":
                        assert listed.json()["provenance"]["source"] == "disk"
                        assert waveform.json()["provenance"]["source"] == "disk"
                        took = (first - up) * 1000
                        met = "met" if took <= 100 else "NOT met"
                        name = f"first list after a restart, {rows:,} recordings"
                        print_row(name, f"{took:.0f} ms", f"target 100 ms: {met}")
                        print_row("  then a waveform", f"{(second - first) * 1000:.1f} ms")
                        print_row("  start of the process before that", f"{up - began:.2f} s")
            finally:
                relay.terminate()
                relay.wait(20)


def bench_room(folder: Path) -> None:
    """Measure what a stored event takes, and what bringing a waveform back costs."""
    probe, listed, waveforms = read_unit(20 if QUICK else 300)
    path = folder / "room.sqlite"
    with Store.open(f"sqlite:///{path}") as store:
        several = [payloads.event_payload(event) for event in listed]
        seen: Any = store.write(unit_data.save_list, origin(), None, probe, several, listed).mirror
        for waveform in waveforms:
            payload = payloads.waveform_payload(waveform, None)
            kept = store.write(
                unit_data.save_waveform, origin(), seen, waveform.event, payload, waveform.image
            )
            seen = kept.mirror
        version = seen
        load = partial(unit_data.load_waveform, store, origin().unit_id, 3, 0, version)
        assert load() is not None
        median, p90 = timed(load, 100)
        met = "met" if median <= 1 else "NOT met"
        print_row(
            "waveform from disk, hash verified",
            f"{median:.2f} ms, p90 {p90:.2f}",
            f"target 1 ms: {met}",
        )
        median, _ = timed(lambda: store.read(archive.load_samples, 3).counts(), 100)
        print_row("  its stored frame alone, hash verified", f"{median:.2f} ms")
    raw = sum(w.counts.nbytes for w in waveforms) / len(waveforms)
    image = sum(len(w.image) for w in waveforms) / len(waveforms)
    packed = sum(len(zlib.compress(w.counts.tobytes(), 6)) for w in waveforms) / len(waveforms)
    whole = path.stat().st_size / len(waveforms)
    print_row(
        "database, bytes per event with samples", f"{whole:,.0f}", f"{whole / raw:.2f} x raw int16"
    )
    print_row("  raw int16", f"{raw:,.0f}")
    print_row("  the unit's own memory of it", f"{image:,.0f}")
    print_row("  zlib 6 of the raw, for comparison", f"{packed:,.0f}")


def main() -> None:
    """Run all."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        print(f"SQLite {SQLITE.sqlite_version} ({SQLITE.__name__}), durable commits on {folder}")
        bench_commits(folder)
        bench_room(folder)
        bench_restart(folder)
        bench_pages(folder)


if __name__ == "__main__":
    main()
