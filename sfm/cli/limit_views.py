"""How limit curves, their values and what is chosen look on a terminal."""

from __future__ import annotations

from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table

from sfm.cli.tables import Head, ListTable, facts_table
from sfm.cli.views import safe_text

__all__ = ["choice_of", "choices_view", "curve_view", "curves_view", "value_view"]


def curves_view(curves: list[dict[str, Any]]) -> Table:
    """Return the table of curves."""
    table = ListTable(
        "Curve",
        Head(name="Region", rank=2),
        Head(name="Mark", rank=3),
        Head(name="Unit"),
        Head(name="Title", is_text=True, rank=4),
    )
    for one in curves:
        mark = one["mark"] if one["usable"] else f"{one['mark']}, off"
        cells = (one["id"], one.get("region") or "", mark, one.get("unit") or "", one["title"])
        table.add_row(*map(safe_text, cells))
    return table


def curve_view(one: dict[str, Any]) -> RenderableType:
    """Return all that is known of a curve."""
    rows = [("Curve", one["id"]), ("Title", one["title"]), ("Mark", one["mark"])]
    if one["shape"] is not None:
        rows += [
            ("Unit of measure", one["unit"]),
            ("Applies to", one["applies_to"].replace("_", " ")),
            *_shape_rows(one["shape"]),
            *(
                (f"Divided by {name}", ", ".join(f"{k} {v:g}" for k, v in choices.items()))
                for name, choices in one["divisors"].items()
            ),
            *(("Source", source) for source in one["sources"]),
        ]
        rows += [("Airblast", one["airblast"])] if one["airblast"] else []
        rows += [("Prescribed", one["prescribed"])] if one["prescribed"] else []
        rows += [("Disputed", one["dispute"])] if one["dispute"] else []
        if one["author"]:
            rows.append(("Written by", f"{one['author']}, {one['date']}"))
        if one["confirmed"]:
            rows.append(("Confirmed by", f"{one['confirmed']['by']}, {one['confirmed']['on']}"))
        rows += [("Note", note) for note in one["notes"]]
    if one["off"]:
        rows.append(("Not in use", one["off"]["detail"]))
    return facts_table((safe_text(name), safe_text(str(value))) for name, value in rows)


def _shape_rows(shape: dict[str, Any]) -> list[tuple[str, str]]:
    rows = [("Kind", shape["kind"])]
    for name, value in shape.items():
        if name == "kind":
            continue
        if isinstance(value, list) and value and isinstance(value[0], list | dict):
            rows += [(name.capitalize(), _row(each)) for each in value]
        elif isinstance(value, dict):
            rows += [(name.capitalize(), f"{k}: {v}") for k, v in value.items()]
        else:
            rows.append((name.capitalize().replace("_", " "), _row(value)))
    return rows


def _row(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {'without end' if v is None else v}" for name, v in value.items())
    if isinstance(value, list):
        return ", ".join(f"{each:g}" if isinstance(each, float) else str(each) for each in value)
    return str(value)


def value_view(body: dict[str, Any]) -> RenderableType:
    """Return what a curve allows, or why it has no value."""
    if body["value"] is None:
        lines = [f"{body['curve']}: no value. {body['detail']}"]
        if "values" in body:
            lines.append(", ".join(f"{name} {value:g}" for name, value in body["values"].items()))
    else:
        where = ", ".join(
            f"{value:g} Hz" if name == "hz" else f"{name} {value}"
            for name, value in body["at"].items()
        )
        lines = [f"{body['value']:.6g} {body['unit']} at {where}: {body['title']}"]
        if "velocity" in body:
            velocity = body["velocity"]
            lines.append(f"as a velocity {velocity['value']:.6g} {velocity['unit']}")
        if "charge_lb_per_8_ms" in body:
            lines.append(f"at most {body['charge_lb_per_8_ms']:.6g} lb in 8 ms without seismograph")
    lines.append(f"Mark: {body['mark']}")
    lines += [f"Source: {one}" for one in body.get("sources", ())]
    if body.get("dispute"):
        lines.append(f"Disputed: {body['dispute']}")
    lines += body.get("notes", ())
    return Group(*map(safe_text, lines))


def choices_view(body: dict[str, Any]) -> RenderableType:
    """Return which curves count where."""
    table = ListTable(
        Head(name="For", is_text=True),
        Head(name="Curves", is_text=True, rank=0),
        Head(name="Figures", rank=3),
        Head(name="With", is_text=True, rank=2),
        Head(name="Chosen by", is_text=True, rank=4),
    )
    for one in body["choices"]:
        given = ", ".join(f"{name} {value}" for name, value in one["parameters"].items())
        cells = (choice_of(one), ", ".join(one["curves"]), one["results"], given, one["chosen_by"])
        table.add_row(*map(safe_text, cells))
    if body["region"] is not None:
        cells = (f"region {body['region']}", ", ".join(body["region_curves"]), "vendor", "", "")
        table.add_row(*map(safe_text, cells))
    if not table.row_count:
        return safe_text("No limit curve is chosen: no event has a verdict.")
    return table


def choice_of(choice: dict[str, Any]) -> str:
    """Return what a choice is for."""
    if choice["location"] is not None:
        return f"at {choice['location']}"
    return "for all units" if choice["project"] is None else f"for project {choice['project']}"
