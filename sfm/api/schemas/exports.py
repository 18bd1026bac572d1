"""Queries of exports."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from sfm.analysis.units_of_measure import System
from sfm.api.schemas.reading import ContentQuery, DeviceTime, ReadQuery
from sfm.exports.event import Style
from sfm.exports.names import Decimal, FormatName
from sfm.exports.service import MAX_EVENTS, Selection
from sfm.store import Wanted
from sfm.store.cursors import Cursor
from sfm.store.errors import BadCursorError

__all__ = ["ArchivedExportQuery", "DeviceExportQuery", "ExportsIn"]


class _FileQuery(BaseModel):
    """In which format, units of measure and form of numbers."""

    format: Annotated[FormatName, Field(description="Of the file.")] = "csv"
    units: Annotated[
        System | None,
        Field(
            description="Units of measure: imperial (in/s, in, psi) or metric (mm/s, mm, Pa); "
            "without it, the recording's own."
        ),
    ] = None
    decimal: Annotated[
        Decimal,
        Field(description="Decimal sign of CSV; with comma, cells are separated by semicolons."),
    ] = "point"

    @property
    def style(self) -> Style:
        """How numbers are written."""
        return Style(units=self.units, decimal=self.decimal)


class ExportsIn(_FileQuery):
    """
    Files of many recordings, as one ZIP.

    Either ``recordings``, or the next 200 that match the other conditions; none is all.
    """

    model_config = ConfigDict(extra="forbid")

    recordings: Annotated[
        list[Annotated[str, Field(pattern="^[0-9a-fA-F]{8,64}$")]] | None,
        Field(min_length=1, max_length=MAX_EVENTS, description="Their ids."),
    ] = None
    serial: Annotated[
        str | None, Field(min_length=1, max_length=64, description="Serial number, whole.")
    ] = None
    since: Annotated[
        DeviceTime | None, Field(description="Unit time, at or after: ISO 8601 without zone.")
    ] = None
    until: Annotated[DeviceTime | None, Field(description="Unit time, before.")] = None
    cursor: Annotated[
        str | None,
        Field(max_length=100, description="next_cursor of the export before; same conditions."),
    ] = None

    @field_validator("cursor")
    @classmethod
    def _is_of_ours(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                Cursor.read(value)
            except BadCursorError as error:
                raise ValueError(str(error)) from None
        return value

    @model_validator(mode="after")
    def _one_selection(self) -> Self:
        conditions = (self.serial, self.since, self.until, self.cursor)
        if self.recordings is not None and any(one is not None for one in conditions):
            raise ValueError("give recordings, or serial, since and until; not both")
        return self

    @property
    def selection(self) -> Selection:
        """Which recordings."""
        wanted = Wanted(serial=self.serial, since=self.since, until=self.until)
        return Selection(recordings=self.recordings, wanted=wanted, cursor=self.cursor)


class DeviceExportQuery(_FileQuery, ReadQuery):
    """Which unit, how fresh, and what kind of file."""


class ArchivedExportQuery(_FileQuery, ContentQuery):
    """Which content of a recording, and what kind of file."""
