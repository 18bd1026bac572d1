"""What commands print: at every width, in a pipe, in cp1252 and without colour no figure is cut."""

from __future__ import annotations

import io
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kit.relay_process import PATIENCE_S, RUN, environment
from kit.served_unit import Served, served

from minimateplus.simulator import SimulatedUnit
from sfm.cli import app, consoles, views
from sfm.cli.consoles import AnyConsole
from sfm.cli.tables import Head, ListTable

FIGURE = re.compile(
    r"(?<![\w.,:-])\d[\d,]*\.\d+(?![\w.,:-])|(?<![\d,])\d{1,3}(?:,\d{3})+(?![\d,])|\d\d:\d\d:\d\d"
)
"""A decimal fraction, a number of thousands or a time, whole: no part of a word or of a hash."""

COMMANDS = [
    ("info", "UNIT"),
    ("info", "UNIT", "--units", "metric"),
    ("events", "UNIT"),
    ("events", "UNIT", "--units", "metric"),
    ("waveform", "UNIT", "1"),
    ("waveform", "UNIT", "1", "--units", "metric"),
    ("status", "UNIT"),
    ("call-home", "UNIT"),
    ("configure", "UNIT", "--record-time-s", "3", "--dry-run"),
    ("stop", "UNIT"),
    ("fetch", "UNIT"),
    ("archive", "list"),
    ("archive", "list", "--units", "metric"),
    ("archive", "show", "RECORDING"),
    ("archive", "decode"),
    ("unit", "list"),
    ("unit", "show", "SIM0042"),
    ("location", "list"),
    ("location", "show", "north face of the quarry"),
    ("token", "list"),
    ("audit", "list"),
    ("audit", "verify"),
    ("db", "check"),
    ("limits", "list"),
    ("doctor",),
]


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[tuple[str, ...], Any]]:
    """Run each command once; return what each gave to the console, to be printed at any width."""
    simulated = SimulatedUnit("SIM0042")
    for _ in range(3):
        simulated.record_event(project="Simulated quarry, north face, bench")
    database = tmp_path_factory.mktemp("output") / "db.sqlite"
    with pytest.MonkeyPatch.context() as patch, served(simulated) as unit:
        patch.setenv("SFM_DATABASE_URL", f"sqlite:///{database}")
        for name in ("TEST_PROOF_S", "TEST_REQUIRE_PEERS", "TEST_HANGS_AFTER_S"):
            patch.delenv(name, raising=False)
        run(patch, ("token", "create", "lab", "--role", "viewer"), unit)
        run(patch, ("location", "add", "north face of the quarry", "--latitude", "59.91"), unit)
        yield {words: run(patch, words, unit) for words in COMMANDS}


def run(patch: pytest.MonkeyPatch, words: tuple[str, ...], unit: Served) -> list[Any]:
    kept: list[Any] = []
    with patch.context() as inner:
        inner.setattr(AnyConsole, "print", lambda _, *args, **more: kept.append((args, more)))
        inner.setattr("sys.stdout", io.StringIO())
        replaced = [unit.url if word == "UNIT" else word for word in words]
        if "RECORDING" in replaced:
            replaced[replaced.index("RECORDING")] = recording_id(unit)
        direct = words[0] not in ("archive", "db", "limits", "doctor") and words[1] != "verify"
        try:
            app([*replaced, *(["--direct"] if direct else [])], result_action="return_value")
        except SystemExit:
            if words != ("doctor",):  # which may find a fault of this machine
                raise
    return kept


def recording_id(unit: Served) -> str:
    shown = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdout", shown)
        app(["archive", "list", "--json"], result_action="return_value")
    found: str = json.loads(shown.getvalue())["events"][0]["id"]
    return found


def shown(kept: list[Any], **options: Any) -> str:
    """Return what a console with these options shows of what a command printed."""
    sink = io.StringIO()
    console = AnyConsole(file=sink, **options)
    for args, more in kept:
        console.print(*args, **more)
    return sink.getvalue()


@pytest.fixture
def no_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)


@pytest.mark.usefixtures("no_columns")
@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_no_width_cuts_a_figure_and_what_is_left_out_is_named(
    printed: dict[tuple[str, ...], Any], width: int
) -> None:
    for words, kept in printed.items():
        whole, narrow = shown(kept), shown(kept, width=width, force_terminal=True, no_color=True)
        plain = re.sub(r"\x1b\[[0-9;]*m", "", narrow)
        assert max(map(len, plain.splitlines()), default=0) <= width or any(
            more.get("soft_wrap") for _, more in kept
        ), words
        figures = set(FIGURE.findall(whole))
        assert set(FIGURE.findall(plain)) - figures == set(), (words, plain)
        missing = figures - set(FIGURE.findall(plain))
        assert not missing or "Too narrow for: " in " ".join(plain.split()), (words, missing)
        if width == 200:
            assert "Too narrow for" not in plain, words


