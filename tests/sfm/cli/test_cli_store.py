"""The database and the archive on the command line."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from kit.command_line import directly
from kit.relay_process import relay
from kit.stored_rows import write_row
from sqlalchemy import select

from minimateplus.client import MiniMate
from minimateplus.link.in_process import memory_pair
from minimateplus.model import Event, MemoryProbe, Waveform
from minimateplus.simulator import SimulatedUnit, serve_link
from sfm.cli import app
from sfm.records import payloads
from sfm.store import Origin, Store, Wanted, archive, maintenance, mirror, schema, unit_data
from sfm.store.decoding_runs import decode_outdated
from sfm.store.engine import SQLITE
from sfm.store.errors import StoreInUseError

RunCli = Callable[..., tuple[int, str]]


def read_a_unit() -> tuple[MemoryProbe, list[Event], list[Waveform]]:
    """What a simulated unit with three events says."""
    unit = SimulatedUnit("SIM0001", seed=3)
    for day in (1, 2, 3):
        unit.record_event(at_device_time=datetime(2026, 4, day))

    async def read() -> tuple[MemoryProbe, list[Event], list[Waveform]]:
        ours, theirs = memory_pair("unit")
        answering = asyncio.create_task(serve_link(unit, theirs))
        async with MiniMate.connect(ours) as run:
            probe = await run.read_probe()
            events = await run.read_events()
            waveforms = [await run.read_waveform(event) for event in events[:2]]
        await answering
        return probe, events, waveforms

    return asyncio.run(read())


READ_AT = datetime(2026, 5, 1, tzinfo=UTC)
ORIGIN = Origin(
    route="tcp:unit:12345",
    serial="SIM0001",
    epoch=0,
    simulated=True,
    read_at=READ_AT,
    began_mono=1.0,
    boot_id=None,
)


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A database with three events and two waveforms, named by the settings."""
    path = tmp_path / "kept" / "seismo.sqlite"
    monkeypatch.setenv("SFM_DATABASE_URL", f"sqlite:///{path}")
    probe, events, waveforms = read_a_unit()
    with Store.open(f"sqlite:///{path}") as store:
        listed = [payloads.event_payload(event) for event in events]
        version = store.write(unit_data.save_list, ORIGIN, None, probe, listed, events).mirror
        for waveform in waveforms:
            assert isinstance(version, int)
            payload = payloads.waveform_payload(waveform, None)
            kept = store.write(
                unit_data.save_waveform, ORIGIN, version, waveform.event, payload, waveform.image
            )
            version = kept.mirror
    return path


@pytest.fixture
def run_cli(capsys: pytest.CaptureFixture[str]) -> RunCli:
    """Run a command; return its exit status and its output."""

    def run(*words: str) -> tuple[int, str]:
        status = 0
        try:
            app(directly(words), exit_on_error=False, print_error=True)
        except SystemExit as stop:
            status = int(stop.code or 0)
        output = capsys.readouterr()
        return status, output.out + output.err

    return run


def rows(path: Path) -> list[Any]:
    """Everything that the archive holds, hashes included."""
    with Store.open(f"sqlite:///{path}", read_only=True) as store:
        page = store.read(archive.load_page, Wanted(), limit=1000).rows
        return [(store.read(archive.load_recording, row["id"]), row["contents"]) for row in page]


def change_facts(path: Path, table: str, facts: dict[str, Any], **values: Any) -> None:
    """Change what the first row of a table says of samples, as if it had been written so."""
    with Store.open(f"sqlite:///{path}", reads_again=False) as store:
        column = schema.metadata.tables[table].c
        with store.engines.read() as connection:
            entry = connection.execute(select(column.facts_json).where(column.id == 1)).scalar_one()
        changed = json.dumps(json.loads(entry) | facts)
        write_row(store, table, {"id": 1}, facts_json=changed, **values)


def spoil(path: Path, statement: str) -> None:
    with closing(SQLITE.connect(str(path))) as connection:
        connection.execute(statement)
        connection.commit()


def test_a_sound_database_is_called_so_beside_a_relay(database: Path, run_cli: RunCli) -> None:
    with Store.open(f"sqlite:///{database}"):
        status, output = run_cli("db", "check")
    assert status == 0
    assert "3 recordings and 2 waveforms checked, 0 faults" in " ".join(output.split())


