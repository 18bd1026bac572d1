"""
Whether a report or a ``record.csv`` has the samples that an archive has.

The samples are read back from the column of counts, and their hash is computed as the archive does:
BLAKE2b-256 over all counts, int16 little-endian, channel after channel, 0 where none is valid. The
physical values must be those of the counts. Nothing else of the page is looked at.
"""

from __future__ import annotations

import csv
import io
import json
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minimateplus.model import CHANNELS
from sfm.records.digests import digest
from sfm.reports.attached import RECORD, RESULT
from sfm.reports.errors import ReportError

__all__ = ["MAX_BYTES", "Record", "difference", "fault_of", "read_record", "read_records"]

MAX_BYTES = 256 * 1024 * 1024
"""Of a file; the longest record is a tenth of that."""
_SCALE = re.compile(r"(\w+) ([0-9.e+-]+) (\S+) a count")
_HEX = re.compile(r"[0-9a-f]{8,64}")
COLUMNS = 1 + 2 * len(CHANNELS)
TOLERANCE = 0.02
"""How far a physical value may be from its count, in counts: it is rounded to some digits."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Record:
    """The samples of a file, and what it states of them."""

    counts: NDArray[np.int16]
    """Shape (4, n); 0 where a cell is empty."""
    values: NDArray[np.float64]
    """Shape (4, n), in the file's units of measure; NaN where a cell is empty."""
    notes: Mapping[str, str]
    """The lines that begin with ``#``, by their names."""
    result: Mapping[str, Any] | None
    """``result.json`` of a PDF."""

    @property
    def counts_hash(self) -> str:
        """The hash of the counts, as the archive computes it."""
        return digest(np.ascontiguousarray(self.counts, dtype="<i2").tobytes()).hex()

    @property
    def stated_hash(self) -> str | None:
        """The hash that the file states."""
        return _hex_of(self.notes.get("Counts hash"))

    @property
    def recording_id(self) -> str | None:
        """The recording that the file says it is of; ``None``: of none in an archive."""
        return _hex_of(self.notes.get("Recording"))

    @property
    def image_hash(self) -> str | None:
        """The hash of the unit's memory from which the samples were decoded, if it is stated."""
        return _hex_of(self.notes.get("Image hash"))


def _hex_of(text: str | None) -> str | None:
    found = None if text is None else _HEX.match(text)
    return None if found is None else found[0]


def read_records(data: bytes) -> dict[str, Record]:
    """
    Return the records of a report by the names of their files, or that of a ``record.csv``.

    Raises:
        ReportError: it has none, or it cannot be read.
    """
    if len(data) > MAX_BYTES:
        raise ReportError(f"{len(data):,} bytes are no report and no record")
    if not data.startswith(b"%PDF-"):
        return {RECORD: _read_csv(data, None)}
    attached = _attached(data)
    names = sorted(name for name in attached if name.endswith(RECORD))
    if not names:
        raise ReportError(f"this PDF has no {RECORD} attached: it is no report of seismo-relay")
    found = {}
    for name in names:
        beside = attached.get(name.removesuffix(RECORD) + RESULT)
        try:
            result = None if beside is None else json.loads(beside)
        except (ValueError, RecursionError) as error:
            raise ReportError(f"the attached {RESULT} cannot be read: {error}") from error
        found[name] = _read_csv(attached[name], result if isinstance(result, dict) else None)
    return found


def read_record(data: bytes) -> Record:
    """
    Return the record of a report of one event, or of a ``record.csv``.

    Raises:
        ReportError: as ``read_records``; or there are several.
    """
    found = read_records(data)
    if len(found) > 1:
        raise ReportError(f"this PDF has the reports of {len(found)} events")
    return next(iter(found.values()))


def _attached(data: bytes) -> dict[str, bytes]:
    try:
        import pypdf
    except ImportError:
        raise ReportError(
            "reading a PDF needs the extra report: pip install 'seismo-relay[report]'"
        ) from None
    # What is wrong is in the error; its own lines would stand beside ours.
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)
    try:
        reader = pypdf.PdfReader(io.BytesIO(data))
        return {name: files[0] for name, files in reader.attachments.items() if files}
    except Exception as error:  # whatever a damaged or hostile file makes of it
        raise ReportError(f"this PDF cannot be read: {error}") from error


