"""
Reader of limit files: strict about the schema, marks and sources.

Every member is known or the file is refused; a curve without a mark, with a source that is not
named, or of a rule that nobody has read, is refused as well. Errors name the curve and the member.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import date
from functools import lru_cache
from hashlib import blake2b
from importlib.resources import files
from itertools import pairwise
from typing import Any, NamedTuple, cast

import yaml

from sfm.analysis.limits.curves import (
    COMPONENTS,
    SOUND_UNITS,
    Curve,
    Mark,
    Prescribed,
    Withheld,
)
from sfm.analysis.limits.shapes import (
    Band,
    Constant,
    DayNight,
    DayNightRow,
    Displacement,
    InverseGuide,
    Points,
    Ri8507,
    Row,
    Shape,
    Steps,
    Table,
    Vertex,
    Weighting,
)
from sfm.errors import SfmError

__all__ = ["LimitsError", "Shipped", "load_shipped", "parse_own", "parse_shipped", "read_yaml"]

SCHEMA = 1
MARKS: tuple[Mark, ...] = ("primary", "secondary", "disputed")
VELOCITY_UNITS = ("mm/s", "in/s")
UNITS = (*VELOCITY_UNITS, "in", "KB", *SOUND_UNITS)
OWN_UNITS = (*VELOCITY_UNITS, "dB(L)")
OWN_KINDS = ("constant", "points", "steps")
MAX_TEXT = 500
MAX_POINTS = 200
ID = re.compile(r"[a-z0-9][a-z0-9.-]{1,62}[a-z0-9]")
Entry = Mapping[str, Any]


class LimitsError(SfmError):
    """A file of limits, or a curve, is not as it must be."""


class Shipped(NamedTuple):
    """What a limits file contains."""

    curves: dict[str, Curve]
    withheld: dict[str, Withheld]
    regions: dict[str, tuple[str, ...]]
    """By region: the curves that are judged where nobody chose any."""
    checks: dict[str, tuple[tuple[Any, ...], ...]]
    """By curve: frequency or key, and the value there."""


@lru_cache(maxsize=1)
def load_shipped() -> Shipped:
    """Return this program's own limits."""
    text = files("sfm.analysis.limits").joinpath("limits.yaml").read_text("utf-8")
    return parse_shipped(text)


def parse_shipped(text: str) -> Shipped:
    """
    Return the limits of a file's text.

    Raises:
        LimitsError: it is not YAML, a member is missing, unknown or wrong.
    """
    top = _mapping(read_yaml(text), "the file")
    _members(top, "the file", {"schema", "sources", "curves", "withheld", "regions"})
    if top["schema"] != SCHEMA:
        raise LimitsError(f"the file has schema {top['schema']!r}; this program reads {SCHEMA}")
    sources = {
        name: _text(value, f"source {name}")
        for name, value in _mapping(top["sources"], "sources").items()
    }
    entries = [_mapping(each, "a curve") for each in _list(top["curves"], "curves")]
    withheld = [_withheld(each) for each in _list(top["withheld"], "withheld")]
    curves: dict[str, Curve] = {}
    checks: dict[str, tuple[tuple[Any, ...], ...]] = {}
    for entry in entries:
        curve, points = _shipped_curve(entry, sources, curves)
        if curve.id in curves or curve.id in {each.id for each in withheld}:
            raise LimitsError(f"{curve.id} occurs twice")
        curves[curve.id], checks[curve.id] = curve, points
    if len({each.id for each in withheld}) < len(withheld):
        raise LimitsError("an entry of withheld occurs twice")
    for curve in curves.values():
        if curve.airblast is not None:
            beside = curves.get(curve.airblast)
            if beside is None or beside.applies_to != "microphone":
                raise LimitsError(f"{curve.id}: airblast names {curve.airblast}, not such a curve")
    regions = {
        name: tuple(_known(each, curves, f"region {name}") for each in _list(ids, name))
        for name, ids in _mapping(top["regions"], "regions").items()
    }
    return Shipped(curves, {each.id: each for each in withheld}, regions, checks)


