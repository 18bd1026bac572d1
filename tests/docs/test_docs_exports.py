"""The page of exports: its table is the code's, and its program computes the archive's hash."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from kit.exported_events import PARTIAL, exported

from sfm.exports.blastware_ascii import blastware_bytes
from sfm.exports.event import Style
from sfm.exports.formats import FORMATS
from sfm.exports.tidy_csv import csv_bytes

PAGE = (Path(__file__).parents[2] / "docs/reference/exports.md").read_text("utf-8")


def test_the_table_has_every_format_with_ending_and_media_type() -> None:
    rows = re.findall(r"^\| `(\w+)` \| `\.(\w+)` \| `([^`]+)` \|", PAGE, re.MULTILINE)
    of_text = "; charset=utf-8"
    assert rows == [
        (one.name, one.ending, one.media_type.removesuffix(of_text)) for one in FORMATS.values()
    ]


def test_the_program_of_the_page_computes_the_hash_of_a_csv(tmp_path: Path) -> None:
    [program] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    event = exported(valid=(2048, 2000, 1, 2048), reasons=(PARTIAL,))
    (tmp_path / "record.csv").write_bytes(csv_bytes(event))
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert ran.stdout.strip() == event.counts_hash


def test_every_note_of_a_csv_has_its_row() -> None:
    event = exported(valid=(2048, 2000, 1, 2048), reasons=(PARTIAL,), image_hash="ab")
    lines = csv_bytes(event, Style()).decode().splitlines()
    names = {line[2:].partition(": ")[0] for line in lines if line.startswith("# ")}
    section = PAGE.partition("| note | what |")[2].partition("\n\n")[0]
    assert names | {"SIMULATED"} == set(
        re.findall(r"`([A-Z][^`:]*)`", "".join(re.findall(r"^\|([^|]*)\|", section, re.MULTILINE)))
    )


def test_every_line_of_ours_in_blastware_ascii_is_listed() -> None:
    text = blastware_bytes(exported(is_simulated=True, valid=(2048, 9, 2048, 2048))).decode()
    ours = text.partition('"PC SW Version')[2].split("\r\n\r\n")[0].splitlines()[1:]
    names = {line.strip('"').partition(" : ")[0] for line in ours}
    listed = PAGE.partition("Behind `PC SW Version` lines of ours:")[2].partition("\n- ")[0]
    assert names == set(re.findall(r"`([^`]+)`", listed))
