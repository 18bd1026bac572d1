"""
All curves that can be chosen: the program's own, those of projects, and which are confirmed.

A catalogue is a value: the store makes one of its rows (``sfm.store.limits``), and a command
without a database has the program's curves alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from sfm.analysis.limits.curves import Curve, NoLimit, Withheld
from sfm.analysis.limits.loader import Shipped, load_shipped
from sfm.errors import SfmError

__all__ = ["Catalogue", "Confirmation", "UnknownCurveError"]


class UnknownCurveError(SfmError):
    """No curve has that name."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"there is no limit curve {name!r}; `seismo-relay limits list` and GET /limits have "
            "them all"
        )


class Confirmation(NamedTuple):
    """A person's statement that a disputed curve may be used."""

    curve: str
    digest: str
    """Of the curve's content that the person saw."""
    by: str
    on: str
    """ISO 8601, a date."""
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The curves of one relay."""

    shipped: Shipped = field(default_factory=load_shipped)
    own: Mapping[str, Curve] = field(default_factory=dict)
    confirmations: Mapping[str, Confirmation] = field(default_factory=dict)
    """By curve: the last one."""

    @classmethod
    def of(cls, own: Iterable[Curve], confirmations: Iterable[Confirmation]) -> Catalogue:
        """Return a catalogue; of several confirmations of one curve the last counts."""
        return cls(
            load_shipped(),
            {curve.id: curve for curve in own},
            {each.curve: each for each in confirmations},
        )

    def __iter__(self) -> Iterator[Curve]:
        yield from self.shipped.curves.values()
        yield from self.own.values()

    @property
    def names(self) -> set[str]:
        """Every name that a new curve must not have."""
        return {*self.shipped.curves, *self.shipped.withheld, *self.own}

    def get(self, name: str) -> Curve | Withheld:
        """
        Return a curve, or a rule without values.

        Raises:
            UnknownCurveError: there is none of that name.
        """
        found = (
            self.shipped.curves.get(name) or self.own.get(name) or self.shipped.withheld.get(name)
        )
        if found is None:
            raise UnknownCurveError(name)
        return found

    def confirmation_of(self, curve: Curve) -> Confirmation | None:
        """Return the confirmation of a disputed curve's present content."""
        found = self.confirmations.get(curve.id)
        return found if found is not None and found.digest == curve.digest else None

    def why_off(self, curve: Curve | Withheld) -> NoLimit | None:
        """Return why a curve must not be used; ``None``: it may."""
        if isinstance(curve, Withheld):
            return NoLimit(
                curve.mark if curve.mark in ("unread", "disputed") else "reference",
                f"{curve.id} has no values here: {curve.why}",
            )
        if curve.mark != "disputed" or self.confirmation_of(curve) is not None:
            return None
        return NoLimit(
            "disputed",
            f"{curve.id} is switched off, because its sources contradict one another: "
            f"{curve.dispute} A named person can confirm it: seismo-relay limits confirm "
            f"{curve.id} --by NAME",
        )

    def is_usable(self, name: str) -> bool:
        """Whether a curve of that name may be used for a verdict."""
        found = self.get(name)
        return isinstance(found, Curve) and self.why_off(found) is None