def parse_own(entry: object, taken: Iterable[str] = ()) -> Curve:
    """
    Return a curve that a project wrote: with its source, author and date.

    Args:
        entry: of ``read_yaml``, or of a JSON body.
        taken: names that it must not have.

    Raises:
        LimitsError: a member is missing, unknown or wrong, or the name is taken.
    """
    given = _mapping(entry, "the curve")
    name = _id(given)
    _members(
        given,
        name,
        {"id", "title", "unit", "applies_to", "shape", "source", "author", "date"},
        {"notes"},
    )
    if name in set(taken):
        raise LimitsError(f"{name}: another curve has this name; choose another one")
    unit = _one_of(given["unit"], OWN_UNITS, f"{name}: unit")
    component = _one_of(given["applies_to"], COMPONENTS, f"{name}: applies_to")
    if (unit in SOUND_UNITS) is not (component == "microphone"):
        raise LimitsError(f"{name}: {unit} is not a unit of measure of {component}")
    shape = _mapping(given["shape"], f"{name}: shape")
    _one_of(shape.get("kind"), OWN_KINDS, f"{name}: kind of the shape")
    written = given["date"]
    try:
        day = (written if isinstance(written, date) else date.fromisoformat(written)).isoformat()
    except (TypeError, ValueError):
        raise LimitsError(f"{name}: date is {written!r}, not a date as 2026-04-01") from None
    plain = {**given, "date": day}
    return Curve(
        id=name,
        title=_text(given["title"], f"{name}: title"),
        region=None,
        unit=unit,
        applies_to=cast(Any, component),
        shape=_shape(shape, name, {}),
        mark="own",
        sources=(_text(given["source"], f"{name}: source"),),
        notes=_texts(given.get("notes", []), f"{name}: notes"),
        author=_text(given["author"], f"{name}: author"),
        date=day,
        digest=_digest(plain),
        entry=plain,
    )


_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _StrictLoader(_Base):  # type: ignore[misc]
    """YAML in which a key that occurs twice in one mapping is an error, not a silent choice."""


def _unique(loader: Any, node: Any) -> dict[Any, Any]:
    seen = set()
    for key_node, _ in node.value:
        key = loader.construct_object(key_node, deep=True)
        if key in seen:
            raise LimitsError(f"line {key_node.start_mark.line + 1}: {key} occurs twice")
        seen.add(key)
    found: dict[Any, Any] = yaml.SafeLoader.construct_mapping(loader, node, deep=True)
    return found


_StrictLoader.add_constructor("tag:yaml.org,2002:map", _unique)


def read_yaml(text: str) -> Any:
    """
    Return the value of a YAML or JSON text.

    Raises:
        LimitsError: it is neither, or a key occurs twice.
    """
    try:
        return yaml.load(text, _StrictLoader)
    except yaml.YAMLError as error:
        raise LimitsError(f"this is not YAML: {' '.join(str(error).split())}") from None
    except (RecursionError, TypeError, ValueError) as error:
        raise LimitsError(f"this cannot be read as YAML: {error}") from None


# --- one curve -----------------------------------------------------------------------------------


def _shipped_curve(
    entry: Entry, sources: Mapping[str, str], before: Mapping[str, Curve]
) -> tuple[Curve, tuple[tuple[Any, ...], ...]]:
    name = _id(entry)
    _members(
        entry,
        name,
        {"id", "title", "region", "unit", "applies_to", "shape", "mark", "sources", "checks"},
        {"dispute", "notes", "prescribed", "airblast", "divisors"},
    )
    mark = entry["mark"]
    if mark == "unread":
        raise LimitsError(f"{name}: nobody has read this rule; it may only stand under withheld")
    _one_of(mark, MARKS, f"{name}: mark")
    if mark == "disputed" and "dispute" not in entry:
        raise LimitsError(f"{name}: a disputed curve must say in dispute what the dispute is")
    named = _list(entry["sources"], f"{name}: sources")
    if not named:
        raise LimitsError(f"{name}: a curve must have a source")
    for each in named:
        if each not in sources:
            raise LimitsError(f"{name}: source {each!r} is not among the file's sources")
    unit = _one_of(entry["unit"], UNITS, f"{name}: unit")
    component = _one_of(entry["applies_to"], COMPONENTS, f"{name}: applies_to")
    if (unit in SOUND_UNITS) is not (component == "microphone"):
        raise LimitsError(f"{name}: {unit} is not a unit of measure of {component}")
    curve = Curve(
        id=name,
        title=_text(entry["title"], f"{name}: title"),
        region=_text(entry["region"], f"{name}: region"),
        unit=unit,
        applies_to=cast(Any, component),
        shape=_shape(_mapping(entry["shape"], f"{name}: shape"), name, before),
        mark=mark,
        sources=tuple(sources[each] for each in named),
        dispute=None if "dispute" not in entry else _text(entry["dispute"], f"{name}: dispute"),
        notes=_texts(entry.get("notes", []), f"{name}: notes"),
        prescribed=_prescribed(entry, name),
        airblast=entry.get("airblast"),
        divisors=_divisors(entry, name),
        digest=_digest(entry),
        entry=entry,
    )
    if (unit == "in") is not isinstance(curve.shape, Displacement):
        raise LimitsError(f"{name}: {unit} is not a unit of measure of this kind of shape")
    if (unit == "KB") is not isinstance(curve.shape, DayNight):
        raise LimitsError(f"{name}: {unit} is not a unit of measure of this kind of shape")
    return curve, _checks(entry["checks"], name)


