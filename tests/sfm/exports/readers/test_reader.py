from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kit.peers import lack
from kit.reference_data import reference
from numpy.typing import NDArray

from sfm.analysis import analyse
from sfm.exports.readers import ReadFile, UnreadableFileError, read_file
from sfm.exports.readers.table import Column, step_of
from sfm.exports.readers.text import parse_quantity

FIELD = Path(__file__).parents[5] / "shared" / "data" / "field" / "micromate-csv"
N = 2048
T = np.arange(N) / 1024 - 0.25
TRAN = np.where(T < 0, 0, 12 * np.exp(-4 * T) * np.sin(2 * np.pi * 11 * T))
ROWS = np.round(np.stack([TRAN, -TRAN / 2, TRAN / 3]), 3)
PA = np.where(T < 0, 0, 20 * np.exp(-3 * T) * np.sin(2 * np.pi * 5 * T))


def printed(value: float) -> str:
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.2f}"


def blastware(
    units: str = "mm/s and ",
    rows: NDArray[np.float64] = ROWS,
    header: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """A file of ours in the form of Blastware's ASCII export."""
    names = ["   Tran   ", "   Vert   ", "   Long   ", "   MicL   "][: len(rows)]
    values = {
        "Event Type": "Full Waveform",
        "Serial Number": "UM00001",
        "Pre-trigger Length": "-0.250 sec",
        "Record Time": "1.75 sec",
        "Sample Rate": "1024 sps",
        "Units": units,
        "Location:": " ",
        "Geo Range": "254.0 mm/s",
        "PC SW Version": "V 10.74",
        **header,
    }
    lines = [f'"{name} : {value}"' for name, value in values.items() if value]
    body = ["\t".join(f"{printed(v):<10}" for v in row) for row in rows.T]
    return "\n".join([*lines, "", "\t".join(names), *body]) + "\n"


def csv(delimiter: str = ",", decimal: str = ".", quote: str = '"', rate: str = "1024 sps") -> str:
    """A file of ours in the form of Micromate's CSV export."""
    header = [
        ("EventType", "Full Waveform"),
        ("SampleRate", rate),
        ("Units", "mm/s and pa"),
        ("PreTrigger", "0.25 sec"),
        ("TranPPV", f"{np.abs(ROWS[0]).max():.3f} mm/s".replace(".", decimal)),
        ("Calibration", "February 11, 2026 by nobody"),
    ]
    lines = [[name, value] for name, value in header if value]
    table = [["Tran", "Vert", "Long", "MicL"]]
    table += [[printed(v).replace(".", decimal) for v in row] for row in [*ROWS.T]]
    for row, value in zip(table[1:], PA, strict=True):
        row.append(f"{value:.3f}".replace(".", decimal))
    return "\r\n".join(
        delimiter.join(f"{quote}{cell}{quote}" for cell in line) for line in [*lines, *table]
    )


def ppv(file: ReadFile, channel: str = "Tran", unit: str = "mm/s") -> float:
    value = analyse(file.seismogram).channels[channel]["vendor"]["ppv"].in_unit(unit).value
    assert value is not None
    return value


def test_a_blastware_file_has_its_samples_rate_trigger_and_range() -> None:
    file = read_file(blastware().encode())
    one = file.seismogram
    assert (one.rate_hz, one.pretrigger_samples, one.samples) == (1024.0, 256, N)
    assert list(one.traces) == ["Tran", "Vert", "Long"]
    assert one.traces["Tran"].full_scale == 254.0
    assert one.recorded_samples is None
    assert file.assumptions == ()
    assert file.text("serialnumber") == "UM00001"
    assert ppv(file) == pytest.approx(np.abs(ROWS[0]).max(), abs=0.005)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_every_encoding_reads_alike(encoding: str) -> None:
    file = read_file(blastware(header={"Operator": "São João"}).encode(encoding))
    assert file.text("operator") == "São João"
    assert ppv(file) == ppv(read_file(blastware().encode()))


@pytest.mark.parametrize(
    ("delimiter", "decimal", "quote"),
    [
        (",", ".", '"'),
        (",", ",", '"'),
        (";", ",", ""),
        ("\t", ",", ""),
        ("\t", ".", ""),
        (",", ".", ""),
    ],
)
def test_separators_and_decimal_signs_read_alike(delimiter: str, decimal: str, quote: str) -> None:
    file = read_file(csv(delimiter, decimal, quote).encode())
    assert file.seismogram.samples == N
    assert file.seismogram.pretrigger_samples == 256
    assert ppv(file) == pytest.approx(np.abs(ROWS[0]).max(), abs=0.005)
    assert file.seismogram.traces["Tran"].reported["ppv"].value == pytest.approx(10.971)
    level = analyse(file.seismogram).channels["MicL"]["vendor"]["level"].value
    assert level == pytest.approx(20 * np.log10(np.abs(PA).max() / 20e-6), abs=0.01)


@pytest.mark.parametrize(
    ("words", "unit", "mic"),
    [
        ("mm/s and pa", "mm/s", "Pa"),
        ("in/s and psi", "in/s", "psi"),
        ("in/s and dB(L)", "in/s", "Pa"),
        ("IPS, Pa.(L)", "in/s", "Pa"),
        ("mm/s and ", "mm/s", None),
    ],
)
def test_units_of_measure_are_those_of_the_header(words: str, unit: str, mic: str | None) -> None:
    rows = np.vstack([ROWS, np.round(PA, 3)])
    one = read_file(blastware(words, rows).encode()).seismogram
    assert one.traces["Tran"].unit == unit
    assert one.traces["MicL"].is_scaled is (mic is not None)
    if mic is not None:
        assert one.traces["MicL"].unit == mic


def test_levels_as_samples_become_pressures_with_their_sign() -> None:
    rows = np.vstack([ROWS, np.zeros(N)])
    rows[3, 300:303] = 120.0, -126.02, 0.0
    values = read_file(blastware("mm/s and dB(L)", rows).encode()).seismogram.traces["MicL"].values
    assert values[300:303] == pytest.approx([20.0, -40.0, 0.0], abs=0.01)


def test_titles_may_name_units_and_a_column_of_times() -> None:
    lines = ["# Sample rate: unknown", "time (s),Tran (in/s; over range: peak > 10.0),MicL (psi)"]
    lines += [f"{t:.6f},{v:.4f},{v / 100:.6f}" for t, v in zip(T, TRAN / 25.4, strict=True)]
    file = read_file("\n".join(lines).encode())
    one = file.seismogram
    assert (one.rate_hz, one.pretrigger_samples) == (1024.0, 256)
    assert (one.traces["Tran"].unit, one.traces["MicL"].unit) == ("in/s", "psi")
    assert any("from the times" in sentence for sentence in file.assumptions)


def test_a_row_of_units_below_the_titles_is_read() -> None:
    lines = ["Sample Rate: 1024", "Tran Vert Long", "(in/s) (in/s) (in/s)", "0.1 0.2 0.3", "1 2 3"]
    one = read_file("\n".join(lines).encode()).seismogram
    assert one.traces["Vert"].unit == "in/s"
    assert one.traces["Vert"].values.tolist() == [0.2, 2.0]


def test_what_the_header_does_not_state_is_concluded_and_listed() -> None:
    text = blastware("", header={"Sample Rate": "", "Tran PPV": "12.00 mm/s"})
    file = read_file(text.encode())
    assert file.seismogram.rate_hz == 1024.0
    assert file.seismogram.traces["Tran"].is_scaled
    assert not file.seismogram.traces["Vert"].is_scaled
    assert any("from record time" in sentence for sentence in file.assumptions)
    assert any("Tran in mm/s, from the printed PPV" in sentence for sentence in file.assumptions)


def test_the_microphones_unit_is_found_by_its_printed_level() -> None:
    rows = np.vstack([ROWS, np.round(PA, 3)])
    level = 20 * np.log10(np.abs(rows[3]).max() / 20e-6)
    file = read_file(blastware("", rows, {"MicPSPL": f"{level:.1f} dB(L)"}).encode())
    assert file.seismogram.traces["MicL"].unit == "Pa"
    assert any("fits the printed level" in sentence for sentence in file.assumptions)


def test_a_file_that_ends_early_tells_how_many_samples_it_lacks() -> None:
    text = blastware()
    cut = text[: text.rindex("\n", 0, len(text) // 2) + 1]
    one = read_file(cut.encode()).seismogram
    assert one.recorded_samples == N
    analysis = analyse(one)
    assert analysis.notes[0] == f"Computed from the first {one.samples} of 2048 samples."


def test_a_channel_may_have_fewer_samples_than_the_others() -> None:
    text = "Sample Rate: 1024\nUnits: mm/s\nTran,Vert,Long\n1,2,3\n4,5,\n6,7,\n"
    one = read_file(text.encode()).seismogram
    assert [len(trace.values) for trace in one.traces.values()] == [3, 3, 1]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "No line names the channels"),
        ("PPV,1.0\n", "No line names the channels"),
        ("Tran,Vert,Long\n", "no sample follows"),
        ("Tran,Vert,Long\n1,2,3\n1,nan,3\n", "Line 3, Vert: 'nan' is no number"),
        ("Tran,Vert,Long\n1,2,3\n,2,3\n1,2,3\n", "Line 3, Tran: '' is no number"),
        ("Tran,Vert,Long\n1,2,3\n1,2\n", "Line 3 has 2 values, expected 3"),
        ("Tran,Vert,Long\n0,1,0,2,0,3\n", "Decimal commas"),
        ("Sample Rate: 0\nTran,Vert,Long\n1,2,3\n", "impossible"),
        ('"Event Type : Full Histogram"\nTran,Vert,Long\n1,2,3\n', "a histogram has peaks"),
    ],
)
def test_what_cannot_be_read_is_named_with_its_line(text: str, complaint: str) -> None:
    with pytest.raises(UnreadableFileError, match=complaint):
        read_file(text.encode())


