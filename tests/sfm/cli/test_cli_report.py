from __future__ import annotations

import contextlib
import json
import zipfile
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kit.command_line import directly
from kit.relay_process import relay
from kit.unit_thread import UnitThread

from minimateplus.model import Event, Waveform
from minimateplus.simulator import SimulatedUnit
from minimateplus.wire.image import read_image
from sfm.cli import app
from sfm.cli.configuration import load_settings
from sfm.records import payloads
from sfm.reports.verification import read_record, read_records
from sfm.store import Store, archive, mirror
from sfm.store.archive import Origin

ORIGIN = Origin(
    route="tcp:unit:12345",
    serial="SIM0001",
    epoch=0,
    simulated=True,
    read_at=datetime(2026, 11, 28, 9, 0, tzinfo=UTC),
    began_mono=1.0,
    boot_id=None,
)


def recorded(seed: int) -> tuple[Event, Waveform]:
    unit = SimulatedUnit(seed=seed)
    event = unit.record_event(at_device_time=datetime(2026, 11, 27, 17, 44, seed))
    [stored] = unit._memory.stored
    return event, read_image(event, stored.image)


@pytest.fixture
def ids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Two recordings in the database that the settings name."""
    url = f"sqlite:///{tmp_path / 'kept' / 'seismo.sqlite'}"
    monkeypatch.setenv("SFM_DATABASE_URL", url)
    found = []
    with Store.open(url) as store:
        for seed in (1, 2):
            _, waveform = recorded(seed)
            payload = payloads.waveform_payload(waveform, None)
            [number] = store.write(archive.save_events, ORIGIN, [waveform.event])
            store.write(archive.save_waveform, ORIGIN, number, payload, waveform.image)
            found.append(store.read(archive.recording_numbered, number)["id"])
    return found


@pytest.fixture
def run_cli(capsys: pytest.CaptureFixture[str]) -> Any:
    def run(*words: str) -> tuple[int, str]:
        status = 0
        try:
            app(directly(words), exit_on_error=False, print_error=True)
        except SystemExit as stop:
            status = int(stop.code or 0)
        output = capsys.readouterr()
        return status, output.out + output.err

    return run


def test_each_event_gets_a_file_with_serial_date_and_key(
    ids: list[str], run_cli: Any, tmp_path: Path
) -> None:
    status, output = run_cli("report", *ids, "-o", str(tmp_path / "out"))
    assert status == 0, output
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == [
        "SIMULATED_SIM0001_2026-11-27T17-44-01_01110000.pdf",
        "SIMULATED_SIM0001_2026-11-27T17-44-02_01110000.pdf",
    ]
    assert all(name in output for name in names)


def test_nothing_is_overwritten_unasked(ids: list[str], run_cli: Any, tmp_path: Path) -> None:
    assert run_cli("report", ids[0], "-o", str(tmp_path / "out"))[0] == 0
    [path] = (tmp_path / "out").iterdir()
    path.write_bytes(b"mine")
    status, output = run_cli("report", ids[0], "-o", str(tmp_path / "out"))
    assert status != 0
    assert "--force replaces it" in output
    assert path.read_bytes() == b"mine"
    assert run_cli("report", ids[0], "-o", str(tmp_path / "out"), "--force", "--direct")[0] == 0
    assert path.read_bytes().startswith(b"%PDF")


def test_a_curve_may_be_chosen_for_one_report(ids: list[str], run_cli: Any, tmp_path: Path) -> None:
    words = ("--curve", "din4150-3-line2", "--curve", "usbm-ri8507-plaster", "--units", "metric")
    assert run_cli("report", ids[0], "-o", str(tmp_path / "out"), *words)[0] == 0
    [path] = (tmp_path / "out").iterdir()
    result = read_record(path.read_bytes()).result
    assert result is not None
    verdicts = result["limits"]["verdicts"]
    assert [each["curve"] for each in verdicts] == ["din4150-3-line2", "usbm-ri8507-plaster"]
    assert result["limits"]["chosen_by"] == "request"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--curve", "no-such"), "there is no limit curve"),
        (("--curve", "osmre-distance"), "no limit curve"),
    ],
)
def test_a_curve_that_is_not_there_is_refused(
    ids: list[str], run_cli: Any, tmp_path: Path, words: tuple[str, ...], sentence: str
) -> None:
    status, output = run_cli("report", ids[0], "-o", str(tmp_path / "out"), *words)
    assert status != 0
    assert sentence in output


def test_a_report_without_an_event_is_a_mistake(run_cli: Any) -> None:
    status, output = run_cli("report", "-o", "out")
    assert status == 2
    assert "name at least one event" in output


def report_of(id_: str, run_cli: Any, folder: Path) -> Path:
    assert run_cli("report", id_, "-o", str(folder))[0] == 0
    [path] = folder.iterdir()
    return path


def test_a_report_of_the_archive_matches(ids: list[str], run_cli: Any, tmp_path: Path) -> None:
    path = report_of(ids[0], run_cli, tmp_path / "out")
    status, output = run_cli("verify", str(path), "--direct")
    assert (status, output.strip()) == (0, f"{path}: matches recording {ids[0]} in this archive")


def test_a_forged_count_differs_by_sample_and_channel(
    ids: list[str], run_cli: Any, tmp_path: Path
) -> None:
    from sfm.exports.event import ExportedEvent
    from sfm.exports.tidy_csv import csv_bytes
    from sfm.settings import Settings

    with Store.open(str(Settings().database_url), read_only=True) as store:
        event = ExportedEvent.of_samples(store.read(archive.load_samples, ids[0]))
    counts = np.frombuffer(event.payload["counts"], "<i2").reshape(4, -1).copy()
    counts[1, 512] += 7
    forged = replace(event, payload={**event.payload, "counts": counts.tobytes()})
    path = tmp_path / "record.csv"
    path.write_bytes(csv_bytes(forged))
    status, output = run_cli("verify", str(path), "--direct")
    assert (status, output.strip()) == (
        1,
        f"{path}: differs from recording {ids[0]}: sample 512 of Vert",
    )


def test_without_an_archive_nothing_is_shown_to_be_genuine(
    ids: list[str], run_cli: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = report_of(ids[0], run_cli, tmp_path / "out")
    sentence = (
        "no archive was asked: the file agrees with itself, which does not show that it is genuine"
    )
    assert run_cli("verify", str(path), "--alone") == (2, f"{path}: {sentence}\n")
    monkeypatch.setenv("SFM_DATABASE_URL", "none")
    assert run_cli("verify", str(path), "--direct") == (2, f"{path}: {sentence}\n")


def test_an_archive_without_the_recording_shows_nothing_either(
    ids: list[str], run_cli: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = report_of(ids[0], run_cli, tmp_path / "out")
    other = f"sqlite:///{tmp_path / 'other' / 'seismo.sqlite'}"
    with Store.open(other):
        pass
    status, output = run_cli("verify", str(path), "--database", other)
    assert status == 2
    assert f"this archive has no samples of recording {ids[0]}" in output


def test_verify_has_an_answer_for_programs(ids: list[str], run_cli: Any, tmp_path: Path) -> None:
    path = report_of(ids[0], run_cli, tmp_path / "out")
    status, output = run_cli("verify", str(path), "--direct", "--json")
    body = json.loads(output)
    [record] = body["records"]
    assert (status, record["outcome"], record["recording"]) == (0, "matches", ids[0])


def test_what_is_no_report_is_refused(run_cli: Any, tmp_path: Path) -> None:
    path = tmp_path / "a.pdf"
    path.write_bytes(b"%PDF-1.7 nothing")
    status, output = run_cli("verify", str(path), "--direct")
    assert status == 4
    assert "cannot be verified" in output
    status, output = run_cli("verify", str(tmp_path / "missing.pdf"))
    assert status == 4, "1 would say that the samples differ"
    assert "No such file" in output


def test_several_files_are_verified_at_once(ids: list[str], run_cli: Any, tmp_path: Path) -> None:
    good = [str(report_of(name, run_cli, tmp_path / name)) for name in ids[:2]]
    status, output = run_cli("verify", *good, "--direct")
    assert (status, output.count("matches recording")) == (0, 2)
    status, output = run_cli("verify", *good, "--alone", "--json")
    assert [one["file"] for one in json.loads(output)] == good
    assert status == 2
    # The worst decides, and one that cannot be read keeps nobody back.
    status, output = run_cli("verify", str(tmp_path / "missing.pdf"), *good, "--direct")
    assert (status, output.count("matches recording")) == (4, 2)


def test_facts_are_entered_with_their_author_and_printed(
    ids: list[str], run_cli: Any, tmp_path: Path
) -> None:
    words = ("--set", "distance_m=182.9", "--set", "operator=Pat Doe", "--author", "Sam")
    status, output = run_cli("report", ids[0], "-o", str(tmp_path / "a"), "--direct", *words)
    assert status == 0, output
    [path] = (tmp_path / "a").iterdir()
    result = read_record(path.read_bytes()).result
    assert result is not None
    assert [(fact["name"], fact["value"], fact["by"]) for fact in result["entered"]] == [
        ("distance_m", 182.9, "Sam"),
        ("operator", "Pat Doe", "Sam"),
    ]
    more = ("--set", "operator=", "--force")
    assert run_cli("report", ids[0], "-o", str(tmp_path / "a"), "--direct", *more)[0] == 0
    result = read_record(path.read_bytes()).result
    assert result is not None
    assert [fact["name"] for fact in result["entered"]] == ["distance_m"]


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        ("distance_m", "expected NAME=VALUE"),
        ("distance_m=far", "is a number from"),
        ("speed=5", "cannot be entered; known are distance_m"),
    ],
)
def test_what_is_no_fact_is_a_mistake(
    ids: list[str], run_cli: Any, tmp_path: Path, word: str, sentence: str
) -> None:
    status, output = run_cli("report", ids[0], "-o", str(tmp_path / "a"), "--set", word)
    assert status == 2
    assert sentence in " ".join(output.split())
    assert not (tmp_path / "a").exists()


def test_the_same_time_makes_the_same_file(ids: list[str], run_cli: Any, tmp_path: Path) -> None:
    words = ("--printed-at", "2026-11-28T09:00:00+00:00", "--direct")
    found = []
    for name in ("a", "b"):
        assert run_cli("report", ids[0], "-o", str(tmp_path / name), *words)[0] == 0
        [path] = (tmp_path / name).iterdir()
        found.append(path.read_bytes())
    assert found[0] == found[1]


@pytest.mark.parametrize("is_simulated", [True, False])
def test_the_page_has_what_its_unit_reported_and_no_other_of_the_same_number(
    ids: list[str],
    run_cli: Any,
    tmp_path: Path,
    is_simulated: bool,
) -> None:
    info = {"model": "MiniMate Plus", "firmware": "S338.17", "calibrated_on": "2026-02-02"}
    origin = replace(ORIGIN, simulated=is_simulated)
    with Store.open(str(load_settings().database_url)) as store:
        store.write(mirror.save_info, origin, None, info)
    assert run_cli("report", ids[0], "-o", str(tmp_path / "out"), "--direct")[0] == 0
    [path] = (tmp_path / "out").iterdir()
    provenance = (read_record(path.read_bytes()).result or {})["provenance"]
    assert {name: provenance[name] for name in info} == (
        info if is_simulated else dict.fromkeys(info)
    )


@pytest.mark.parametrize("form", ["zip", "pdf"])
def test_several_events_may_come_as_one_file(
    ids: list[str], run_cli: Any, tmp_path: Path, form: str
) -> None:
    words = ("--together", form, "--printed-at", "2026-11-28T09:00:00+00:00", "--direct")
    status, output = run_cli("report", *ids, "-o", str(tmp_path / "a"), *words)
    assert status == 0, output
    [path] = (tmp_path / "a").iterdir()
    assert path.name == f"reports_2026-11-28T09-00-00.{form}"
    if form == "zip":
        with zipfile.ZipFile(path) as file:
            assert [name[:4] for name in file.namelist()] == ["001_", "002_"]
        return
    status, output = run_cli("verify", str(path), "--direct")
    assert status == 0, output
    assert [f"matches recording {name} in this archive" in output for name in ids] == [True, True]


def test_one_forged_record_among_several_is_enough_to_differ(
    ids: list[str], run_cli: Any, tmp_path: Path
) -> None:
    from sfm.analysis.limits import Catalogue
    from sfm.records.limit_choices import LimitChoices
    from sfm.records.roster import NO_ROSTER
    from sfm.reports.gathering import Surroundings, load_subject
    from sfm.reports.subject import Options
    from sfm.reports.typesetting import event_reports
    from sfm.reports.wish import Wish

    around = Surroundings(roster=NO_ROSTER, catalogue=Catalogue(), choices=LimitChoices())
    with Store.open(str(load_settings().database_url), read_only=True) as store:
        loaded = [store.read(load_subject, name, around=around, wish=Wish()) for name in ids]
    (subject, stored), genuine = loaded
    counts = np.frombuffer(subject.event.payload["counts"], "<i2").copy()
    counts[3] += 1
    event = replace(subject.event, payload={**subject.event.payload, "counts": counts.tobytes()})
    options = Options(printed_at=datetime(2026, 1, 1, tzinfo=UTC), program_version="1")
    path = tmp_path / "many.pdf"
    path.write_bytes(event_reports([(replace(subject, event=event), stored), genuine], options))
    status, output = run_cli("verify", str(path), "--direct")
    assert status == 1
    assert f"differs from recording {ids[0]}: sample 3 of Tran" in output
    assert f"matches recording {ids[1]} in this archive" in output


def test_a_unit_without_an_index_is_a_mistake(run_cli: Any) -> None:
    status, output = run_cli("report", "BE12345")
    assert status == 2
    assert "UNIT:INDEX" in output
    assert run_cli("report", "BE12345:0", "--together", "zip")[0] == 2


def test_an_event_of_a_unit_has_its_report_and_facts(
    tmp_path: Path, run_cli: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SFM_DATABASE_URL", f"sqlite:///{tmp_path / 'kept.sqlite'}")
    unit = SimulatedUnit(seed=5)
    unit.record_event(at_device_time=datetime(2026, 11, 27, 17, 44, 5))
    with contextlib.closing(UnitThread(unit)) as served:
        name = f"{served.url}:0"
        words = ("-o", str(tmp_path / "a"), "--direct", "--set", "distance_m=50", "--author", "P")
        status, output = run_cli("report", name, *words)
        assert status == 0, output
    [path] = (tmp_path / "a").iterdir()
    record = read_record(path.read_bytes())
    assert record.recording_id is not None
    assert record.result is not None
    assert [fact["value"] for fact in record.result["entered"]] == [50.0]
    assert run_cli("verify", str(path), "--direct")[0] == 0
    again = ("--direct", "--printed-at", record.result["printed_at"], "-o", str(tmp_path / "b"))
    assert run_cli("report", record.recording_id, *again)[0] == 0
    [by_id] = (tmp_path / "b").iterdir()
    assert by_id.read_bytes() == path.read_bytes()


def test_an_event_without_an_archive_has_its_report_and_no_facts(
    tmp_path: Path, run_cli: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SFM_DATABASE_URL", "none")
    unit = SimulatedUnit(seed=5)
    unit.record_event(at_device_time=datetime(2026, 11, 27, 17, 44, 5))
    with contextlib.closing(UnitThread(unit)) as served:
        name = f"{served.url}:0"
        status, output = run_cli("report", name, "-o", str(tmp_path / "a"), "--direct")
        assert status == 0, output
        more = ("-o", str(tmp_path / "b"), "--direct", "--set", "distance_m=50")
        status, output = run_cli("report", name, *more)
    assert status == 4
    assert "is not in an archive" in output
    [path] = (tmp_path / "a").iterdir()
    assert run_cli("verify", str(path), "--direct")[0] == 2


def test_through_a_relay_it_is_the_same_with_facts_and_as_one_file(
    ids: list[str], run_cli: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = ("--printed-at", "2026-11-28T09:00:00+00:00")
    assert run_cli("report", ids[0], "-o", str(tmp_path / "direct"), "--direct", *at)[0] == 0
    with relay(database=tmp_path / "kept" / "seismo.sqlite") as started:
        there = ("--relay", started.base)
        status, output = run_cli("report", ids[0], "-o", str(tmp_path / "relay"), *at, *there)
        assert status == 0, output
        [direct], [relayed] = (list((tmp_path / n).iterdir()) for n in ("direct", "relay"))
        assert relayed.read_bytes() == direct.read_bytes()
        facts = ("--set", "charge_kg=45", "--author", "Pat", "--together", "pdf")
        folder = tmp_path / "many"
        status, output = run_cli("report", *ids, "-o", str(folder), *facts, *at, *there)
        assert status == 0, output
        [many] = folder.iterdir()
        found = read_records(many.read_bytes())
        assert [record.recording_id for record in found.values()] == ids
        for record in found.values():
            assert record.result is not None
            assert [fact["value"] for fact in record.result["entered"]] == [45.0]
        status, output = run_cli("verify", str(many), *there)
        assert (status, output.count("matches recording")) == (0, 2)
        status, output = run_cli("report", "ab" * 32, "-o", str(tmp_path / "no"), *there)
        assert status == 4
        assert "no recording" in output
