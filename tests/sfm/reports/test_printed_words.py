from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

import sfm.reports
from sfm.analysis import Figure
from sfm.reports.errors import ReportError
from sfm.reports.glyphs import FONT, characters_of, showable
from sfm.reports.words import Footnotes, Texts, frequency_words, value_words

ENGLISH = Texts("en")
FOLDER = Path(sfm.reports.__file__).parent


def hz(value: float | None, bound: str | None = None, *flags: str) -> Figure:
    return Figure(value=value, unit="Hz", bound=bound, method="vendor-1", flags=flags)  # type: ignore[arg-type]


# As printed in event reports of Blastware 10.74 (analysis.md, section 1: two significant digits).
@pytest.mark.parametrize(
    ("figure", "printed"),
    [
        (hz(3.66), "3.7"),
        (hz(32.0), "32"),
        (hz(9.96), "10"),
        (hz(85.33), "85"),
        (hz(100.0, ">"), ">100"),
        (hz(1.0, "<"), "<1"),
        (hz(None, None, "cut", "not_available"), "N/A"),
        (hz(None, None, "rate_unknown"), "not available"),
    ],
)
def test_frequencies_have_two_digits(figure: Figure, printed: str) -> None:
    assert frequency_words(figure, ENGLISH) == printed


@pytest.mark.parametrize(
    ("value", "printed"), [(0.055, "0.055"), (6.164, "6.164"), (13.364, "13.36"), (254.0, "254.0")]
)
def test_velocities_have_the_vendors_digits(value: float, printed: str) -> None:
    assert value_words(Figure(value=value, unit="mm/s", method="vendor-1"), ENGLISH) == printed


def test_what_is_over_range_is_above_the_end() -> None:
    figure = Figure(
        value=None, unit="in/s", bound=">", limit=10.0, method="vendor-1", flags=("over_range",)
    )
    assert value_words(figure, ENGLISH, unit=True) == "> 10.00 in/s"


def test_what_is_not_known_is_not_available() -> None:
    figure = Figure(value=None, unit="in/s", method="vendor-1", flags=("scale_unknown",))
    assert value_words(figure, ENGLISH) == "not available"


def test_flags_are_numbered_as_they_are_met_and_explained_once() -> None:
    notes = Footnotes()
    first = Figure(value=1.0, unit="g", method="vendor-1", flags=("offset_limited",))
    second = Figure(
        value=1.0, unit="g", method="vendor-1", flags=("zeros_counted", "offset_limited")
    )
    assert [notes.of(first), notes.of(second), notes.of(first)] == ["1", "2,1", "1"]
    assert [line[:3] for line in notes.lines()] == ["1  ", "2  "]


def test_a_language_without_texts_is_refused() -> None:
    with pytest.raises(ReportError, match=r"in en, not in 'xx'"):
        Texts("xx")


def test_every_text_is_used() -> None:
    code = "".join(path.read_text() for path in FOLDER.iterdir() if path.suffix in (".py", ".typ"))
    texts = tomllib.loads((FOLDER / "texts" / "en.toml").read_text("utf-8"))
    built = {"outcome", "chosen_by", "marks"}
    names = [
        f"{section}.{key}"
        for section, found in texts.items()
        if isinstance(found, dict) and section not in built
        for key in found
    ]
    # Rows of the head, notes and table are named by their key alone.
    unused = [
        name for name in names if f'"{name}"' not in code and f'"{name.split(".")[1]}"' not in code
    ]
    outcomes = {"verdict.complies", "verdict.exceeds", "verdict.no_verdict"}
    assert set(unused) <= outcomes


def test_the_font_has_what_the_texts_need_and_not_everything() -> None:
    known = characters_of(FONT.read_bytes())
    needed = set((FOLDER / "texts" / "en.toml").read_text("utf-8")) | set("√×°µ…±≥≤éßÅя–—")
    assert {c for c in needed if ord(c) not in known and c != "\n"} == set()
    assert ord("漢") not in known


def test_text_that_the_font_cannot_show_becomes_question_marks() -> None:
    assert showable({"a": ["x漢", 1, None]}) == {"a": ["x?", 1, None]}