# --- files that nobody here has seen --------------------------------------------------------------


def same(file: ReadFile) -> None:
    """Require what every form of one file must give: samples, trigger, rate, results."""
    one, known = file.seismogram, read_file(blastware().encode()).seismogram
    assert (one.rate_hz, one.pretrigger_samples) == (known.rate_hz, known.pretrigger_samples)
    for name, trace in known.traces.items():
        assert one.traces[name].values.tolist() == trace.values.tolist()
        assert one.traces[name].unit == trace.unit
    ours, theirs = analyse(one), analyse(known)
    for name in known.traces:
        assert ours.channels[name]["vendor"] == theirs.channels[name]["vendor"]
    assert ours.pvs == theirs.pvs


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\r\r\n", "\n\n"], ids=repr)
@pytest.mark.parametrize("behind", ["", "\x1a", "\x00\x00", "\n\n", "\n\nPrinted by nobody\n"])
def test_line_ends_and_what_stands_behind_the_samples_change_nothing(end: str, behind: str) -> None:
    same(read_file((blastware().replace("\n", end) + behind).encode()))


@pytest.mark.parametrize("encoding", ["utf-16-le", "latin-1"])
def test_encodings_without_a_mark_are_distinguished(encoding: str) -> None:
    same(read_file(blastware(header={"Operator": "Jürgen"}).encode(encoding)))


