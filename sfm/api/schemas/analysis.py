"""Query and answer models of analyses."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from sfm.analysis.units_of_measure import System
from sfm.api.schemas.reading import ContentQuery, ProvenanceOut, ReadQuery

__all__ = [
    "AnalysisOut",
    "ArchivedAnalysisOut",
    "ArchivedAnalysisQuery",
    "ArchivedSpectraOut",
    "DeviceAnalysisOut",
    "DeviceAnalysisQuery",
    "DeviceSpectraOut",
    "FigureOut",
]

Units = Annotated[
    System | None,
    Field(
        description="Units of measure: imperial (in/s, in, psi) or metric (mm/s, mm, Pa); without "
        "it, the recording's own. Accelerations are in g, levels in dB, in both."
    ),
]


class DeviceAnalysisQuery(ReadQuery):
    """Which unit, how fresh, and in which units of measure."""

    units: Units = None


class ArchivedAnalysisQuery(ContentQuery):
    """Which content of a recording, and in which units of measure."""

    units: Units = None


class FigureOut(BaseModel):
    """One result, with what is needed to judge it."""

    model_config = ConfigDict(title="Figure")

    value: float | None = Field(description="null: there is none; flags tell why.")
    unit: str = Field(description="Unit of measure.")
    bound: Literal[">", "<"] | None = Field(
        description="The true value is above (below) the value; without one, above limit."
    )
    step: float | None = Field(description="Resolution: differences below it mean nothing.")
    method: str = Field(description="The rule, with its version.")
    flags: list[str] = Field(description="See the table of flags in the documentation.")
    limit: float | None = Field(
        None, description="Over range: what the motion reached at least; absent otherwise."
    )


class AnalysisOut(BaseModel):
    """Every default quantity of an event, by each rule."""

    version: int = Field(description="Of the methods; it rises when one changes.")
    samples: int = Field(description="Analysed in each channel.")
    recorded_samples: int | None = Field(
        description="Of a record that is not whole: samples that it has; null: it is whole."
    )
    sample_rate_hz: float | None
    channels: dict[str, dict[str, dict[str, FigureOut]]] = Field(
        description="By channel, then by set (vendor, refined, reported, offset, spectrum, "
        "weighted), then by quantity."
    )
    pvs: dict[str, FigureOut] = Field(description="Peak vector sum by set.")
    pvs_time: dict[str, FigureOut]
    flags: list[str] = Field(description="Every flag of a vendor or refined figure, once.")
    notes: list[str] = Field(description="Sentences for a person about the results as a whole.")


class DeviceAnalysisOut(AnalysisOut):
    """The analysis of an event that a unit stores."""

    index: int
    waveform_key: str
    timestamp: str | None = Field(description="By the unit's own clock.")
    provenance: ProvenanceOut


class ArchivedAnalysisOut(AnalysisOut):
    """The analysis of a recording."""

    id: str = Field(description="The recording's public id.")
    serial: str
    waveform_key: str
    timestamp: str | None = Field(description="By the unit's own clock.")
    simulated: bool
    content_hash: str = Field(description="BLAKE2b-256 of the unit's memory of it, hex.")
    decoder: int | None = Field(description="Version of the decoder that read the samples.")


class ChannelSpectrumOut(BaseModel):
    """The Fourier amplitudes of one channel."""

    model_config = ConfigDict(title="ChannelSpectrum")

    unit: str = Field(description="Of the amplitudes; counts while the range is not known.")
    amplitudes: list[float] = Field(
        description="Entry k is at k times resolution_hz, from 0 Hz (the offset) to 250 Hz."
    )
    flags: list[str] = Field(description="See the table of flags in the documentation.")


class SpectraOut(BaseModel):
    """
    Fourier amplitudes of an event: 2|X|/n of the samples as recorded, rectangular window.

    The dominant frequency of each channel is in its analysis, set spectrum.
    """

    samples: int = Field(description="Analysed in each channel.")
    sample_rate_hz: float | None
    resolution_hz: float | None = Field(
        description="1/T, the distance of two entries; null: without a rate there is none."
    )
    channels: dict[str, ChannelSpectrumOut] = Field(description="By channel.")
    waveform_key: str
    timestamp: str | None = Field(description="By the unit's own clock.")


class DeviceSpectraOut(SpectraOut):
    """The spectra of an event that a unit stores."""

    index: int
    provenance: ProvenanceOut


class ArchivedSpectraOut(SpectraOut):
    """The spectra of a recording."""

    id: str = Field(description="The recording's public id.")
    serial: str
    simulated: bool
    content_hash: str = Field(description="BLAKE2b-256 of the unit's memory of it, hex.")