@pytest.mark.parametrize(
    ("statement", "word"),
    [
        ("UPDATE recordings SET record = zeroblob(210) WHERE id = 2", "stored facts do not match"),
        ("UPDATE recordings SET tran_in_s = 0.25 WHERE id = 1", "stored facts do not match"),
        ("UPDATE recordings SET project = 'another' WHERE id = 1", "stored facts do not match"),
        (
            "UPDATE recordings SET event_timestamp = '2026-04-01T01:00:00'",
            "stored facts do not match",
        ),
        ("UPDATE recording_waveforms SET facts_json = '{}' WHERE id = 1", "facts of its samples"),
        ("UPDATE recording_waveforms SET scales_json = '{}' WHERE id = 1", "facts of its samples"),
        ("UPDATE cached_devices SET epoch = 7", "cached_devices"),
        ("UPDATE cached_events SET event_json = '{}'", "cached_events"),
        ("UPDATE recording_waveforms SET counts = zeroblob(9) WHERE id = 1", "unpacked"),
        (
            "UPDATE recording_waveforms SET image = zeroblob(9) WHERE id = 1",
            "memory does not match",
        ),
        ('UPDATE cached_events SET recording_id = 1 WHERE "index" = 2', "slot 2"),
        ("UPDATE cached_waveforms SET waveform_id = 1", "slot 1"),
        ("UPDATE recording_waveforms SET recording_id = 99 WHERE id = 2", "points nowhere"),
    ],
)
def test_each_damage_is_found_and_named(
    database: Path, run_cli: RunCli, statement: str, word: str
) -> None:
    spoil(database, statement)
    status, output = run_cli("db", "check")
    assert status == 1
    assert word in " ".join(output.split())
    status, output = run_cli("db", "check", "--json")
    assert status == 1
    assert json.loads(output)["faults"]


@pytest.mark.parametrize("length", [0, 100, 5000])
def test_a_file_that_is_no_database_is_called_that(
    database: Path, run_cli: RunCli, length: int
) -> None:
    database.with_name(f"{database.name}-wal").unlink(missing_ok=True)
    database.write_bytes(b"\x07" * length)
    status, output = run_cli("db", "check")
    assert status == 1
    assert "Traceback" not in output


def test_a_backup_is_taken_while_somebody_writes_and_restored_to_the_byte(
    database: Path, run_cli: RunCli, tmp_path: Path
) -> None:
    stop = threading.Event()
    with Store.open(f"sqlite:///{database}") as store:

        def write() -> None:
            while not stop.is_set():
                store.write(
                    archive.save_review, 1, at=READ_AT, reviewer="R", false_trigger=None, note="n"
                )

        writer = threading.Thread(target=write)
        writer.start()
        try:
            status, output = run_cli("db", "backup", str(tmp_path / "copy"))
        finally:
            stop.set()
            writer.join()
        assert status == 0, output
        assert run_cli("db", "backup", str(tmp_path / "copy"))[0] == 1  # never overwritten
        with pytest.raises(StoreInUseError):
            maintenance.restore(f"sqlite:///{database}", tmp_path / "copy", READ_AT)
    before = rows(database)
    spoil(database, "DELETE FROM recording_waveforms WHERE id = 2")
    spoil(database, "UPDATE recordings SET project = 'other'")
    status, output = run_cli("db", "restore", str(tmp_path / "copy"))
    assert status == 0, output
    assert rows(database) == before
    with Store.open(f"sqlite:///{database}") as store:
        found = store.read(mirror.load, ORIGIN.unit_id)
        assert found is not None
        assert (found.events, found.info, found.epoch) == (None, None, ORIGIN.epoch + 1)
    [kept] = database.parent.glob("*.replaced.*")
    assert rows(kept) != before


def test_what_is_no_backup_is_not_restored(database: Path, run_cli: RunCli, tmp_path: Path) -> None:
    before = rows(database)
    (tmp_path / "rubbish").write_bytes(b"SQLite format 3\x00" + b"\x01" * 5000)
    for name in ("rubbish", "absent"):
        status, _ = run_cli("db", "restore", str(tmp_path / name))
        assert status == 1
    assert rows(database) == before