@pytest.mark.parametrize(
    "header",
    [
        {"Sample Rate": "1,024 sps"},
        {"Sample Rate": "1.024 kHz"},
        {"Sample Rate": "1024"},
        {"Sample Rate": "1024.0 Hz"},
        {"Sample Rate": "", "Record Time": "1.75 sec at 1024 sps"},
        {"Pre-trigger Length": "-250 ms"},
        {"Pre-trigger Length": "0,25 s"},
        {"Units": "mm/sec and Pa.(L)"},
        {"Units": "mm/s, dB(L)"},
        {"Trigger": "Vert", "Channel": "Tran", "General:": " Tran, Vert, Long"},
        {"Client:": " Tran\tVert\tLong", "Setup": "x" * 5000},
        {"Tran ZC Freq": ">100 Hz", "Vert ZC Freq": "<1.0 Hz", "Long ZC Freq": "N/A"},
        {"Tran  Test Results": "Failed", "Tran  Test Freq": "N/A", "Tran  Test Ratio": "0.0"},
        {"Geo Range": "31.75 mm/s"},
        {"Geo Range": "1.250 in/s"},
        {"Geo Range": "16 g"},
        {"Geo Range": "N/A"},
        {"Tran PPV": "N/A", "Peak Vector Sum": "OORANGE"},
        {"Event Type": "Full Waveform", "Number of Intervals": "0"},
    ],
    ids=lambda header: "; ".join(f"{name}: {value[:20]}" for name, value in header.items()),
)
def test_a_header_in_another_form_gives_the_same(header: dict[str, str]) -> None:
    same(read_file(blastware(header=header).encode()))


