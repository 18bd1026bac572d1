"""Query, body and answer models of reports and entered facts."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

from sfm.api.schemas.limits import Person
from sfm.api.schemas.reading import ContentQuery, ReadQuery, VerdictOut
from sfm.records.entered_facts import ENTERED_FACTS, checked_fact
from sfm.reports.service import MAX_EVENTS
from sfm.reports.subject import MAX_CURVES
from sfm.reports.wish import Form, Paper, Results, Units, Wish

__all__ = [
    "ChartCurve",
    "ChartOut",
    "DeviceReportQuery",
    "EnteredFactOut",
    "EnteredFactsIn",
    "EnteredFactsOut",
    "PrintedRow",
    "PrintedVerdict",
    "ReportQuery",
    "ReportsIn",
]

Curve = Annotated[str, Field(max_length=64, pattern=r"^[a-z0-9][a-z0-9.-]*$")]


class _Wished(BaseModel):
    """How a report is printed."""

    paper: Annotated[Paper | None, Field(description="Default: SFM_REPORT_PAPER.")] = None
    units: Annotated[Units | None, Field(description="Default: SFM_REPORT_UNITS.")] = None
    curve: Annotated[
        list[Curve],
        Field(
            default_factory=list,
            max_length=MAX_CURVES,
            description="Judge by this limit curve instead of the chosen ones; may be repeated.",
        ),
    ]
    results: Annotated[
        Results | None,
        Field(description="The results that are printed and decide; default: as chosen."),
    ] = None
    printed_at: Annotated[
        AwareDatetime | None,
        Field(
            description="The time that the page gives as its own, ISO 8601 with zone; default: "
            "now. With the same program version the same report is made again, byte for byte."
        ),
    ] = None

    @property
    def wish(self) -> Wish:
        """What the reader asks for."""
        return Wish(
            paper=self.paper,
            units=self.units,
            curves=tuple(self.curve),
            results=self.results,
            printed_at=self.printed_at,
        )


class _Sent(_Wished):
    """How a report is printed and sent."""

    inline: Annotated[
        bool, Field(description="For a browser: show the PDF, instead of saving it.")
    ] = False


class ReportQuery(_Sent, ContentQuery):
    """Of which samples the report of a recording is, and how it is printed."""

    model_config = ConfigDict(extra="forbid")


class DeviceReportQuery(_Sent, ReadQuery):
    """Which unit, how fresh, and how the report is printed."""


class ReportsIn(_Wished):
    """Reports of many recordings, as one file."""

    model_config = ConfigDict(extra="forbid")

    recordings: Annotated[
        list[Annotated[str, Field(pattern="^[0-9a-fA-F]{8,64}$")]],
        Field(min_length=1, max_length=MAX_EVENTS, description="Their ids, in order."),
    ]
    form: Annotated[
        Form,
        Field(description="A ZIP of a PDF for each event, or one PDF of at most 60 pages."),
    ] = "zip"


def _checked(given: dict[str, Any]) -> dict[str, float | str | None]:
    return {name: checked_fact(name, value) for name, value in given.items()}


Facts = Annotated[
    dict[str, float | str | None],
    Field(
        min_length=1,
        max_length=len(ENTERED_FACTS),
        description=f"By name: {', '.join(ENTERED_FACTS)}. null withdraws one.",
    ),
    AfterValidator(_checked),
]


class ChartCurve(BaseModel):
    """A limit curve of the chart."""

    dash: list[str] = Field(description="Lengths of its dashes and gaps, in points; empty: solid.")
    title: str


class PrintedVerdict(VerdictOut):
    """A verdict of the event report, with its printed words in the reader's units of measure."""

    title: str = Field(description="Of the curve.")
    detail: str = Field(description="Peak, frequency, limit and share; or why there is none.")
    source: str = Field(description="Mark and sources of the curve.")
    other: str = Field(description="By the other set of figures, where that disagrees; or empty.")


class PrintedRow(BaseModel):
    """A row of the event report's head."""

    name: str
    value: str


class ChartOut(BaseModel):
    """Peak velocity by frequency under the chosen curves, as in the event report."""

    waveform_key: str
    timestamp: str | None = Field(description="Of the event, by the unit's own clock.")
    svg: str
    alt: str = Field(description="The chart in words.")
    curves: list[ChartCurve]
    note: str = Field(description="What is unusual about the marks; empty: nothing.")
    verdicts: list[PrintedVerdict] = Field(description="By each chosen curve, in their order.")
    no_verdict: str = Field(description="Why there is none, for a person; empty: there is one.")
    instrument: list[PrintedRow] = Field(
        description="Serial number, firmware, battery and calibration, as the report prints them."
    )


class EnteredFactsIn(BaseModel):
    """What a person states about a recording."""

    model_config = ConfigDict(extra="forbid")

    author: Person
    set: Facts


class EnteredFactOut(BaseModel):
    """One fact."""

    model_config = ConfigDict(title="EnteredFact")

    name: str
    value: float | str | None = Field(description="null: withdrawn.")
    by: str = Field(description="Who entered it.")
    at: str = Field(description="When, UTC.")


class EnteredFactsOut(BaseModel):
    """What persons stated about a recording; never mixed with what the unit reported."""

    model_config = ConfigDict(title="EnteredFacts")

    current: list[EnteredFactOut] = Field(description="Those that count, by name.")
    history: list[EnteredFactOut] = Field(description="Every one ever entered, the latest first.")
