"""
Which limit curves are judged for an event: by location, project, for all, or by the region setting.

The nearest choice counts: that of the location where the unit stood when it recorded the event,
then that of the project, then the one for all units, then the region's. Where nobody chose and no
region is set, there is no verdict, and the answer has that reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, NamedTuple

from sfm.access.names import folded
from sfm.analysis.limits import load_shipped
from sfm.analysis.verdicts import Reason
from sfm.records.roster import Place, Roster

__all__ = ["DEFAULT", "Choice", "ChosenBy", "LimitChoices", "Scope", "Selection", "region_curves"]

Scope = Literal["location", "project", "default"]
ChosenBy = Literal["location", "project", "default", "region"]
DEFAULT: Scope = "default"
NEVER_SET_BEFORE_YEAR = 2000
"""A unit whose clock was never set starts in 1995: its times do not show where it stood."""
MICROPHONE_LOW_HZ = "microphone_low_hz"


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What a person chose for a location, a project or all units."""

    id: int
    location_id: int | None = None
    project: str | None = None
    """As written; compared without regard to case."""
    curves: tuple[str, ...]
    results: Literal["vendor", "refined"] = "vendor"
    parameters: Mapping[str, str | float] = field(default_factory=dict)
    """What the curves need beside the frequency, such as ``distance_ft``."""
    chosen_by: str
    chosen_at: str

    @property
    def scope(self) -> Scope:
        """What it is for."""
        if self.location_id is not None:
            return "location"
        return DEFAULT if self.project is None else "project"


class Selection(NamedTuple):
    """The curves of one event, and who chose them."""

    curves: tuple[str, ...]
    results: Literal["vendor", "refined"]
    parameters: Mapping[str, str | float]
    by: ChosenBy | None
    reason: Reason | None = None
    """Why there is no curve."""


def region_curves(name: str | None) -> tuple[str, tuple[str, ...]] | None:
    """Return a region's name and its curves; ``None``: no region is set."""
    return None if name is None else (name, load_shipped().regions[name])


class LimitChoices:
    """
    Every choice; immutable.

    Args:
        choices: of people.
        region: the region's name, and its curves; ``None``: the setting names none.
        damaged: stored choices, curves and confirmations that cannot be trusted, as sentences.
            Then no event is judged: by which of them it was to be judged is not known any more.
    """

    def __init__(
        self,
        choices: Iterable[Choice] = (),
        region: tuple[str, tuple[str, ...]] | None = None,
        damaged: tuple[str, ...] = (),
    ) -> None:
        self.damaged = damaged
        self.choices = tuple(choices)
        self.region = region
        self._of_location = {c.location_id: c for c in self.choices if c.scope == "location"}
        self._of_project = {folded(c.project): c for c in self.choices if c.project is not None}
        self._default = next((c for c in self.choices if c.scope == DEFAULT), None)

    def select(
        self, roster: Roster, serial: str | None, device_time: str | None, project: str | None
    ) -> Selection:
        """
        Return the curves of an event.

        Args:
            roster: where the units stood, and their microphones' corners.
            serial: of the unit.
            device_time: of the event by the unit's clock, ISO 8601.
            project: the one that the unit stored with the event.
        """
        if self.damaged:
            return Selection(
                (),
                "vendor",
                {},
                None,
                Reason(
                    "limits-damaged",
                    f"stored limits are damaged ({self.damaged[0]}), so that nothing is judged; "
                    "see seismo-relay db check, and restore a backup",
                ),
            )
        unit = None if serial is None else roster.units.get(serial)
        low_hz = None if unit is None else unit.microphone_low_hz
        known = {} if low_hz is None else {MICROPHONE_LOW_HZ: low_hz}
        stays = [] if serial is None else _stays(roster, serial, device_time)
        found = [self._nearest(roster, stay.location_id, project) for stay in stays]
        found = found or [self._nearest(roster, None, project)]
        if any(one is not found[0] for one in found):
            when = device_time or "an unknown time"
            return Selection(
                (),
                "vendor",
                {},
                None,
                Reason(
                    "place-unknown",
                    f"the event's time, {when}, does not show at which of its locations the unit "
                    "stood, and different limits are chosen for them",
                ),
            )
        [choice] = found[:1]
        if choice is not None:
            parameters = {**known, **choice.parameters}
            return Selection(choice.curves, choice.results, parameters, choice.scope)
        if self.region is not None:
            return Selection(self.region[1], "vendor", known, "region")
        return Selection(
            (),
            "vendor",
            {},
            None,
            Reason(
                "no-curve-chosen",
                "no limit curve is chosen for this event; seismo-relay limits choose CURVE "
                "--location NAME, or set SFM_REGION",
            ),
        )

    def _nearest(
        self, roster: Roster, location_id: int | None, project: str | None
    ) -> Choice | None:
        location = None if location_id is None else roster.locations.get(location_id)
        if location is not None and location.id in self._of_location:
            return self._of_location[location.id]
        named = project if location is None or location.project is None else location.project
        if named is not None and folded(named) in self._of_project:
            return self._of_project[folded(named)]
        return self._default


def _stays(roster: Roster, serial: str, device_time: str | None) -> list[Place]:
    """Return the stay at a time, or all of them where the time does not show which."""
    try:
        at = None if device_time is None else datetime.fromisoformat(device_time)
    except ValueError:
        at = None
    if at is None or at.year < NEVER_SET_BEFORE_YEAR:
        return roster.places_of(serial)
    place = roster.place_at(serial, at)
    return [] if place is None else [place]
