from __future__ import annotations

from typing import Any

import pytest
import yaml

from sfm.analysis.limits import (
    Catalogue,
    Confirmation,
    Limit,
    LimitsError,
    UnknownCurveError,
    limit_at,
    load_shipped,
    parse_own,
    parse_shipped,
    read_yaml,
)

ENTRY: dict[str, Any] = {
    "id": "example",
    "title": "An example",
    "region": "US",
    "unit": "mm/s",
    "applies_to": "each_axis",
    "shape": {"kind": "points", "join": "linear", "vertices": [[1, 5], [100, 50]]},
    "mark": "secondary",
    "sources": ["book"],
    "checks": [[1, 5]],
}
OWN: dict[str, Any] = {
    "id": "permit-7",
    "title": "Permit 7, condition 3",
    "unit": "mm/s",
    "applies_to": "each_axis",
    "shape": {"kind": "steps", "bands": [[1, 10, 5], [10, 100, 10]]},
    "source": "Permit 7 of the county",
    "author": "A. Engineer",
    "date": "2026-03-01",
}


def document(*entries: dict[str, Any], **more: Any) -> str:
    top = {
        "schema": 1,
        "sources": {"book": "A book"},
        "curves": list(entries),
        "withheld": [],
        "regions": {},
        **more,
    }
    return str(yaml.safe_dump(top))


def refusal(**changes: Any) -> str:
    entry = {name: value for name, value in {**ENTRY, **changes}.items() if value is not ...}
    with pytest.raises(LimitsError) as caught:
        parse_shipped(document(entry))
    return str(caught.value)


def shape(**members: Any) -> dict[str, Any]:
    return {**ENTRY["shape"], **members}


def test_the_example_is_read() -> None:
    found = parse_shipped(document(ENTRY)).curves["example"]
    assert found.mark == "secondary"
    assert found.sources == ("A book",)


def test_an_unread_rule_never_ships() -> None:
    assert "nobody has read this rule" in refusal(mark="unread")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"mark": "certain"}, "mark is 'certain'"),
        ({"mark": ...}, "mark is missing"),
        ({"mark": "disputed"}, "must say in dispute"),
        ({"sources": []}, "must have a source"),
        ({"sources": ["elsewhere"]}, "'elsewhere' is not among"),
        ({"checks": []}, "must have a check value"),
        ({"unit": "furlong"}, "unit is 'furlong'"),
        ({"unit": "dB(L)"}, "not a unit of measure of each_axis"),
        ({"applies_to": "microphone"}, "not a unit of measure of microphone"),
        ({"applies_to": "all"}, "applies_to is 'all'"),
        ({"colour": "red"}, "colour is not known here"),
        ({"id": "Not An Id"}, "the id of a curve"),
        ({"shape": {"kind": "python"}}, "'python'; known are"),
        ({"shape": shape(join="spline")}, "join is 'spline'"),
        ({"shape": shape(vertices=[[1, 5]])}, "two vertices or more"),
        ({"shape": shape(vertices=[[10, 5], [1, 5]])}, "must ascend"),
        ({"shape": shape(vertices=[[1, 5], [10, -5]])}, "a number above 0"),
        ({"shape": shape(vertices=[[1, 5], [10, float("nan")]])}, "finite number"),
        ({"shape": shape(vertices=[[1, True], [10, 5]])}, "finite number"),
        ({"shape": shape(vertices=[[0, 5], [10, 5]], join="loglog")}, "at 0 Hz"),
        ({"shape": shape(below="displacement")}, "belong together"),
        ({"shape": shape(displacement_mm=0.6)}, "belong together"),
        ({"shape": shape(extra=1)}, "extra is not known here"),
        ({"shape": {"kind": "steps", "bands": [[1, 5, 1], [6, 9, 2]]}}, "follow one another"),
        ({"airblast": "nothing"}, "airblast names nothing"),
        ({"title": ""}, "a text of 1 to"),
    ],
)
def test_a_wrong_curve_is_refused_with_the_reason(changes: dict[str, Any], words: str) -> None:
    assert words in refusal(**changes)


def test_a_key_that_occurs_twice_is_refused() -> None:
    with pytest.raises(LimitsError, match="line 2: value occurs twice"):
        read_yaml("value: 1\nvalue: 2\n")
    with pytest.raises(LimitsError, match="twice"):
        parse_shipped(document(ENTRY, ENTRY))


def test_a_file_of_another_schema_is_refused() -> None:
    with pytest.raises(LimitsError, match="schema 2"):
        parse_shipped(document(ENTRY, schema=2))


def test_a_region_names_curves_that_exist() -> None:
    with pytest.raises(LimitsError, match="region US"):
        parse_shipped(document(ENTRY, regions={"US": ["nothing"]}))


def test_yaml_that_builds_objects_is_refused() -> None:
    with pytest.raises(LimitsError, match="not YAML"):
        read_yaml("!!python/object/apply:os.getcwd []")


# --- own curves ----------------------------------------------------------------------------------


def test_an_own_curve_is_read_with_author_and_date() -> None:
    curve = parse_own(OWN, load_shipped().curves)
    assert (curve.mark, curve.author, curve.date) == ("own", "A. Engineer", "2026-03-01")
    found = limit_at(curve, 10, {})
    assert isinstance(found, Limit)
    assert found.value == 10


def test_a_date_may_be_one_of_yaml() -> None:
    curve = parse_own(read_yaml(yaml.safe_dump(OWN).replace("'2026-03-01'", "2026-03-01")))
    assert curve.date == "2026-03-01"
    assert curve.digest == parse_own(OWN).digest


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"author": ...}, "author is missing"),
        ({"date": ...}, "date is missing"),
        ({"date": "yesterday"}, "not a date"),
        ({"source": ...}, "source is missing"),
        ({"mark": "primary"}, "mark is not known here"),
        ({"id": "usbm-ri8507-drywall"}, "another curve has this name"),
        ({"shape": {"kind": "ri8507"}}, "kind of the shape is 'ri8507'"),
        ({"unit": "KB"}, "unit is 'KB'"),
    ],
)
def test_a_wrong_own_curve_is_refused(changes: dict[str, Any], words: str) -> None:
    entry = {name: value for name, value in {**OWN, **changes}.items() if value is not ...}
    with pytest.raises(LimitsError, match=words):
        parse_own(entry, Catalogue().names)


# --- disputed curves -----------------------------------------------------------------------------

DISPUTED = "osmre-figure-1"


def confirmed(digest: str) -> Catalogue:
    return Catalogue.of([], [Confirmation(DISPUTED, digest, "A. Engineer", "2026-03-01")])


def test_disputed_curves_are_off_until_a_person_confirms_them() -> None:
    shipped = load_shipped().curves
    off = {curve.id for curve in Catalogue() if not Catalogue().is_usable(curve.id)}
    assert off == {curve.id for curve in shipped.values() if curve.mark == "disputed"}
    assert off == {DISPUTED, "bs7385-2-line2", "sn640312a-normal-permanent"}
    assert confirmed(shipped[DISPUTED].digest).is_usable(DISPUTED)


def test_a_confirmation_is_for_the_content_that_was_seen() -> None:
    assert not confirmed("of another content").is_usable(DISPUTED)


def test_an_unknown_curve_is_named_in_the_error() -> None:
    with pytest.raises(UnknownCurveError, match="'nothing'"):
        Catalogue().get("nothing")
