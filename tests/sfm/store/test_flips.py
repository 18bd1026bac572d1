"""
The database damaged in two ways, and every route asked: single bits of the file flipped at random,
and, in both engines, single columns of every table changed to something that the database takes.

Nothing served may be wrong: an answer is the true one, or an error that says what is damaged, or
names its damaged part; and ``db check`` reports what is not harmless. ``TEST_FLIPS=1000`` makes
the long run, of every column as well; it prints how each damage ended.
"""

from __future__ import annotations

import collections
import contextlib
import os
import random
import sqlite3
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
from kit.inline_worker import InlineWorker
from sqlalchemy import NullPool, create_engine, func, select
from sqlalchemy.exc import SQLAlchemyError

from minimateplus.simulator import SimulatedUnit, serve_tcp
from sfm.access.names import unit_key
from sfm.api.app import build_app
from sfm.devices.operations import Operation
from sfm.records.roster import Seeds
from sfm.records.walk import Walk
from sfm.settings import Settings
from sfm.store import (
    Origin,
    Store,
    StoreError,
    Wanted,
    archive,
    maintenance,
    mirror,
    mirrored_chunks,
    operations,
    roster,
    schema,
    unit_data,
)
from sfm.store.maintenance import check

if TYPE_CHECKING:  # pytest imports its plugins itself
    from kit.durable_databases import Postgres

pytest_plugins = ["kit.durable_databases"]

FLIPS = int(os.environ.get("TEST_FLIPS", "20"))
SEED = int(os.environ.get("TEST_FLIPS_SEED", "13"))
CHANGING = (
    "waveforms",
    "contents",
    "archived",
    "counted_by_erase",
    "review",
    "epoch_proven",
    "geo_range_in_s",
)
"""What a page says of a recording beside the facts of the instrument."""
NEW_FINDINGS = ("mirror_dropped", "mended", "other_waveform", "other_content")
"""What a read may find of a damaged database."""
SERIALS = ("BE11529", "BE22222")
OPERATION = "/operations/a-cut-and-dried-one"
REVIEW = {"reviewer": "A. Noether", "false_trigger": True, "note": "a lorry"}


class Asked:
    """A relay on one database, and what it answers."""

    def __init__(self, url: str, ports: tuple[int, int]) -> None:
        self.ports = ports
        self.app = build_app(Settings(database_url=url, keep_open_s=5.0), worker=InlineWorker())
        self.answers: dict[str, httpx.Response] = {}

    def where(self, unit: int) -> dict[str, Any]:
        return {"host": "127.0.0.1", "tcp_port": self.ports[unit]}

    async def everything(self, ids: list[str], *, before: Any = None) -> None:
        transport = httpx.ASGITransport(
            self.app, raise_app_exceptions=False, client=("127.0.0.1", 1)
        )
        async with (
            self.app.router.lifespan_context(self.app),
            httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8200") as client,
        ):
            if before is not None:
                await before(client)
            for path in ("/health", "/archive/units", "/archive/events", "/tokens", "/audit"):
                self.answers[path] = await client.get(path)
            self.answers[OPERATION] = await client.get(OPERATION)
            for name in ids:
                for tail in ("", "/waveform", "/image", "/review", "/analysis"):
                    path = f"/archive/recordings/{name}{tail}"
                    self.answers[path] = await client.get(path)
            for unit in (0, 1):
                for what in ("info", "events", "event/0/waveform", "event/1/waveform"):
                    self.answers[f"/device/{unit}/{what}"] = await client.get(
                        f"/device/{what}", params=self.where(unit), timeout=60
                    )
            self.answers["/archive/findings"] = await client.get("/archive/findings")