def _checks(given: object, name: str) -> tuple[tuple[Any, ...], ...]:
    found = tuple(tuple(_list(each, f"{name}: checks")) for each in _list(given, f"{name}: checks"))
    if not found:
        raise LimitsError(f"{name}: a curve must have a check value")
    return found


def _prescribed(entry: Entry, name: str) -> Prescribed | None:
    if "prescribed" not in entry:
        return None
    place = f"{name}: prescribed"
    given = _mapping(entry["prescribed"], place)
    _members(given, place, {"text"}, {"never", "high_hz"})
    high_hz = given.get("high_hz")
    never = given.get("never", False)
    if not isinstance(never, bool):
        raise LimitsError(f"{place}: never is {never!r}, not true or false")
    return Prescribed(
        text=_text(given["text"], place),
        never=never,
        high_hz=None if high_hz is None else _number(high_hz, place),
    )


def _divisors(entry: Entry, name: str) -> dict[str, dict[str, float]]:
    given = _mapping(entry.get("divisors", {}), f"{name}: divisors")
    return {
        parameter: {
            choice: _positive(value, f"{name}: {parameter}")
            for choice, value in _mapping(choices, f"{name}: {parameter}").items()
        }
        for parameter, choices in given.items()
    }


def _withheld(given: object) -> Withheld:
    entry = _mapping(given, "an entry of withheld")
    name = _id(entry)
    _members(entry, name, {"id", "title", "mark", "why"})
    mark = _one_of(entry["mark"], (*MARKS, "unread"), f"{name}: mark")
    return Withheld(name, _text(entry["title"], name), mark, _text(entry["why"], name))


# --- shapes --------------------------------------------------------------------------------------


def _shape(given: Entry, name: str, before: Mapping[str, Curve]) -> Shape:
    kind = given.get("kind")
    readers: dict[str, Callable[[], Shape]] = {
        "constant": lambda: _constant(given, name),
        "points": lambda: _points(given, name),
        "steps": lambda: _steps(given, name),
        "ri8507": lambda: _ri8507(given, name),
        "displacement": lambda: _displacement(given, name),
        "weighting": lambda: _weighting(given, name),
        "inverse_guide": lambda: _inverse_guide(given, name, before),
        "table": lambda: _table(given, name),
        "day_night": lambda: _day_night(given, name),
    }
    if not isinstance(kind, str) or kind not in readers:
        raise LimitsError(f"{name}: kind of the shape is {kind!r}; known are {', '.join(readers)}")
    return readers[kind]()


def _constant(given: Entry, name: str) -> Constant:
    _members(given, name, {"kind", "value"}, {"ceiling"})
    value, ceiling = _positive(given["value"], name), given.get("ceiling")
    if ceiling is not None and _positive(ceiling, name) <= value:
        raise LimitsError(f"{name}: ceiling must be above the value")
    return Constant(value, ceiling)


def _points(given: Entry, name: str) -> Points:
    _members(given, name, {"kind", "join", "vertices"}, {"below", "above", "displacement_mm"})
    below = _one_of(given.get("below", "none"), ("hold", "none", "displacement"), f"{name}: below")
    above = _one_of(given.get("above", "none"), ("hold", "none"), f"{name}: above")
    if (below == "displacement") is not ("displacement_mm" in given):
        raise LimitsError(f"{name}: below: displacement and displacement_mm belong together")
    displacement = given.get("displacement_mm")
    return Points(
        _vertices(given, name),
        _join(given, name),
        cast(Any, below),
        cast(Any, above),
        None if displacement is None else _positive(displacement, name),
    )


