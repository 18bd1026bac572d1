"""The formats in which events are exported: one table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sfm.exports.blastware_ascii import blastware_bytes
from sfm.exports.errors import ExportError
from sfm.exports.event import ExportedEvent, Style, file_name
from sfm.exports.event_json import json_bytes
from sfm.exports.names import FormatName
from sfm.exports.parquet import parquet_bytes
from sfm.exports.tidy_csv import csv_bytes

__all__ = ["FORMATS", "ExportedFile", "Format", "check_style", "exported_file"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """One format."""

    name: FormatName
    title: str
    media_type: str
    ending: str
    write: Callable[[ExportedEvent, Style], bytes]
    extra: str | None = None
    """The extra that its writer needs; ``None``: none."""
    has_decimal_sign: bool = False
    """Whether it can be written with decimal commas."""


FORMATS: dict[str, Format] = {
    one.name: one
    for one in (
        Format(
            name="csv",
            title="CSV",
            media_type="text/csv; charset=utf-8",
            ending="csv",
            write=csv_bytes,
            has_decimal_sign=True,
        ),
        Format(
            name="blastware",
            title="Blastware ASCII",
            media_type="text/plain; charset=windows-1252",
            ending="TXT",
            write=blastware_bytes,
        ),
        Format(
            name="json",
            title="JSON",
            media_type="application/json",
            ending="json",
            write=json_bytes,
        ),
        Format(
            name="parquet",
            title="Parquet",
            media_type="application/vnd.apache.parquet",
            ending="parquet",
            write=parquet_bytes,
            extra="parquet",
        ),
    )
}
"""By name."""


@dataclass(frozen=True, slots=True)
class ExportedFile:
    """One event in one format, with the name that its file has."""

    name: str
    media_type: str
    data: bytes
    is_simulated: bool


def check_style(format_name: str, style: Style) -> None:
    """
    Return if a format can be written in a style.

    Raises:
        ExportError: it has no decimal commas.
    """
    chosen = FORMATS[format_name]
    if style.decimal == "comma" and not chosen.has_decimal_sign:
        with_commas = ", ".join(one.name for one in FORMATS.values() if one.has_decimal_sign)
        raise ExportError(f"{chosen.title} has no decimal commas; formats that do: {with_commas}")


def exported_file(event: ExportedEvent, format_name: str, style: Style) -> ExportedFile:
    """
    Return an event in a format.

    Raises:
        ExportError: the format has no decimal commas, cannot say what is known of the event, or
            needs a package that is not installed.
    """
    check_style(format_name, style)
    chosen = FORMATS[format_name]
    name = file_name(
        event.payload, chosen.ending, serial=event.serial, is_simulated=event.is_simulated
    )
    return ExportedFile(name, chosen.media_type, chosen.write(event, style), event.is_simulated)