def test_an_unnumbered_database_is_upgraded_with_a_copy_beside(
    tmp_path: Path, run_cli: RunCli, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "old.sqlite"
    monkeypatch.setenv("SFM_DATABASE_URL", f"sqlite:///{path}")
    spoil(path, 'CREATE TABLE cached_events (conn_key, "index", event_json, cached_at)')
    status, output = run_cli("db", "check")
    assert status == 1
    assert "seismo-relay db upgrade" in " ".join(output.split())
    status, output = run_cli("db", "upgrade")
    assert status == 0, output
    assert list(tmp_path.glob("old.sqlite.revision-unnumbered.*.backup"))
    assert run_cli("db", "check")[0] == 0
    assert "already" in run_cli("db", "upgrade")[1]


def test_a_vacuum_gives_room_back(database: Path, run_cli: RunCli) -> None:
    spoil(database, "CREATE TABLE large (data)")
    spoil(database, "INSERT INTO large VALUES (zeroblob(3000000))")
    spoil(database, "DROP TABLE large")
    before = database.stat().st_size
    assert run_cli("db", "vacuum")[0] == 0
    assert database.stat().st_size < before - 2_000_000
    assert run_cli("db", "check")[0] == 0


def test_the_archive_is_listed_and_shown(database: Path, run_cli: RunCli) -> None:
    status, output = run_cli("archive", "list")
    assert status == 0
    assert "simulated" in output
    assert "2026-04-03 00:00:00" in output
    listed = json.loads(run_cli("archive", "list", "--json")[1])["events"]
    assert [row["waveforms"] for row in listed] == [0, 1, 1]
    assert json.loads(run_cli("archive", "list", "--serial", "X", "--json")[1])["events"] == []
    first = listed[-1]["id"]
    shown = json.loads(run_cli("archive", "show", first[:8], "--json")[1])
    assert shown["id"] == first
    assert set(shown["waveform"]["channels"]) == {"Tran", "Vert", "Long", "MicL"}
    assert "SIMULATED" in run_cli("archive", "show", listed[0]["id"])[1]
    status, output = run_cli("archive", "show", "77777777")
    assert (status, "no recording 77777777" in output) == (4, True)
    status, output = run_cli("archive", "show", "3")
    assert (status, "8 to 64 of the digits" in " ".join(output.split())) == (4, True)


@pytest.mark.parametrize(
    ("since", "days"),
    [
        ("2026-04-02", [3, 2]),
        ("20260402", [3, 2]),
        ("2026-04-02 00:00", [3, 2]),
        ("2026-04-02T00:00:00.000001", [3]),
        ("2026-04-03T00:00:00", [3]),
    ],
)
def test_a_time_in_any_form_of_iso_8601_begins_the_same_list(
    database: Path, run_cli: RunCli, since: str, days: list[int]
) -> None:
    status, output = run_cli("archive", "list", "--since", since, "--json")
    assert status == 0
    listed = json.loads(output)["events"]
    assert [datetime.fromisoformat(row["timestamp"]).day for row in listed] == days


@pytest.mark.parametrize("option", ["--since", "--until"])
@pytest.mark.parametrize("value", ["yesterday", "2026-04-02T00:00:00Z", "2026-13-01"])
def test_what_is_no_unit_time_is_refused(
    database: Path, run_cli: RunCli, option: str, value: str
) -> None:
    status, output = run_cli("archive", "list", option, value)
    assert (status, option in output) == (2, True)


def test_the_units_own_bytes_are_written_and_nothing_is_overwritten(
    database: Path, run_cli: RunCli, tmp_path: Path
) -> None:
    _, events, waveforms = read_a_unit()
    name = json.loads(run_cli("archive", "list", "--json")[1])["events"][-1]["id"]
    assert run_cli("archive", "export-raw", name, str(tmp_path / "raw"))[0] == 0
    files = {
        path.name.rsplit(".", 2)[1]: path.read_bytes() for path in (tmp_path / "raw").iterdir()
    }
    assert files["record"] == events[0].record
    assert files["image"] == waveforms[0].image
    assert json.loads(files["note"])["serial"] == "SIM0001"
    status, output = run_cli("archive", "export-raw", name, str(tmp_path / "raw"))
    assert (status, "exists already" in " ".join(output.split())) == (1, True)


@pytest.fixture
def examined(run_cli: RunCli) -> Callable[[], tuple[int, dict[str, dict[str, str]]]]:
    def run() -> tuple[int, dict[str, dict[str, str]]]:
        status, output = run_cli("doctor", "--json")
        return status, {found["what"]: found for found in json.loads(output)}

    return run


def test_the_doctor_finds_nothing_wrong_with_a_sound_machine(
    database: Path, examined: Callable[[], tuple[int, Any]]
) -> None:
    status, found = examined()
    assert status == 0
    assert found["database"]["state"] == "ok"
    assert "no relay" in found["lock"]["detail"]
    with Store.open(f"sqlite:///{database}"):
        assert "a relay has" in examined()[1]["lock"]["detail"]


def test_the_doctor_says_what_is_wrong(
    database: Path,
    examined: Callable[[], tuple[int, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sfm.store.engine.SAFE_SQLITE", (99, 0, 0))
    assert "WAL" in examined()[1]["SQLite"]["detail"]
    database.chmod(0o644)
    assert examined()[1]["permissions"]["state"] == "warning"
    monkeypatch.setattr("os.access", lambda *_: False)
    status, found = examined()
    assert (status, found["permissions"]["state"]) == (1, "failed")
    monkeypatch.undo()
    monkeypatch.setenv("SFM_DATABASE_URL", f"sqlite:///{database}")
    spoil(database, "UPDATE alembic_version SET version_num = '0001'")
    status, found = examined()
    assert (status, "db upgrade" in found["database"]["detail"]) == (1, True)
    monkeypatch.setenv("SFM_DATABASE_URL", "mysql://x")
    assert examined()[0] == 1


def test_the_doctor_and_the_log_say_that_the_file_was_taken_away(
    database: Path,
    examined: Callable[[], tuple[int, dict[str, dict[str, str]]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with relay(database=database) as started:
        database.unlink()
        monkeypatch.setenv("SFM_HTTP_PORT", str(started.port))
        found = examined()[1]["relay"]
    assert found["state"] == "warning"
    assert f"{database} was removed" in found["detail"]
    [line] = [line for line in started.log if "store_failed" in line]
    assert '"replaced"' in line


def test_decode_reads_again_what_an_older_decoder_could_not(
    database: Path, run_cli: RunCli
) -> None:
    status, output = run_cli("archive", "decode", "--json")
    assert (status, json.loads(output)["images"] if status == 0 else output) == (0, [])
    before = rows(database)
    change_facts(
        database,
        "recording_decodings",
        {"samples": 0, "geo_range_in_s": None, "reasons": []},
        decoder=1,
        state="undecoded",
    )
    status, output = run_cli("archive", "decode", "--json")
    [image] = json.loads(output)["images"]
    assert (status, image["before"], image["now"]) == (0, "undecoded", "decoded")
    assert "samples 0 is now 1280" in image["change"]
    status, output = run_cli("archive", "show", str(image["id"]), "--json")
    assert json.loads(output)["waveform"]["samples"] == 1280
    assert rows(database) == before  # record and image are what they were
    with Store.open(f"sqlite:///{database}", read_only=True) as store:
        [found] = [f for f in store.read(archive.load_findings) if f["kind"] == "superseded"]
    assert (found["recording_id"], "is now" in found["detail"]) == (image["id"], True)


def test_a_start_with_a_newer_decoder_reads_images_again_by_itself(database: Path) -> None:
    spoil(database, "UPDATE recording_decodings SET decoder = 1")
    output: list[str] = []
    with Store.open(f"sqlite:///{database}", on_upgrade=output.append) as store:
        assert decode_outdated(store, datetime.now(UTC)) == []
    assert ["2 images were read again" in sentence for sentence in output] == [True]


def test_what_was_archived_before_readings_were_kept_is_read_again(database: Path) -> None:
    spoil(database, "DELETE FROM recording_decodings")
    wrong = {"sample_rate_hz": 2048, "sample_rate_source": "event"}
    change_facts(database, "recording_waveforms", wrong)
    with Store.open(f"sqlite:///{database}") as store:
        samples = store.read(archive.load_samples, 1)
        assert samples.facts["sample_rate_hz"] == 1024
        details = [
            f["detail"] for f in store.read(archive.load_findings) if f["kind"] == "superseded"
        ]
    assert any("sample_rate_hz 2048 is now 1024" in detail for detail in details)