def _steps(given: Entry, name: str) -> Steps:
    _members(given, name, {"kind", "bands"}, {"edge_hz"})
    bands: list[Band] = []
    for each in _some(given["bands"], f"{name}: bands"):
        band = _list(each, f"{name}: bands")
        if len(band) != 3:
            raise LimitsError(f"{name}: a band is [from Hz, to Hz, value]")
        low, high = _number(band[0], name), _number(band[1], name)
        if low < 0 or high <= low or (bands and low != bands[-1].to_hz):
            raise LimitsError(f"{name}: bands must follow one another from low to high")
        bands.append(Band(low, high, _positive(band[2], name)))
    edge_hz = given.get("edge_hz")
    return Steps(tuple(bands), None if edge_hz is None else _positive(edge_hz, name))


def _ri8507(given: Entry, name: str) -> Ri8507:
    numbers = ("low_in", "plateau", "mid_in", "cap")
    _members(given, name, {"kind", "span_hz", *numbers})
    span = _list(given["span_hz"], f"{name}: span_hz")
    if len(span) != 2:
        raise LimitsError(f"{name}: span_hz is [from, to]")
    low, high = (_positive(each, f"{name}: span_hz") for each in span)
    values = {each: _positive(given[each], f"{name}: {each}") for each in numbers}
    return Ri8507(**values, span_hz=(low, high))


def _displacement(given: Entry, name: str) -> Displacement:
    _members(given, name, {"kind", "join", "vertices", "cap_in_s"})
    cap = _positive(given["cap_in_s"], f"{name}: cap_in_s")
    return Displacement(_vertices(given, name), _join(given, name), cap)


def _weighting(given: Entry, name: str) -> Weighting:
    _members(given, name, {"kind", "join", "value", "vertices"})
    value = _positive(given["value"], f"{name}: value")
    return Weighting(value, _vertices(given, name), _join(given, name))


def _inverse_guide(given: Entry, name: str, before: Mapping[str, Curve]) -> InverseGuide:
    _members(given, name, {"kind", "key", "rows", "reference_hz"})
    if given["key"] != "line":
        raise LimitsError(f"{name}: the key of an inverse guide is line")
    guides = {}
    for line, curve_id in _mapping(given["rows"], f"{name}: rows").items():
        guide = before[_known(curve_id, before, name)].shape
        if not isinstance(guide, Points):
            raise LimitsError(f"{name}: {curve_id} is not a curve of points")
        guides[line] = guide
    return InverseGuide(guides, _positive(given["reference_hz"], f"{name}: reference_hz"))


def _table(given: Entry, name: str) -> Table:
    _members(given, name, {"kind", "key", "rows"})
    rows: list[Row] = []
    for each in _some(given["rows"], f"{name}: rows"):
        row = _mapping(each, f"{name}: rows")
        _members(row, f"{name}: rows", {"value"}, {"to", "name", "scaled_distance", "note"})
        if ("to" in row) is ("name" in row):
            raise LimitsError(f"{name}: a row has either to or name")
        to, scaled = row.get("to"), row.get("scaled_distance")
        rows.append(
            Row(
                None if to is None else _positive(to, name),
                None if "name" not in row else _text(row["name"], name),
                _positive(row["value"], name),
                None if scaled is None else _positive(scaled, name),
                None if "note" not in row else _text(row["note"], name),
            )
        )
    if len({row.name is None for row in rows}) > 1:
        raise LimitsError(f"{name}: rows must all have to, or all have name")
    ends = [float("inf") if row.to is None else row.to for row in rows]
    if rows[0].name is None and any(a >= b for a, b in pairwise(ends)):
        raise LimitsError(f"{name}: rows must ascend")
    return Table(_text(given["key"], f"{name}: key"), tuple(rows))


