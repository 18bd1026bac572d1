from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from kit.command_line import directly
from kit.served_unit import Served, served

from minimateplus.simulator import SimulatedUnit
from sfm.cli import app, views

COMMAND = [sys.executable, "-c", "from sfm.cli import main; main()"]


@pytest.fixture(scope="module")
def unit() -> Iterator[Served]:
    simulated = SimulatedUnit("SIM0042")
    for _ in range(3):
        simulated.record_event()
    with served(simulated) as found:
        yield found


def call(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """Run one command line; return exit status, standard output, standard error."""
    try:
        app(directly(words), result_action="return_value")
        status = 0
    except SystemExit as end:
        status = int(end.code or 0)
    printed = capsys.readouterr()
    return status, printed.out, printed.err


def test_a_unit_given_by_its_own_address_is_asked_without_a_server(
    unit: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, _ = call(capsys, "info", unit.url, "--json")
    body = json.loads(out)
    assert (status, body["serial"], body["simulated"]) == (0, "SIM0042", True)
    assert body["provenance"]["source"] == "device"


def test_the_event_list_shows_every_event_with_its_peaks(
    unit: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, _ = call(capsys, "events", unit.url, "--json")
    assert status == 0
    truth = [event.key.hex() for event in unit.unit.events]
    assert [event["waveform_key"] for event in json.loads(out)["events"]] == truth
    status, out, _ = call(capsys, "events", unit.url)
    for event in unit.unit.events:
        assert event.key.hex() in out
        assert f"{event.peaks.vector_sum_in_s:.3f}" in out
    assert "SIMULATED" in out


def test_a_waveform_is_saved_with_its_units_in_the_head(
    unit: Served, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "event.csv"
    status, out, _ = call(capsys, "waveform", unit.url, "1", "--csv", str(path))
    assert status == 0
    assert "Tran" in out
    lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    assert lines[0].startswith(
        "time (s),Tran (in/s),Vert (in/s),Long (in/s),MicL (psi),Tran counts"
    )
    counts = unit.unit.counts_of(1)
    assert len(lines) == 1 + counts.shape[1]
    assert lines[1].startswith("-0.25,")
    values = [float(line.split(",")[1]) for line in lines[1:]]
    assert values == pytest.approx((counts[0] * 0.005).tolist(), abs=1e-9)


def test_status_gives_volts_and_bytes(unit: Served, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = call(capsys, "status", unit.url)
    assert status == 0
    assert re.search(r"Battery\s+6\.\d\d V", out)
    assert "bytes free" in out


def test_a_missing_event_is_reported_and_fails(
    unit: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    status, _, err = call(capsys, "waveform", unit.url, "77")
    assert status == 4
    assert "no event 77; the unit stores 3, numbered 0 to 2" in err.replace("\n", " ")


def test_a_wrong_address_says_what_would_be_right(capsys: pytest.CaptureFixture[str]) -> None:
    status, _, err = call(capsys, "info", "serial:")
    assert status == 2
    assert "tcp://HOST:PORT" in err


def test_a_refused_connection_is_one_sentence_and_no_traceback(
    capsys: pytest.CaptureFixture[str],
) -> None:
    status, _, err = call(capsys, "info", "tcp://127.0.0.1:1")
    assert status == 3
    assert "connection refused" in err.replace("\n", " ")
    assert "Traceback" not in err


def test_a_missing_relay_says_how_to_start_one(capsys: pytest.CaptureFixture[str]) -> None:
    status, _, err = call(capsys, "info", "10.0.0.5", "--relay", "http://127.0.0.1:1")
    assert status == 6
    assert "seismo-relay serve" in err.replace("\n", " ")


def test_what_was_captured_is_replayed_to_the_same_words(
    unit: Served, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = str(tmp_path / "unit.jsonl")
    status, live, _ = call(capsys, "capture", unit.url, path, "--waveforms")
    assert status == 0
    status, replayed, _ = call(capsys, "replay", path)
    assert (status, replayed) == (0, live)
    assert "valid 1280, 1280, 1280, 1280" in replayed.replace("\n", " ")
    status, frames, _ = call(capsys, "replay", path, "--frames")
    assert status == 0
    assert "-> 5B POLL" in frames
    assert "<- EA serial number" in frames


def test_a_capture_never_overwrites_a_file(
    unit: Served, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "kept.jsonl"
    path.write_text("mine")
    status, _, err = call(capsys, "capture", unit.url, str(path))
    assert status == 1
    assert "cannot write" in err
    assert path.read_text() == "mine"


def test_a_file_that_is_no_capture_is_named_with_its_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "other.jsonl"
    path.write_text("{}\n")
    status, _, err = call(capsys, "replay", str(path))
    assert status == 2
    assert "line 1" in err


def test_the_relay_serves_a_unit_and_stops_at_ctrl_c(unit: Served) -> None:
    relay = subprocess.Popen(
        [*COMMAND, "serve", "--http-port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert relay.stderr is not None
        found = re.search(r"http://127\.0\.0\.1:\d+", relay.stderr.readline())
        assert found is not None
        base = found.group()
        asked = subprocess.run(
            [*COMMAND, "events", f"127.0.0.1:{unit.port}", "--relay", base, "--json"],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        assert json.loads(asked.stdout)["count"] == 3
        relay.send_signal(signal.SIGINT)
        _, rest = relay.communicate(timeout=60)
        assert relay.returncode == 0
        assert "Stopped." in rest.splitlines()[-1]
        assert "Traceback" not in rest
    finally:
        relay.kill()
        relay.communicate()


def test_the_demo_reads_once_from_the_device_and_once_from_the_cache_and_stops_at_ctrl_c() -> None:
    shown = subprocess.Popen(
        [*COMMAND, "demo", "--http-port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "COLUMNS": "160"},
    )
    try:
        assert shown.stdout is not None
        lines = []
        for line in shown.stdout:
            lines.append(line)
            if "Ctrl-C stops both" in line:
                break
        output = "".join(lines)
        assert re.search(r"Identity and setup +device: 10 exchanges", output)
        assert re.search(r"cache: no exchange", output)
        assert "SIM0001 (SIMULATED)" in output
        assert "6 events stored" in output
        assert "/device/events?host=127.0.0.1" in output
        assert len(re.findall(r"^\w[\w ,]+  http://\S+$", output, re.MULTILINE)) == 6
        assert re.search(r"The simulated blast (exceeds|complies with) USBM RI 8507", output)
        [report] = re.findall(r"Its report: (.+\.pdf)", output)
        assert Path(report).read_bytes().startswith(b"%PDF-")
        shown.send_signal(signal.SIGINT)
        rest, _ = shown.communicate(timeout=60)
        assert shown.returncode == 0
        assert "Traceback" not in rest
    finally:
        shown.kill()
        shown.communicate()


def test_a_taken_port_is_reported_with_what_to_do(unit: Served) -> None:
    shown = subprocess.run(
        [*COMMAND, "demo", "--once", "--http-port", str(unit.port)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert shown.returncode == 1
    assert "taken by another program" in shown.stderr.replace("\n", " ")
    assert "Traceback" not in shown.stderr


@pytest.mark.parametrize(
    ("values", "output"),
    [([], ""), ([0.0, 0.0], "▁▁"), ([0.0, -1.0], "▁█"), ([0.5, 1.0], "▅█")],
)
def test_a_sparkline_shows_the_largest_magnitude(values: list[float], output: str) -> None:
    assert views.sparkline(values) == output


@pytest.mark.parametrize("words", [["--help"], ["doctor", "--json"], ["doctor"]])
def test_a_reader_who_has_seen_enough_ends_it_without_a_word(words: list[str]) -> None:
    reads, writes = os.pipe()
    os.close(reads)  # as behind | head, once it has gone
    with os.fdopen(writes, "wb") as gone:
        ran = subprocess.run(
            [*COMMAND, *words],
            stdout=gone,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert (ran.returncode, ran.stderr) == (1, "")