async def fill(url: str, ports: tuple[int, int], units: list[SimulatedUnit]) -> list[str]:
    """Make a database with everything in it; return the ids of its recordings."""
    asked = Asked(url, ports)

    async def read(client: httpx.AsyncClient, unit: int, what: str, **more: str) -> Any:
        query = asked.where(unit) | more
        answer = await client.get(f"/device/{what}", params=query, timeout=60)
        assert answer.json()["provenance"]["stored"] is True
        return answer.json()

    async def before(client: httpx.AsyncClient) -> None:
        for what in ("info", "events", "event/0/waveform", "event/1/waveform"):
            await read(client, 0, what)
        await read(client, 0, "event/1/waveform", force="true")  # a second download
        for what in ("info", "events", "event/0/waveform"):
            await read(client, 1, what)
        page = (await client.get("/archive/events")).json()["events"]
        for row in page:
            put = await client.put(f"/archive/recordings/{row['id']}/review", json=REVIEW)
            assert put.status_code == 200
            await client.get(f"/archive/recordings/{row['id']}/analysis")  # is stored
            put = await client.put(f"/archive/recordings/{row['id']}/facts", json=FACTS)
            assert put.status_code == 200, put.text
        for method, path, body in LIMITS:
            made = await client.request(method, path, json=body)
            assert made.is_success, made.text
        for name in ("office", "truck"):
            made = await client.post("/tokens", json={"name": name, "role": "viewer", "units": []})
            assert made.status_code == 201, made.text

    await asked.everything([], before=before)
    fill_what_no_read_leaves(url, ports, units)
    # Otherwise a relay of the test would compute a result, and judge by it, while it is asked.
    last = Asked(url, ports).app
    async with last.router.lifespan_context(last):
        await last.state.analyses.catch_up()
    with Store.open(url) as store:
        empty = [name for name, count in store.read(maintenance.count_rows).items() if not count]
        assert empty == [], empty
        return [row["id"] for row in store.read(archive.load_page, Wanted()).rows]


FACTS = {"author": "Pat", "set": {"distance_m": 182.9}}
OWN_CURVE = {
    "id": "permit-7",
    "title": "Permit 7",
    "unit": "mm/s",
    "applies_to": "each_axis",
    "shape": {"kind": "points", "join": "linear", "vertices": [[1, 5], [100, 20]]},
    "source": "Permit 7 of the county",
    "author": "Ada",
    "date": "2026-03-01",
}
LIMITS: list[tuple[str, str, dict[str, Any]]] = [
    ("POST", "/limits", OWN_CURVE),
    ("PUT", "/limits/osmre-figure-1/confirmation", {"by": "Ada"}),
    ("PUT", "/limit-choices", {"curves": ["permit-7", "osmre-figure-1"]}),
]


def fill_what_no_read_leaves(url: str, ports: tuple[int, int], units: list[SimulatedUnit]) -> None:
    """A finding, an operation, a walk and a download that were cut, as they stand then."""
    now = datetime.now(UTC)
    route, other = f"tcp:127.0.0.1:{ports[1]}", "tcp:127.0.0.1:1"
    unit = units[1]
    unit_id = unit_key(unit.serial)

    def origin(route: str, epoch: int, serial: str = unit.serial) -> Origin:
        more: dict[str, Any] = {"simulated": True, "began_mono": 0.0, "boot_id": None}
        return Origin(route=route, serial=serial, epoch=epoch, read_at=now, **more)

    with Store.open(url) as store:
        store.write(archive.save_damage_finding, 1, "noted for the test", now)
        store.write(roster.seed, Seeds(units={"North face": "tcp://10.0.0.5"}, zones={"*": "UTC"}))
        store.write(
            roster.note_contact, 1, "BE99999", now, conn_key="tcp:10.0.0.5:12345", simulated=True
        )
        operation = Operation(
            id=OPERATION.rpartition("/")[2],
            kind="monitor_start",
            unit=route,
            begun_at=now.isoformat(timespec="milliseconds"),
            state="done",
            result={"outcome": "done"},
        )
        store.write(operations.save, operation.payload(), "")
        found = store.read(mirror.load, unit_id)
        assert found is not None
        assert found.probe is not None
        firmware = (found.info or {})["firmware"]
        store.write(mirror.save_volatile_offsets, unit.serial, firmware, [200])
        event = unit.events[1]
        address = int.from_bytes(event.key, "big")
        parts = [(0, unit.read_memory(address, 1024))]
        assert store.write(
            mirrored_chunks.save_chunks, unit_id, found.epoch, found.version, event, parts
        )
        walk = Walk(found.epoch, events=[unit.events[0]], probes=[found.probe])
        kept = store.write(
            unit_data.save_walk, origin(route, found.epoch), found.version, walk, 0, walk.events
        )
        assert isinstance(kept.mirror, int)
        # Of a unit that nobody asks for again: an unproven recording, and the start of an image.
        late = replace(event, index=7, record=bytes(reversed(event.record)))
        walk = Walk(1, events=[late], probes=[found.probe])
        kept = store.write(unit_data.save_walk, origin(other, 1, "BE77777"), None, walk, 0, [late])
        assert isinstance(kept.mirror, int)
        assert store.write(mirrored_chunks.save_chunks, "unit:BE77777", 1, kept.mirror, late, parts)
        store.write(mirror.drop, "unit:BE77777", 2, "another unit")
        store.write(
            unit_data.save_walk, origin(other, 2, "BE77777"), kept.mirror + 1, Walk(2), 0, []
        )