def _day_night(given: Entry, name: str) -> DayNight:
    _members(given, name, {"kind", "key", "rows"})
    rows = []
    for each in _some(given["rows"], f"{name}: rows"):
        row = _mapping(each, f"{name}: rows")
        _members(row, f"{name}: rows", {"name", "day", "night"})
        values = []
        for time in ("day", "night"):
            three = [_positive(value, name) for value in _list(row[time], f"{name}: {time}")]
            if len(three) != 3:
                raise LimitsError(f"{name}: {time} is [A_u, A_o, A_r]")
            values.append((three[0], three[1], three[2]))
        rows.append(DayNightRow(_text(row["name"], name), values[0], values[1]))
    return DayNight(_text(given["key"], f"{name}: key"), tuple(rows))


def _join(given: Entry, name: str) -> Any:
    return _one_of(given["join"], ("linear", "loglog"), f"{name}: join")


def _vertices(given: Entry, name: str) -> tuple[Vertex, ...]:
    found: list[Vertex] = []
    for each in _some(given["vertices"], f"{name}: vertices"):
        pair = _list(each, f"{name}: vertices")
        if len(pair) != 2:
            raise LimitsError(f"{name}: a vertex is [frequency in Hz, value]")
        hz, value = _number(pair[0], name), _positive(pair[1], name)
        if hz < 0 or (found and hz <= found[-1].hz):
            raise LimitsError(f"{name}: frequencies of vertices must ascend")
        if hz == 0 and given["join"] == "loglog":
            raise LimitsError(f"{name}: joined in log-log no vertex can be at 0 Hz")
        found.append(Vertex(hz, value))
    if len(found) < 2:
        raise LimitsError(f"{name}: a curve of points has two vertices or more")
    return tuple(found)


# --- members -------------------------------------------------------------------------------------


def _members(
    given: Entry, place: str, required: set[str], optional: set[str] | None = None
) -> None:
    missing = required - set(given)
    unknown = set(given) - required - (optional or set())
    if missing:
        raise LimitsError(f"{place}: {', '.join(sorted(missing))} is missing")
    if unknown:
        raise LimitsError(f"{place}: {', '.join(sorted(map(str, unknown)))} is not known here")


def _id(entry: Entry) -> str:
    name = entry.get("id")
    if not isinstance(name, str) or ID.fullmatch(name) is None:
        raise LimitsError(
            f"the id of a curve has 3 to 64 lower-case letters, digits, dots, hyphens, not {name!r}"
        )
    return name


def _known(name: object, curves: Mapping[str, Curve], place: str) -> str:
    if not isinstance(name, str) or name not in curves:
        raise LimitsError(f"{place}: there is no curve {name!r} before it")
    return name


def _mapping(value: object, place: str) -> Entry:
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise LimitsError(f"{place}: expected names and values, not {str(value)[:80]!r}")
    return value


def _list(value: object, place: str) -> list[Any]:
    if not isinstance(value, list):
        raise LimitsError(f"{place}: expected a list, not {str(value)[:80]!r}")
    return value


def _some(value: object, place: str) -> list[Any]:
    found = _list(value, place)
    if not 1 <= len(found) <= MAX_POINTS:
        raise LimitsError(f"{place}: expected 1 to {MAX_POINTS} entries, not {len(found)}")
    return found


def _text(value: object, place: str) -> str:
    if not isinstance(value, str) or not value.strip() or len(value) > MAX_TEXT:
        raise LimitsError(f"{place}: expected a text of 1 to {MAX_TEXT} characters")
    if not value.isprintable():
        raise LimitsError(f"{place}: must contain only printable characters")
    return value


def _texts(value: object, place: str) -> tuple[str, ...]:
    return tuple(_text(each, place) for each in _list(value, place))


def _one_of(value: object, known: Iterable[str], place: str) -> str:
    options = tuple(known)
    if not isinstance(value, str) or value not in options:
        raise LimitsError(f"{place} is {value!r}; known are {', '.join(options)}")
    return value


def _number(value: object, place: str) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not abs(cast(float, value)) < float("inf"):
        raise LimitsError(f"{place}: expected a finite number, not {value!r}")
    return float(cast(float, value))


def _positive(value: object, place: str) -> float:
    number = _number(value, place)
    if number <= 0:
        raise LimitsError(f"{place}: expected a number above 0, not {value!r}")
    return number


def _digest(entry: Entry) -> str:
    data = json.dumps(entry, sort_keys=True, separators=(",", ":"), default=str)
    return blake2b(data.encode(), digest_size=16).hexdigest()