@pytest.mark.parametrize("rate", [512, 1024, 2048, 4096, 8192, 16384, 65536])
@pytest.mark.parametrize("before_s", [0.25, 0.5, 1.0])
def test_every_rate_and_pretrigger_gives_times_from_the_trigger(rate: int, before_s: float) -> None:
    before = round(before_s * rate)
    rows = np.zeros((3, before + 40))
    rows[0, before + 20] = 3.0
    header = {
        "Sample Rate": f"{rate} sps",
        "Pre-trigger Length": f"-{before_s:.3f} sec",
        "Record Time": f"{40 / rate:.3f} sec",
    }
    one = read_file(blastware(rows=rows, header=header).encode()).seismogram
    assert (one.rate_hz, one.pretrigger_samples, one.recorded_samples) == (rate, before, None)
    figure = analyse(one).channels["Tran"]["vendor"]["time_of_peak"]
    assert figure.value == pytest.approx(20 / rate)


def reordered(titles: str, order: tuple[int, ...], delimiter: str, more: str = "") -> bytes:
    head = blastware().partition("\n\n")[0]
    rows = [delimiter.join(printed(row[n]) for n in order) + more for row in ROWS.T]
    return "\n".join([head, "", titles, *rows]).encode()


@pytest.mark.parametrize(
    ("titles", "order", "delimiter", "more"),
    [
        ("Vert\tLong\tTran", (1, 2, 0), "\t", ""),
        ("Long,Vert,Tran", (2, 1, 0), ",", ""),
        ("Tran Vert Long", (0, 1, 2), "   ", ""),
        ("Transverse;Vertical;Longitudinal", (0, 1, 2), ";", ""),
        ("Radial,Vertical,Transverse", (2, 1, 0), ",", ""),
        ("L,V,T", (2, 1, 0), ",", ""),
        ("Tran mm/s,Vert mm/s,Long mm/s", (0, 1, 2), ",", ""),
        ("Tran [mm/s],Vert [mm/s],Long [mm/s]", (0, 1, 2), ",", ""),
        ("Tran1,Vert1,Long1", (0, 1, 2), ",", ""),
        ("Tran,Vert,Long,PVS", (0, 1, 2), ",", ",4.0"),
        ("Tran,Vert,Long,Remark", (0, 1, 2), ",", ",ok"),
        ("Tran,Vert,Long\n\n(mm/s),(mm/s),(mm/s)", (0, 1, 2), ",", ""),
        ("Tran,Vert,Long\n", (0, 1, 2), ",", ""),
    ],
)
def test_columns_may_have_any_order_name_and_neighbour(
    titles: str, order: tuple[int, ...], delimiter: str, more: str
) -> None:
    same(read_file(reordered(titles, order, delimiter, more)))


def cells(text: str, change: Callable[[list[str]], str]) -> bytes:
    """Return a file with each line of its table written anew from its cells."""
    head, body = text.split("\n\n", 1)
    lines = [[cell.strip() for cell in line.split("\t")] for line in body.splitlines()]
    return "\n".join([head, "", *map(change, lines)]).encode()