@dataclass(frozen=True)
class World:
    """A database with everything in it, and the truth about it."""

    ports: tuple[int, int]
    ids: list[str]
    truth: dict[str, httpx.Response]


def rows_of(path: str, answer: httpx.Response) -> list[Any]:
    """The parts of an answer that are each true or not, without what ages."""
    body: Any = answer.json() if path[-5:] != "image" else answer.content.hex()
    if isinstance(body, dict):
        body.pop("setup", None)  # it only proposes scales; which one was seen last may differ
    if path.startswith("/device/"):
        body.pop("provenance")
        return [body]
    for name in ("units", "events", "tokens", "entries", "findings", "history"):
        if isinstance(body, dict) and name in body:
            return list(body[name])
    return [body]


def cleared(path: Path) -> None:
    for one in path.parent.glob(f"{path.name}*"):
        one.unlink()


def is_marked(row: Any) -> bool:
    """Whether a part says of itself that it is damaged."""
    return "damaged" in str(row)


def unlike(row: Any, true_rows: list[Any]) -> str:
    """How a part differs from the true one that it is most like, in a few words."""
    if not isinstance(row, dict) or not true_rows:
        return str(row)[:300]
    ways = [
        {
            name: (t.get(name), row.get(name))
            for name in t.keys() | row
            if t.get(name) != row.get(name)
        }
        for t in true_rows
    ]
    return str(min(ways, key=len))[:600]


def is_less_judged(now: Any, true: Any) -> bool:
    """Whether an answer is the true one, except that less of its verdicts is known."""
    if isinstance(now, list) and isinstance(true, list) and len(now) == len(true):
        return all(map(is_less_judged, now, true))
    if not (isinstance(now, dict) and isinstance(true, dict) and set(now) == set(true)):
        return bool(now == true)
    verdicts = {"verdicts", "no_verdict"}
    if verdicts <= set(now) and {name: now[name] for name in verdicts} != {
        name: true[name] for name in verdicts
    }:
        # Of a stored result that is damaged, the unit's peaks are left; they never say more.
        known = {one["curve"]: one["outcome"] for one in true["verdicts"] or []}
        of_peaks = all(
            one["results"] == "peaks" and one["outcome"] in ("no_verdict", known.get(one["curve"]))
            for one in now["verdicts"] or []
        )
        if not (of_peaks or now["no_verdict"] == "limits-damaged"):
            return False
    return all(is_less_judged(now[name], true[name]) for name in set(now) - verdicts)


def judged(
    truth: dict[str, httpx.Response], now: dict[str, httpx.Response], faults: list[str]
) -> str:
    """Return how a flip ended; fails where something wrong was served or nothing reported."""
    differs = False
    for path, answer in now.items():
        assert answer.status_code != 500, f"{path}: {answer.text}"
        if path == "/health":
            continue
        if answer.status_code == truth[path].status_code == 404:
            continue
        if answer.status_code != 200:
            assert answer.status_code in (404, 503), f"{path}: {answer.text}"
            assert not path.startswith("/device/"), f"{path}: {answer.text}"
            differs = True
            continue
        true_rows, rows = rows_of(path, truth[path]), rows_of(path, answer)
        for row in rows:
            is_new = path == "/archive/findings" and row["kind"] in NEW_FINDINGS
            is_fewer = path == "/archive/units" and any(
                row["serial"] == t["serial"] and row["recordings"] <= t["recordings"]
                for t in true_rows
            )
            is_named = path == "/archive/events" and any(
                (row["id"][:12] in sentence or " number " in sentence)
                and row | {name: t[name] for name in CHANGING} == t
                for sentence in answer.json()["damaged"]
                for t in true_rows
            )
            # What an index hides, or what points at no recording any more, is not there, and a
            # mark that is damaged leaves nothing proven: less is shown, and the check reports why.
            is_less = path == "/archive/events" and any(
                {**t, **{name: row[name] for name in CHANGING}} == row
                and set(row["contents"]) <= set(t["contents"])
                and row["review"] in (None, t["review"])
                and row["geo_range_in_s"] in (None, t["geo_range_in_s"])
                and all(t[name] or not row[name] for name in ("epoch_proven", "counted_by_erase"))
                for t in true_rows
            )
            is_less |= any(is_less_judged(row, t) for t in true_rows)
            if path.startswith("/archive/recordings/") and isinstance(row, dict):
                # The range is known from the samples; of those that cannot be read it is not.
                is_less |= row.get("geo_range_in_s", "") is None and any(
                    row | {"geo_range_in_s": t["geo_range_in_s"]} == t for t in true_rows
                )
            if row not in true_rows:
                ok = is_marked(row) or is_new or is_named or ((is_fewer or is_less) and faults)
                assert ok, f"{path}: {unlike(row, true_rows)}"
                differs = True
        if len(rows) < len(true_rows):
            assert faults or is_marked(answer.text), f"{path}: short, and nothing says so"
            differs = True
    kinds = (
        [row["kind"] for row in rows_of("/archive/findings", now["/archive/findings"])]
        if (now["/archive/findings"].status_code == 200)
        else []
    )
    if "mirror_dropped" in kinds:
        return "dropped and read again"
    if faults:
        return "found and reported"
    assert not differs
    return "harmless"


