"""The wire notebook (docs/reference/wire.md) and the tables in the wire code say the same."""

from __future__ import annotations

import re
from itertools import takewhile
from pathlib import Path
from typing import get_args

import pytest

from minimateplus.link.address import parse_address
from minimateplus.simulator import memory, payloads
from minimateplus.wire import layouts, protocol_state
from minimateplus.wire.commands import COMMANDS, Mark
from minimateplus.wire.framing import reply_sub
from minimateplus.wire.layouts import LAYOUTS, Layout

NOTEBOOK = (Path(__file__).parents[2] / "docs" / "reference" / "wire.md").read_text(
    encoding="utf-8"
)
FIELD_COLUMNS = ["offset", "size", "field", "kind", "mark", "source"]
COMMAND_COLUMNS = ["SUB", "reply", "name", "fetch", "parameters", "mark", "note"]

Row = dict[str, str]


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def section(heading: str) -> list[str]:
    """Return the lines under a heading, up to the next one of its rank or above."""
    lines = NOTEBOOK.splitlines()
    rank = len(heading) - len(heading.lstrip("#"))
    upper = re.compile(rf"#{{1,{rank}}} ")
    return list(takewhile(lambda line: not upper.match(line), lines[lines.index(heading) + 1 :]))


def table(lines: list[str], columns: list[str]) -> list[Row]:
    """Return the rows of the table with these columns; there must be exactly one."""
    heads = [at for at, line in enumerate(lines) if cells(line) == columns]
    assert len(heads) == 1, f"{len(heads)} tables with the columns {columns}"
    rows = takewhile(lambda line: line.startswith("|"), lines[heads[0] + 2 :])
    return [dict(zip(columns, cells(row), strict=True)) for row in rows]


def field_headings() -> list[str]:
    """Return the headings that have a table of fields under them."""
    lines = NOTEBOOK.splitlines()
    heads = [at for at, line in enumerate(lines) if cells(line) == FIELD_COLUMNS]
    return [next(line for line in lines[at::-1] if line.startswith("#")) for at in heads]


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
def test_every_field_has_its_row_and_every_row_its_field(layout: Layout) -> None:
    rows = table(section(f"### {layout.name}"), FIELD_COLUMNS)
    assert [
        (row["field"], row["offset"], row["size"], row["kind"], row["mark"]) for row in rows
    ] == [(f"`{f.name}`", str(f.offset), str(f.size), f.kind, f.mark) for f in layout.fields]


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
def test_every_payload_states_its_size(layout: Layout) -> None:
    words = " ".join(section(f"### {layout.name}")).split()
    assert words[:1] == [str(layout.size)]
    assert words[1].startswith("bytes")


def test_no_payload_of_the_notebook_is_without_layout() -> None:
    assert sorted(field_headings()) == sorted(f"### {layout.name}" for layout in LAYOUTS)


def test_a_row_that_is_not_unknown_has_a_source() -> None:
    for layout in LAYOUTS:
        for row in table(section(f"### {layout.name}"), FIELD_COLUMNS):
            assert row["source"] or row["mark"] == "U", (layout.name, row["field"])


def test_every_command_has_its_row_and_every_row_its_command() -> None:
    rows = table(section("## Commands"), COMMAND_COLUMNS)
    sizes = {0x0A: "in the reply", 0x1A: "pages", 0x5A: "asked"}
    assert [(row["SUB"], row["reply"], row["name"], row["fetch"], row["mark"]) for row in rows] == [
        (
            f"{sub:02X}",
            f"{reply_sub(sub):02X}",
            command.name,
            sizes.get(sub, "-") if command.fetch_bytes is None else f"{command.fetch_bytes:02X}",
            command.mark,
        )
        for sub, command in COMMANDS.items()
    ]


def test_every_mark_is_explained() -> None:
    rows = table(
        section("## What the marks mean"), ["mark", "meaning", "what the code does with it"]
    )
    assert {row["mark"] for row in rows} == {*get_args(Mark), "X"}


def test_every_place_that_the_simulated_unit_made_up_is_listed_as_ours() -> None:
    listed = "\n".join(section("## What is unknown, and what we chose"))
    made_up = {name for name in vars(payloads) if name.isupper() and name != "CHANNELS"}
    made_up |= {"GAP_BYTES", "LABEL_FIELD_BYTES", "CHANNEL_BLOCK_BYTES"}
    assert {name for name in made_up if f"`{name}`" not in listed} == set()


def test_what_the_list_of_ours_names_exists() -> None:
    rows = table(section("## What is unknown, and what we chose"), ["of", "choice", "where"])
    code = "".join(
        path.read_text(encoding="utf-8")
        for path in (Path(__file__).parents[2] / "minimateplus").rglob("*.py")
    )
    names = {name for row in rows for name in re.findall(r"`([^`]+)`", row["where"])}
    for name in names - {"samples.py"}:
        assert all(re.search(rf"\b{part}\b", code) for part in name.split(".")), name


def test_the_numbers_in_the_list_of_ours_are_those_of_the_code() -> None:
    listed = "\n".join(section("## What is unknown, and what we chose"))
    assert (
        f"vector sum at {payloads.VECTOR_SUM_AT}, `Tran` at {payloads.TRAN_AT}, labels "
        f"{payloads.CHANNEL_STEP} apart, `Project:` at {payloads.PROJECT_AT}"
    ) in listed
    assert (
        f"from {payloads.TEXTS_AT:X} hex, labels of {payloads.LABEL_BYTES} bytes, "
        f"values of {payloads.VALUE_BYTES}"
    ) in listed
    assert (
        f"from {payloads.CHANNEL_BLOCKS_AT:X} hex, {layouts.CHANNEL_BLOCK_BYTES} bytes each"
    ) in listed
    assert f"| {layouts.LABEL_FIELD_BYTES} bytes | `LABEL_FIELD_BYTES`" in listed
    assert f"| at {payloads.SETUP_NAME_AT:X} hex;" in listed
    assert f"| {memory.GAP_BYTES:X} bytes with" in listed


def test_the_addresses_shown_to_owners_of_a_unit_are_understood() -> None:
    shown = re.findall(r"^    seismo-relay capture (\S+) \S+", NOTEBOOK, re.MULTILINE)
    assert [parse_address(address).kind for address in shown] == ["tcp", "serial"]


@pytest.mark.parametrize("heading", ["Frames", "Keys", "The image of an event", "Timing"])
def test_the_headings_that_code_and_decisions_point_to_are_there(heading: str) -> None:
    assert section(f"## {heading}")


def test_the_order_of_a_download_is_one_that_the_protocol_allows() -> None:
    (order,) = (
        row["order"]
        for row in table(section("## Order of a session"), ["who", "order", "mark"])
        if row["who"] == "download of an event"
    )
    words = re.findall(r"\b([0-9A-F]{2}(?: with FE)?)\b", order)
    state = protocol_state.State.READY
    for word in words:
        table_of_word = protocol_state.TRANSITIONS[
            "1E+FE" if word == "1E with FE" else word.removesuffix(" with FE")
        ]
        state = table_of_word[state]
    assert state is protocol_state.State.READING