def _read_csv(data: bytes, result: Mapping[str, Any] | None) -> Record:
    try:
        lines = data.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ReportError("this is no PDF and no CSV") from error
    notes: dict[str, str] = {}
    table = next((at for at, line in enumerate(lines) if not line.startswith("#")), len(lines))
    for line in lines[:table]:
        name, _, value = line.removeprefix("#").strip().partition(": ")
        notes.setdefault(name, value)
    titles = lines[table] if table < len(lines) else ""
    wanted = [f"{channel} counts" for channel in CHANNELS]
    read = {mark: next(csv.reader([titles], delimiter=mark), []) for mark in ",;"}
    delimiter = next((mark for mark, names in read.items() if len(names) == COLUMNS), None)
    if delimiter is None or read[delimiter][-len(CHANNELS) :] != wanted:
        raise ReportError(f"the columns {', '.join(wanted)} are missing")
    rows = lines[table + 1 :]
    counts = np.zeros((len(CHANNELS), len(rows)), np.int16)
    values = np.full((len(CHANNELS), len(rows)), np.nan)
    for at, row in enumerate(rows):
        cells = row.split(delimiter)
        try:
            _, *given = cells
            for channel in range(len(CHANNELS)):
                value, count = given[channel], given[len(CHANNELS) + channel]
                if count:
                    counts[channel, at] = int(count)
                if value:
                    values[channel, at] = float(value.replace(",", "."))
            if len(given) != 2 * len(CHANNELS):
                raise ValueError(f"{len(cells)} cells")
        except (ValueError, IndexError, OverflowError) as error:
            raise ReportError(f"line {table + 2 + at} cannot be read: {error}") from error
    return Record(counts=counts, values=values, notes=notes, result=result)


def fault_of(record: Record) -> str | None:
    """Return in what a file contradicts itself, as part of a sentence; ``None``: in nothing."""
    if record.counts_hash != record.stated_hash:
        return (
            f"its counts have the hash {record.counts_hash[:16]}…, and it states "
            f"{(record.stated_hash or 'none')[:16]}…"
        )
    recording = (record.result or {}).get("recording")
    if record.result is not None:
        stated = recording if isinstance(recording, dict) else {}
        if stated.get("counts_hash") != record.counts_hash:
            return f"the hash in {RESULT} is another one than that of the counts in {RECORD}"
        if stated.get("id") != record.recording_id:
            return f"{RESULT} and {RECORD} name different recordings"
    return _wrong_value(record)


def _wrong_value(record: Record) -> str | None:
    """Return the first physical value that is not that of its count."""
    scales = {
        name: float(scale) for name, scale, _ in _SCALE.findall(record.notes.get("Scale", ""))
    }
    for row, name in enumerate(CHANNELS):
        scale = scales.get(name, 1.0)
        values, counts = record.values[row], record.counts[row].astype(np.float64)
        with np.errstate(invalid="ignore"):
            wrong = np.abs(values - counts * scale) > TOLERANCE * scale
        wrong |= np.isnan(values) & (counts != 0)
        if wrong.any():
            at = int(wrong.argmax())
            return (
                f"sample {at} of {name} is {values[at]:g}, and its count {counts[at]:.0f} means "
                f"{counts[at] * scale:g}"
            )
    return None


def difference(record: Record, archived: NDArray[np.int16]) -> str | None:
    """
    Return where samples differ from an archive's, as part of a sentence; ``None``: nowhere.

    Args:
        record: of the file.
        archived: counts of the same recording, shape (4, n).
    """
    mine = record.counts
    common = min(mine.shape[1], archived.shape[1])
    unlike = mine[:, :common] != archived[:, :common]
    if unlike.any():
        at = int(unlike.any(axis=0).argmax())
        name = CHANNELS[int(unlike[:, at].argmax())]
        return f"sample {at} of {name}"
    if mine.shape[1] != archived.shape[1]:
        return f"it has {mine.shape[1]:,} samples a channel, the archive {archived.shape[1]:,}"
    return None