@contextlib.asynccontextmanager
async def whole_database(url: str) -> AsyncIterator[World]:
    """A database with everything in it, the two units it is of, and what it answers."""
    units = [SimulatedUnit(serial) for serial in SERIALS]
    for unit in units:
        for seed in (1, 2):
            unit.record_event(seed=seed, at_device_time=datetime(2026, 3, seed, 10, 0, 0))
    async with serve_tcp(units[0]) as first, serve_tcp(units[1]) as second:
        ports = (first.port, second.port)
        ids = await fill(url, ports, units)
        asked = Asked(url, ports)
        await asked.everything(ids)
        wrong = [path for path, answer in asked.answers.items() if answer.status_code != 200]
        assert [path.rpartition("/")[2] for path in wrong] == [
            "waveform",
            "image",
            "analysis",
        ] * 2, wrong
        yield World(ports, ids, asked.answers)


def bytes_of(path: Path) -> bytes:
    """The whole of a SQLite file that nobody has open."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path.read_bytes()


async def outcome(world: World, url: str) -> str:
    """Return how the damage of a database ended; fails where something wrong was served."""
    try:
        faults = check(url).faults
    except StoreError as error:
        faults = [str(error)]
    asked = Asked(url, world.ports)
    try:
        await asked.everything(world.ids)
    except StoreError:  # the relay does not start, and says why
        return "start refused with its reason"
    return judged(world.truth, asked.answers, faults)


async def test_no_flipped_byte_makes_a_wrong_answer_or_an_internal_error(tmp_path: Path) -> None:
    chance = random.Random(SEED)
    ended: collections.Counter[str] = collections.Counter()
    whole = tmp_path / "whole.sqlite"
    async with whole_database(f"sqlite:///{whole}") as world:
        data = bytes_of(whole)
        for number in range(FLIPS):
            at, bit = chance.randrange(len(data)), 1 << chance.randrange(8)
            path = tmp_path / f"flipped-{number}.sqlite"
            path.write_bytes(data[:at] + bytes([data[at] ^ bit]) + data[at + 1 :])
            try:
                ended[await outcome(world, f"sqlite:///{path}")] += 1
            except AssertionError as error:
                raise AssertionError(f"byte {at} of {len(data)}, bit {bit}: {error}") from error
            finally:
                cleared(path)
    sys.stdout.write(f"\n{FLIPS} flips, seed {SEED}: {dict(ended)}\n")
    assert sum(ended.values()) == FLIPS


CHANGES: dict[str, Callable[[Any], Any]] = {
    "a bit of it": lambda value: (
        value ^ 1
        if isinstance(value, int)
        else -value - 1.5
        if isinstance(value, float)
        else bytes([value[0] ^ 1]) + value[1:]
        if isinstance(value, bytes)
        else value[:-1] + chr(ord(value[-1]) ^ 1)
    ),
    "no text": lambda value: sqlite3.Binary(b"\xff\xfe") if isinstance(value, str) else "\x01 text",
    "bytes for text": lambda value: value.encode() if isinstance(value, str) else b"\xff" * 9,
    "nothing": lambda _: None,
}


Change = tuple[str, str, str]
"""Table, column and what is done to a value of it."""


def changes_of(store: Store) -> list[Change]:
    """Every column of every table of ours with each change."""
    with store.engines.read() as connection:
        return [
            (table.name, column.name, change)
            for table in schema.metadata.sorted_tables
            for column in table.c
            for change in CHANGES
            if connection.execute(select(func.count(column))).scalar()
        ]


def damage(path: Path, of: Change, chance: random.Random) -> bool:
    """Change a value as the file's own bytes might be; return whether the database took it."""
    table, column, change = of
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA ignore_check_constraints=ON")
        for trigger in ("audit_not_changed", "audit_not_removed", "audit_not_replaced"):
            connection.execute(f"DROP TRIGGER {trigger}")
        query = f'SELECT rowid, "{column}" FROM {table} WHERE "{column}" IS NOT NULL'
        number, value = chance.choice(connection.execute(query).fetchall())
        try:
            connection.execute(
                f'UPDATE {table} SET "{column}" = ? WHERE rowid = ?',
                (CHANGES[change](value) if value not in ("", b"") else "x", number),
            )
            connection.commit()
        except (sqlite3.IntegrityError, OverflowError):
            return False
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return True