@pytest.mark.usefixtures("no_columns")
def test_a_pipe_is_as_wide_as_its_longest_line(printed: dict[tuple[str, ...], Any]) -> None:
    [row] = [line for line in shown(printed["events", "UNIT"]).splitlines() if line[:2] == "2 "]
    assert row.rstrip().endswith("north face, bench")
    for words, kept in printed.items():
        assert "Too narrow for" not in shown(kept), words


@pytest.mark.usefixtures("no_columns")
def test_cp1252_gets_signs_that_it_has(printed: dict[tuple[str, ...], Any]) -> None:
    for words, kept in printed.items():
        sink = io.TextIOWrapper(io.BytesIO(), encoding="cp1252")  # strict: what it lacks raises
        console = AnyConsole(file=sink, width=80)
        for args, more in kept:
            console.print(*args, **more)
        sink.flush()
        assert b"?" not in sink.buffer.getvalue(), words


def test_no_color_is_heeded(
    printed: dict[tuple[str, ...], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    colour = re.compile(r"\x1b\[(?:\d+;)*(?:3|4|9|10)\d")
    coloured = shown(printed["doctor",], force_terminal=True, width=80, color_system="standard")
    assert colour.search(coloured)
    monkeypatch.setenv("NO_COLOR", "1")
    for words, kept in printed.items():
        assert not colour.search(shown(kept, force_terminal=True, width=80)), words


@pytest.mark.parametrize("width", [40, 60, 80, 200, None])
def test_the_help_of_every_command_fits(width: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    def chains(one: Any, chain: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
        yield chain
        for name in one:
            if not name.startswith("-"):
                yield from chains(one[name], (*chain, name))

    for chain in chains(app):
        sink = io.TextIOWrapper(io.BytesIO(), encoding="cp1252")
        console = AnyConsole(file=sink) if width is None else AnyConsole(file=sink, width=width)
        console.pipe_columns = 100
        app.help_print([*chain], console=console)
        sink.flush()
        text = sink.buffer.getvalue().decode("cp1252")
        assert "?" not in text.replace("?force", "")
        assert max(map(len, text.splitlines())) <= (width or 100), chain


def test_a_windows_terminal_gets_the_whole_output_of_a_process(tmp_path: Path) -> None:
    for words in (["--help"], ["doctor"], ["info", "nowhere é\u0142.invalid", "--direct"]):
        ran = subprocess.run(
            [*RUN, *words],
            env=environment(tmp_path / "db", PYTHONIOENCODING="cp1252", PYTHONUTF8="0"),
            capture_output=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert b"Traceback" not in ran.stderr, ran.stderr
        assert (ran.stdout + ran.stderr).decode("cp1252")


def test_units_are_for_people_and_json_keeps_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        app(["events", "10.0.0.5", "--direct", "--units", "metric", "--json"])
    assert ended.value.code == 2
    assert "--units is for people" in json.loads(capsys.readouterr().out)["detail"]


@pytest.mark.usefixtures("no_columns")
def test_metric_figures_are_the_imperial_ones_converted(
    printed: dict[tuple[str, ...], Any],
) -> None:
    imperial = shown(printed["events", "UNIT"]).splitlines()
    metric = shown(printed["events", "UNIT", "--units", "metric"]).splitlines()
    assert ("in/s" in imperial[2], "mm/s" in metric[2]) == (True, True)
    for one, other in zip(imperial[3:6], metric[3:6], strict=True):
        figures, converted = (re.findall(r"\d+\.\d{3}", line) for line in (one, other))
        assert len(figures) == 4
        # The last digit of an imperial figure is 0.001 in/s.
        assert [float(f) for f in converted] == pytest.approx(
            [float(f) * 25.4 for f in figures], abs=0.0005 * 25.4 + 0.0005
        )


def test_a_list_drops_whole_columns_by_rank() -> None:
    table = ListTable("Name", Head(name="Rare", rank=3), Head(name="PVS\nin/s", rank=0))
    table.add_row("first", "x" * 30, "12.345")
    sink = io.StringIO()
    AnyConsole(file=sink, width=24).print(table)
    lines = [" ".join(line.split()) for line in sink.getvalue().splitlines()]
    assert lines == ["PVS", "Name in/s", "first 12.345", "Too narrow for: Rare."]


def test_an_envelope_uses_the_signs_of_its_console() -> None:
    assert consoles.PIPE_COLUMNS > 1000
    assert views.sparkline([0.5, 1.0], sparks=views.PLAIN_SPARKS) == "=#"
