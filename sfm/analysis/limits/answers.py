"""Curves and values as JSON: what the command line prints and the API returns."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from sfm.analysis.limits.catalogue import Catalogue
from sfm.analysis.limits.curves import Curve, NoLimit, Withheld, limit_at
from sfm.analysis.limits.shapes import Constant, DayNight, Displacement, InverseGuide, Table

__all__ = ["curve_payload", "listed", "value_payload", "wrong_parameters"]


def curve_payload(catalogue: Catalogue, name: str) -> dict[str, Any]:
    """
    Return all that is known of a curve.

    Raises:
        UnknownCurveError: there is none of that name.
    """
    found = catalogue.get(name)
    off = catalogue.why_off(found)
    why = None if off is None else {"code": off.code, "detail": off.detail}
    if isinstance(found, Withheld):
        return {
            "id": found.id,
            "title": found.title,
            "mark": found.mark,
            "usable": False,
            "off": why,
            "shape": None,
        }
    confirmation = catalogue.confirmation_of(found)
    prescribed = found.prescribed
    return {
        "id": found.id,
        "title": found.title,
        "region": found.region,
        "unit": found.unit,
        "applies_to": found.applies_to,
        "mark": found.mark,
        "sources": list(found.sources),
        "dispute": found.dispute,
        "usable": off is None,
        "off": why,
        "confirmed": None if confirmation is None else _confirmed(confirmation._asdict()),
        "parameters": {
            key: None if choices is None else list(choices)
            for key, choices in found.parameters.items()
        },
        "shape": found.entry["shape"],
        "divisors": {key: dict(choices) for key, choices in found.divisors.items()},
        "prescribed": None if prescribed is None else prescribed.text,
        "airblast": found.airblast,
        "notes": list(found.notes),
        "author": found.author,
        "date": found.date,
        "digest": found.digest,
    }


def listed(catalogue: Catalogue, region: str | None) -> list[dict[str, Any]]:
    """Return every curve of a region, or of all; those without values last."""
    names = [*(curve.id for curve in catalogue), *catalogue.shipped.withheld]
    found = [curve_payload(catalogue, name) for name in names]
    return [one for one in found if region is None or one.get("region") == region]


def wrong_parameters(curves: Iterable[Curve], parameters: Mapping[str, str | float]) -> str | None:
    """
    Return what is wrong with the parameters chosen for some curves; ``None``: nothing.

    One that no curve needs is wrong too. The microphone's corner may be missing: it is a field of
    the unit.
    """
    needed: dict[str, list[Curve]] = {}
    for curve in curves:
        for key in curve.parameters:
            needed.setdefault(key, []).append(curve)
    for key, given in parameters.items():
        if key not in needed:
            return f"none of these curves has a parameter {key!r}; they have {_names(needed)}"
        for curve in needed[key]:
            choices = curve.parameters[key]
            is_right = isinstance(given, int | float) if choices is None else given in choices
            if not is_right:
                expected = "a number" if choices is None else f"one of {'; '.join(choices)}"
                return f"{key} of {curve.id} is {expected}, not {given!r}"
    missing = [key for key in needed if key not in parameters and key != "microphone_low_hz"]
    if missing:
        [first, *_] = missing
        choices = needed[first][0].parameters[first]
        expected = "a number" if choices is None else f"one of {'; '.join(choices)}"
        return f"{needed[first][0].id} needs {first}: {expected}"
    return None


def _names(needed: Mapping[str, object]) -> str:
    return ", ".join(needed) or "none"


def _confirmed(confirmation: dict[str, Any]) -> dict[str, Any]:
    return {key: confirmation[key] for key in ("by", "on", "reason")}


def value_payload(
    catalogue: Catalogue, name: str, where: str, parameters: Mapping[str, str]
) -> dict[str, Any]:
    """
    Return the value of a curve, in its own unit of measure, or why there is none.

    Args:
        catalogue: the curves.
        name: of the curve.
        where: the frequency in Hz; of a table its key, such as a distance or a material.
        parameters: others that the curve needs; a factor that divides the value may be left out,
            and then the value is the one that the rule prints.

    Raises:
        UnknownCurveError: there is none of that name.
        ValueError: the frequency or a parameter is not one.
    """
    curve = catalogue.get(name)
    off = catalogue.why_off(curve)
    answer: dict[str, Any] = {"curve": curve.id, "title": curve.title, "mark": curve.mark}
    if isinstance(curve, Withheld):
        assert off is not None
        return answer | {"at": None, "value": None, "unit": None} | _reason(off)
    given: dict[str, str | float] = {
        key: _parameter(curve, key, value) for key, value in parameters.items()
    }
    shape, hz = curve.shape, None
    if isinstance(shape, Table):
        given[shape.key] = _parameter(curve, shape.key, where)
        answer["at"] = {shape.key: given[shape.key]}
    else:
        hz = _frequency(where)
        answer["at"] = {"hz": hz}
    is_base = not set(curve.divisors) & set(given)
    found = off or limit_at(curve, hz, given, is_base=is_base)
    answer |= {"value": None, "unit": curve.unit, "applies_to": curve.applies_to}
    if isinstance(found, NoLimit):
        if isinstance(shape, DayNight) and found.code == "not-a-frequency-curve":
            three = shape.values_of(
                str(given[shape.key]), "night" if given["time"] == "night" else "day"
            )
            answer["values"] = dict(zip(("A_u", "A_o", "A_r"), three, strict=True))
        return answer | _reason(found) | _further(curve, ())
    answer["value"] = found.value
    if isinstance(shape, Displacement):
        answer["velocity"] = {"value": found.compared, "unit": curve.compared_unit}
    if isinstance(shape, Constant) and shape.ceiling is not None:
        answer["ceiling"] = shape.ceiling
    if isinstance(shape, InverseGuide) and hz is not None:
        answer["weight"] = shape.weight_at(str(given["line"]), hz)
    if isinstance(shape, Table) and isinstance(given[shape.key], float):
        charge = shape.charge_lb(float(given[shape.key]))
        if charge is not None:
            answer["charge_lb_per_8_ms"] = charge
    notes = found.notes
    if curve.divisors and is_base:
        names = ", ".join(curve.divisors)
        notes += (f"Before division by {names}, which must be chosen for a verdict.",)
    return answer | {"reason": None, "detail": None} | _further(curve, notes)


def _reason(why: NoLimit) -> dict[str, str]:
    return {"reason": why.code, "detail": why.detail}


def _further(curve: Curve, notes: tuple[str, ...]) -> dict[str, Any]:
    return {
        "sources": list(curve.sources),
        "dispute": curve.dispute,
        "notes": [*notes, *curve.notes],
    }


def _frequency(text: str) -> float:
    """
    Return a frequency in Hz.

    Raises:
        ValueError: it is none.
    """
    try:
        hz = float(text)
    except ValueError:
        hz = math.nan
    if not 0 <= hz < math.inf:
        raise ValueError(f"{text!r} is not a frequency in Hz")
    return hz


def _parameter(curve: Curve, key: str, text: str) -> str | float:
    known = curve.parameters
    if key not in known:
        names = ", ".join(known) or "none"
        raise ValueError(f"{curve.id} has no parameter {key!r}; it has {names}")
    choices = known[key]
    if choices is None:
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not 0 <= number < math.inf:
            raise ValueError(f"{key} of {curve.id} is a number, not {text!r}")
        return number
    if text not in choices:
        raise ValueError(f"{key} of {curve.id} is one of {'; '.join(choices)}, not {text!r}")
    return text
