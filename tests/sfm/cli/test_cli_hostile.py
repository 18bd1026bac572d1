"""What others say, and where it is shown: terminals, logs and file names stay what they were."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest
import structlog
from kit.served_unit import served
from kit.stored_rows import public_id, write_row
from rich.console import Console
from test_cli import call

from minimateplus.simulator import SimulatedUnit
from minimateplus.simulator.hostile import BEHAVIOURS, hostile_link
from sfm.cli import views
from sfm.logs import configure_logs
from sfm.store import Store

CLEAR = "\x1b[2J"


def shown(view: object) -> str:
    """What a terminal is sent."""
    sink = io.StringIO()
    Console(file=sink, width=200, color_system=None).print(view)
    return sink.getvalue()


def test_simulate_knows_every_hostile_kind_and_refuses_others(
    capsys: pytest.CaptureFixture[str],
) -> None:
    _, out, _ = call(capsys, "simulate", "--hostile", "list")
    assert [line.partition(":")[0] for line in out.splitlines()] == [*BEHAVIOURS]
    status, _, err = call(capsys, "simulate", "--hostile", "nice")
    assert (status, "no hostile behaviour is named 'nice'" in err) == (2, True)


@pytest.mark.parametrize("kind", ["path-serial", "other-commands", "endless-bytes"])
def test_a_hostile_unit_is_one_sentence_that_names_it(
    kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with served(SimulatedUnit(), hostile_link(kind)) as unit:
        status, out, err = call(capsys, "info", unit.url)
    assert (status, out) == (3, "")
    assert unit.url in err
    assert len(err.splitlines()) == 1


def test_texts_with_control_characters_reach_no_terminal_and_no_capture(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    simulated = SimulatedUnit()
    simulated.record_event()
    with served(simulated, hostile_link("control-characters")) as unit:
        words = [call(capsys, verb, unit.url)[1] for verb in ("info", "events")]
        status, output, _ = call(capsys, "capture", unit.url, str(tmp_path / "unit.jsonl"))
    assert status == 0
    for shown_text in (*words, output):
        assert "Sim" in shown_text
        assert shown_text.replace("\n", "").isprintable()
    assert (tmp_path / "unit.jsonl").read_text().replace("\n", "").isprintable()


def test_the_header_of_somebodys_capture_moves_no_terminal(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    head = {"format": "seismo-relay-capture", "version": 1, "link": f"tcp://a{CLEAR}"}
    (tmp_path / "theirs.jsonl").write_text(json.dumps({**head, "note": "x\r\ny"}) + "\n")
    status, out, _ = call(capsys, "replay", str(tmp_path / "theirs.jsonl"), "--frames")
    assert (status, out) == (0, "tcp://a\\x1b[2J, , x\\r\\ny\n")


def test_what_a_relay_says_is_shown_without_what_would_move_the_terminal() -> None:
    problem = {"title": f"No{CLEAR}", "status": 502, "detail": "[red]a\x07\r\nb[/red]"}
    assert shown(views.problem_view(problem)) == (
        "No\ufffd[2J (502): [red]a\ufffd\ufffd\nb[/red]\n"
    )
    assert views.text(None) == views.UNKNOWN


def test_the_log_on_a_terminal_shows_values_with_their_escapes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    sink = Terminal()
    monkeypatch.setattr(sys, "stderr", sink)
    before = structlog.get_config()
    try:
        configure_logs()
        structlog.get_logger().warning("session_failed", unit=f"a{CLEAR}b", error="b\nforged")
    finally:
        structlog.configure(**before)
    assert CLEAR not in sink.getvalue()
    assert "\\x1b[2Jb" in sink.getvalue()
    assert "b\\nforged" in sink.getvalue()
    assert len(sink.getvalue().splitlines()) == 1


def test_raw_bytes_are_exported_under_a_name_that_stays_in_the_folder(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = tmp_path / "seismo-relay.db"
    monkeypatch.setenv("SFM_DATABASE_URL", f"sqlite:///{database}")
    simulated = SimulatedUnit()
    simulated.record_event()
    with served(simulated) as unit:
        assert call(capsys, "events", unit.url)[0] == 0
    # As an older relay could have stored it.
    with Store.open(f"sqlite:///{database}") as store:
        write_row(store, "recordings", {"id": 1}, serial="../../e/x")
        recording = public_id(store, 1)
    assert recording is not None
    folder = str(tmp_path / "raw")
    status, _, err = call(capsys, "archive", "export-raw", recording, folder)
    assert status == 0, err
    names = sorted(path.name for path in (tmp_path / "raw").iterdir())
    assert len(names) == 2
    assert all(name.startswith("_._.._e_x.01110000.") for name in names)
    assert {path.name for path in tmp_path.iterdir()} >= {"raw"}
