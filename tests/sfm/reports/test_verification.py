from __future__ import annotations

import json
import logging
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kit.exported_events import exported_events
from kit.report_subjects import A4_MM, OPTIONS, subjects

from sfm.exports.event import ExportedEvent, Style
from sfm.exports.tidy_csv import csv_bytes
from sfm.records.payloads import counts_of
from sfm.reports.errors import ReportError
from sfm.reports.typesetting import event_report
from sfm.reports.verification import Record, difference, fault_of, read_record

EVENT = subjects()["two curves"].event
REPORT = event_report(subjects()["two curves"], OPTIONS)


def changed(data: bytes, line_end: bytes, to: bytes) -> Record:
    """A record in which one place was changed by hand."""
    assert data.count(line_end) >= 1
    return read_record(data.replace(line_end, to, 1))


@settings(max_examples=60)
@given(
    exported_events(),
    st.sampled_from([None, "imperial", "metric"]),
    st.sampled_from(["point", "comma"]),
)
def test_every_record_that_is_written_agrees_with_itself(
    event: ExportedEvent, units: str | None, decimal: str
) -> None:
    record = read_record(csv_bytes(event, Style(units=units, decimal=decimal)))  # type: ignore[arg-type]
    assert fault_of(record) is None
    assert record.counts_hash == event.counts_hash
    assert difference(record, counts_of(event.payload)) is None


@pytest.mark.parametrize("case", list(subjects()))
def test_a_report_has_the_record_of_its_event(case: str) -> None:
    subject = subjects()[case]
    for options in (OPTIONS, A4_MM):
        record = read_record(event_report(subject, options))
        assert fault_of(record) is None
        assert record.recording_id == subject.event.recording_id
        assert record.image_hash == subject.event.image_hash
        assert difference(record, counts_of(subject.event.payload)) is None


def test_another_count_is_found_by_sample_and_channel() -> None:
    archived = counts_of(EVENT.payload).copy()
    archived[1, 512] += 1
    archived[3, 600] += 1
    record = read_record(csv_bytes(EVENT))
    assert difference(record, archived) == "sample 512 of Vert"


def test_another_length_is_found() -> None:
    record = read_record(csv_bytes(EVENT))
    assert difference(record, counts_of(EVENT.payload)[:, :-1]) == (
        "it has 1,280 samples a channel, the archive 1,279"
    )


def row_of(data: bytes, sample: int) -> tuple[bytes, list[bytes]]:
    lines = data.split(b"\r\n")
    first = next(at for at, line in enumerate(lines) if line.startswith(b"time"))
    line = lines[first + 1 + sample]
    return line, line.split(b",")


def test_a_changed_count_contradicts_the_stated_hash() -> None:
    data = csv_bytes(EVENT)
    line, cells = row_of(data, 512)
    cells[6] = str(int(cells[6]) + 1).encode()
    fault = fault_of(changed(data, line, b",".join(cells)))
    assert fault is not None
    assert "its counts have the hash" in fault


def test_a_changed_physical_value_contradicts_its_count() -> None:
    data = csv_bytes(EVENT)
    line, cells = row_of(data, 512)
    cells[2] = b"9.5"
    fault = fault_of(changed(data, line, b",".join(cells)))
    assert fault is not None
    assert fault.startswith("sample 512 of Vert is 9.5, and its count")


def test_a_changed_count_with_its_hash_made_anew_is_found_by_the_archive_alone() -> None:
    counts = counts_of(EVENT.payload).copy()
    counts[2, 700] += 40
    forged = replace(EVENT, payload={**EVENT.payload, "counts": counts.tobytes()})
    record = read_record(csv_bytes(forged))
    assert fault_of(record) is None
    assert difference(record, counts_of(EVENT.payload)) == "sample 700 of Long"


def test_result_and_record_of_two_events_contradict_each_other() -> None:
    record = read_record(event_report(subjects()["two curves"], OPTIONS))
    assert record.result is not None
    other = json.loads(json.dumps(record.result))
    other["recording"]["counts_hash"] = "00" * 32
    fault = fault_of(replace(record, result=other))
    assert fault is not None
    assert "result.json" in fault
    other["recording"] |= {"counts_hash": record.counts_hash, "id": "11" * 32}
    assert fault_of(replace(record, result=other)) == (
        "result.json and record.csv name different recordings"
    )


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"%PDF-1.7",
        b"%PDF-1.7\n" + b"<< /Type /Catalog >>" * 50,
        b"\xff\xfe\x00",
        b"# Serial number: x\r\n",
        b"time (s),Tran counts,Vert counts,Long counts,MicL counts\r\n0,1,2,3,4\r\n",
        csv_bytes(EVENT)[:-7],
        csv_bytes(EVENT).replace(b",", b",x", 1) + b"1,2\r\n",
    ],
    ids=["empty", "head", "pdf", "binary", "no-table", "no-values", "cut", "short-row"],
)
def test_what_is_no_record_is_refused_in_a_sentence(data: bytes) -> None:
    with pytest.raises(ReportError):
        read_record(data)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_a_damaged_report_is_refused_or_read_and_nothing_else(data: st.DataObject) -> None:
    pdf = bytearray(REPORT)
    for _ in range(data.draw(st.integers(1, 5))):
        pdf[data.draw(st.integers(0, len(pdf) - 1))] = data.draw(st.integers(0, 255))
    try:
        record = read_record(bytes(pdf[: data.draw(st.integers(1, len(pdf)))]))
    except ReportError:
        return
    assert isinstance(record.counts, np.ndarray)
    fault_of(record)


@pytest.mark.parametrize("data", [b"%PDF-1.7\n", b"%PDF-1.7\n" + b"x" * 5000])
def test_a_cut_pdf_is_one_error_and_no_line_of_the_reader(
    data: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    logging.getLogger("pypdf").setLevel(logging.NOTSET)
    with pytest.raises(ReportError, match="this PDF cannot be read"):
        read_record(data)
    assert caplog.records == []