def damage_in_postgresql(url: str, of: Change, chance: random.Random) -> bool:
    """The same in PostgreSQL, which guards its types, and text that is no UTF-8, itself."""
    table, column, change = of
    engine = create_engine(url, poolclass=NullPool)
    try:
        with engine.begin() as connection:
            # No trigger and no foreign key looks.
            connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
            query = f'SELECT ctid::text, "{column}" FROM {table} WHERE "{column}" IS NOT NULL'
            place, value = chance.choice(connection.exec_driver_sql(query + " ORDER BY 1").all())
            now = CHANGES[change](value) if value not in ("", b"") else "x"
            connection.exec_driver_sql(
                f'UPDATE {table} SET "{column}" = %s WHERE ctid::text = %s',
                (bool(now) if isinstance(value, bool) and now is not None else now, place),
            )
    except SQLAlchemyError:
        return False
    finally:
        engine.dispose()
    return True


async def changed_columns(
    url: str, made: Callable[[Change, random.Random], AbstractContextManager[str | None]]
) -> collections.Counter[str]:
    """Damage a whole database column by column; ``made`` gives a damaged copy's URL, or None."""
    chance, wrong = random.Random(SEED), list[str]()
    ended: collections.Counter[str] = collections.Counter()
    async with whole_database(url) as world:
        with Store.open(url) as store:
            every = changes_of(store)
        for change in chance.sample(every, min(FLIPS, len(every))):
            with made(change, chance) as copy:
                if copy is None:
                    ended["not taken by the database"] += 1
                    continue
                try:
                    ended[await outcome(world, copy)] += 1
                except AssertionError as error:
                    wrong.append(f"{change}: {str(error)[:800]}")
    assert wrong == [], "\n".join(wrong)
    sys.stdout.write(f"\n{sum(ended.values())} columns, seed {SEED}: {dict(ended)}\n")
    return ended


async def test_no_changed_column_makes_a_wrong_answer_or_an_internal_error(tmp_path: Path) -> None:
    whole, path = tmp_path / "whole.sqlite", tmp_path / "changed.sqlite"

    @contextlib.contextmanager
    def made(change: Change, chance: random.Random) -> Iterator[str | None]:
        path.write_bytes(bytes_of(whole))
        yield f"sqlite:///{path}" if damage(path, change, chance) else None
        cleared(path)

    ended = await changed_columns(f"sqlite:///{whole}", made)
    assert ended["found and reported"] + ended["dropped and read again"]


async def test_the_same_is_true_of_a_changed_column_in_postgresql(postgres: Postgres) -> None:
    whole = postgres.make(migrated=True)

    @contextlib.contextmanager
    def made(change: Change, chance: random.Random) -> Iterator[str | None]:
        copy = postgres.copy_of(whole)
        try:
            url = postgres.url(copy)
            yield url if damage_in_postgresql(url, change, chance) else None
        finally:
            postgres.drop(copy)

    try:
        ended = await changed_columns(postgres.url(whole), made)
    finally:
        postgres.drop(whole)
    assert ended["found and reported"] + ended["dropped and read again"]
