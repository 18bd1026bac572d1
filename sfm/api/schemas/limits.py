"""Query, body and answer models of limit curves, confirmations and choices."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from sfm.access.names import LONGEST_NAME

__all__ = [
    "ChoiceIn",
    "ChoiceOut",
    "ChoicesOut",
    "ConfirmationIn",
    "CurveIn",
    "CurveOut",
    "CurvesOut",
    "LimitsQuery",
    "Person",
    "ScopeQuery",
    "ValueOut",
    "ValueQuery",
    "VerdictsOut",
]


def _printable(value: str) -> str:
    if not value.strip() or not value.isprintable():
        raise ValueError("must not be empty and contain only printable characters")
    return value


Person = Annotated[
    str, Field(max_length=100, description="The person's name."), AfterValidator(_printable)
]
Text = Annotated[str, Field(max_length=500), AfterValidator(_printable)]
Number = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Results = Literal["vendor", "refined"]


class _In(BaseModel):
    model_config = ConfigDict(extra="forbid")


class LimitsQuery(_In):
    """Which curves."""

    region: Annotated[
        str | None, Field(max_length=16, description="Only those of a region, as US or DE.")
    ] = None


class ValueQuery(_In):
    """Where on a curve."""

    where: Annotated[
        str,
        Field(
            max_length=100,
            description="Frequency in Hz; of a table its key, such as a distance in ft.",
        ),
    ]
    set: Annotated[
        list[Annotated[str, Field(max_length=200, pattern="^[a-z_]+=.+$")]],
        Field(max_length=16, description="NAME=VALUE: what the curve needs beside it."),
    ] = []


class CurveIn(_In):
    """A curve of a project. Its shape is one value, points or steps."""

    id: Annotated[str, Field(max_length=64, description="3 to 64 letters, digits, dots, hyphens.")]
    title: Text
    unit: Annotated[str, Field(max_length=16, description="mm/s, in/s or dB(L).")]
    applies_to: Annotated[
        str,
        Field(
            max_length=16,
            description="each_axis, largest_axis, vector_sum, vertical, horizontal, microphone.",
        ),
    ]
    shape: dict[str, Any]
    source: Text
    author: Person
    date: date
    notes: Annotated[list[Text], Field(max_length=20)] = []


class ConfirmationIn(_In):
    """A person's statement that a disputed curve may be used."""

    by: Person
    on: Annotated[date | None, Field(description="The day of it; today if not given.")] = None
    reason: Annotated[
        Text | None, Field(description="What convinced the person, such as the page that was read.")
    ] = None


class ScopeQuery(_In):
    """Of a location or of a project; of all units if neither is given."""

    location: Annotated[
        str | None, Field(max_length=LONGEST_NAME, description="A location's name.")
    ] = None
    project: Annotated[
        Text | None, Field(max_length=100, description="A project, in whatever case.")
    ] = None

    @model_validator(mode="after")
    def _one_scope(self) -> ScopeQuery:
        if self.location is not None and self.project is not None:
            raise ValueError("give one of location and project, or neither for all units")
        return self


class ChoiceIn(ScopeQuery):
    """Which curves count at a location, for a project, or for all units."""

    curves: Annotated[list[Annotated[str, Field(max_length=64)]], Field(min_length=1, max_length=8)]
    results: Annotated[Results, Field(description="Which figures are judged.")] = "vendor"
    parameters: Annotated[
        dict[Annotated[str, Field(max_length=32)], Number | Annotated[str, Field(max_length=100)]],
        Field(
            max_length=16,
            description="What the curves need beside the frequency, such as distance_ft.",
        ),
    ] = {}


class ChoiceOut(BaseModel):
    """A choice."""

    scope: Literal["location", "project", "default"]
    location: str | None
    project: str | None
    curves: list[str]
    results: Results
    parameters: dict[str, float | str]
    chosen_by: str
    chosen_at: str = Field(description="UTC.")


class ChoicesOut(BaseModel):
    """Every choice, and the region setting's curves, which count where nobody chose."""

    choices: list[ChoiceOut]
    region: str | None
    region_curves: list[str]
    damaged: list[str] = Field(description="Stored rows that do not match their hash.")


class Why(BaseModel):
    """Why a curve is not in use, or has no value."""

    code: str
    detail: str


class Confirmed(BaseModel):
    """Who confirmed a disputed curve."""

    by: str
    on: str
    reason: str | None


class CurveOut(BaseModel):
    """A curve; of a rule without values only id, title, mark and the reason."""

    id: str
    title: str
    mark: Literal["primary", "secondary", "disputed", "own", "unread"]
    usable: bool
    off: Why | None
    shape: dict[str, Any] | None
    region: str | None = None
    unit: str | None = None
    applies_to: str | None = None
    sources: list[str] = []
    dispute: str | None = None
    confirmed: Confirmed | None = None
    parameters: dict[str, list[str] | None] = {}
    divisors: dict[str, dict[str, float]] = {}
    prescribed: str | None = None
    airblast: str | None = None
    notes: list[str] = []
    author: str | None = None
    date: str | None = None
    digest: str | None = None


class CurvesOut(BaseModel):
    """Curves: the program's own, those of projects, and rules without values."""

    curves: list[CurveOut]


class FigureOut(BaseModel):
    """A result with unit of measure, resolution, method and flags (docs/reference/analysis.md)."""

    value: float | None
    unit: str
    bound: Literal[">", "<"] | None
    step: float | None
    method: str
    flags: list[str]
    limit: float | None = None


class OneVerdictOut(BaseModel):
    """By one set of figures."""

    outcome: Literal["complies", "exceeds", "no_verdict"]
    results: Literal["vendor", "refined", "peaks"] = Field(
        description="peaks: by those that the unit stores, without frequencies."
    )
    share_percent: float | None
    bound: Literal[">"] | None = Field(description="'>': the share is at least that.")
    margin_percent: float | None = Field(description="Of the limit; negative: above it.")
    channel: str | None
    peak: FigureOut | None
    frequency: FigureOut | None
    limit: float | None
    unit: str | None
    reason: Why | None = Field(description="Why there is no verdict.")
    statements: list[str]


class CurveVerdictOut(OneVerdictOut):
    """By one curve."""

    curve: str
    title: str
    mark: str
    sources: list[str]
    dispute: str | None
    other: OneVerdictOut | None = Field(
        description="By the other set of figures, where that disagrees."
    )


class VerdictsOut(BaseModel):
    """The verdicts on a recording."""

    id: str
    serial: str
    timestamp: str | None
    simulated: bool
    chosen_by: Literal["location", "project", "default", "region"] | None
    results: Results
    parameters: dict[str, float | str]
    verdicts: list[CurveVerdictOut]
    no_verdict: Why | None = Field(description="Why no curve is judged.")


class Velocity(BaseModel):
    """A limit as a velocity."""

    value: float
    unit: str


class ValueOut(BaseModel):
    """What a curve allows, in its own unit of measure, or why it has no value there."""

    curve: str
    title: str
    mark: str
    at: dict[str, float | str] | None
    value: float | None
    unit: str | None
    reason: str | None = Field(description="A stable code; null: there is a value.")
    detail: str | None
    applies_to: str | None = None
    sources: list[str] = []
    dispute: str | None = None
    notes: list[str] = []
    velocity: Velocity | None = None
    values: dict[str, float] | None = None
    ceiling: float | None = None
    weight: float | None = None
    charge_lb_per_8_ms: float | None = None