FORMS: dict[str, Callable[[str], bytes]] = {
    "CRLF": lambda text: text.replace("\n", "\r\n").encode(),
    "UTF-16": lambda text: text.encode("utf-16-le"),
    "Ctrl-Z": lambda text: (text + "\x1a").encode(),
    "decimal commas": lambda text: re.sub(r"(\d)\.(\d)", r"\1,\2", text).encode(),
    "4,096 sps": lambda text: text.replace("4096 sps", "4,096 sps").encode(),
    "another order": lambda text: cells(text, lambda row: "\t".join([row[2], row[0], row[1]])),
    "semicolons": lambda text: cells(text, ";".join),
    "a column more": lambda text: cells(
        text, lambda row: ",".join([*row, "PVS" if row[0] == "Tran" else "9.9"])
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_an_export_of_the_vendor_in_another_form_gives_the_same_results(form: str) -> None:
    text = reference("vectors/blastware_ascii/10m.TXT").read_text("utf-8")
    ours = analyse(read_file(FORMS[form](text)).seismogram)
    known = analyse(read_file(text.encode()).seismogram)
    for name, sets in known.channels.items():
        assert ours.channels[name]["vendor"] == sets["vendor"]
    assert ours.pvs["vendor"] == known.pvs["vendor"]
    assert ours.flags == known.flags


@pytest.mark.parametrize(
    "text",
    [
        '"Event Type : Full Histogram"\n"Interval Size : 1 minute"\nTime\tTran PPV\tHz\n',
        "EventType,Histogram\nDate,Time,TranPPV,VertPPV\n2026-01-01,10:00,0.1,0.2\n",
        '"Histogram Start Time : 10:00"\nTran,Vert,Long\n1,2,3\n',
        '"Number of Intervals : 60 at 1 minute"\nTran,Vert,Long\n1,2,3\n',
    ],
)
def test_a_histogram_is_refused_by_its_name(text: str) -> None:
    with pytest.raises(UnreadableFileError, match="a histogram has peaks of intervals"):
        read_file(text.encode())


def test_a_level_without_the_microphones_name_is_its_level() -> None:
    rows = np.vstack([ROWS, np.round(PA, 3)])
    one = read_file(blastware("mm/s and pa", rows, {"PSPL": "120.0 dB(L)"}).encode()).seismogram
    assert one.traces["MicL"].reported["level"].value == 120.0


@given(st.binary(max_size=400))
def test_bytes_are_read_or_refused(data: bytes) -> None:
    for head in (b"", b"Sample Rate: 1024\nTran,Vert,Long\n", b"Tran\n"):
        try:
            file = read_file(head + data)
        except UnreadableFileError:
            continue
        analyse(file.seismogram)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (">100 Hz", (100.0, "Hz", ">")),
        ("<1.0 Hz", (1.0, "Hz", "<")),
        ("0,915 pa.(L)", (0.915, "Pa", None)),
        ("114.6 dB(L)", (114.6, "dB(L)", None)),
        ("-0.500 sec", (-0.5, "s", None)),
        ("N/A", None),
    ],
)
def test_printed_values(text: str, expected: tuple[float, str, str | None] | None) -> None:
    found = parse_quantity(text)
    assert (None if found is None else (found.value, found.unit, found.bound)) == expected


@given(st.floats(0.002, 0.02), st.lists(st.integers(-1200, 1200), min_size=100, max_size=400))
def test_one_count_is_found_in_rounded_values(count: float, counts: list[int]) -> None:
    counts += list(range(20))
    values = np.round(np.array(counts) * count, 4)
    step = step_of(Column("Tran", "mm/s", values, 4))
    assert step == pytest.approx(count, rel=0.02)


def test_samples_of_zero_beside_a_printed_peak_differ_from_the_unit() -> None:
    if not FIELD.is_dir():
        lack(f"No files of Micromate units in {FIELD}")
    data = (FIELD / "EXEMPLO_COMUNIDADE_DE_TORROES.IDFW.CSV").read_bytes()
    results = analyse(read_file(data).seismogram)
    for channel in ("Tran", "Vert", "Long"):
        ppv = results.channels[channel]["vendor"]["ppv"]
        assert (ppv.value, ppv.step) == (0.0, 0.001)
        assert "differs_from_unit" in ppv.flags
    assert "differs_from_unit" in results.pvs["vendor"].flags


@pytest.mark.parametrize(
    ("name", "channels", "rate"),
    [
        ("EXEMPLO_COMUNIDADE_DE_TORROES.IDFW.CSV", 4, None),
        ("mini-sismograma.csv", 4, 1024.0),
        ("sample-header-units.IDFW.CSV", 4, 1024.0),
    ],
)
def test_files_from_the_field(name: str, channels: int, rate: float | None) -> None:
    if not FIELD.is_dir():
        lack(f"No files of Micromate units in {FIELD}")
    file = read_file((FIELD / name).read_bytes())
    assert len(file.seismogram.traces) == channels
    assert file.seismogram.rate_hz == rate
    assert file.seismogram.traces["Tran"].unit == "mm/s"
    assert file.seismogram.traces["Tran"].reported["zc_frequency"].unit == "Hz"
    assert file.seismogram.traces["MicL"].reported["level"].unit == "dB(L)"
