"""What the list of events shows of limits on a terminal."""

from __future__ import annotations

import io
from typing import Any

from rich.console import Console

from sfm.cli import views

PEAKS = {
    "tran_in_s": 0.6,
    "vert_in_s": 0.1,
    "long_in_s": 0.1,
    "vector_sum_in_s": 0.6,
    "mic_psi": 0.004,
    "mic_db": 122.8,
    "bound": dict.fromkeys(
        ("tran_in_s", "vert_in_s", "long_in_s", "vector_sum_in_s", "mic_psi", "mic_db")
    ),
}


def verdict(outcome: str, share: float | None, **more: Any) -> dict[str, Any]:
    return {
        "curve": "usbm-ri8507-plaster",
        "outcome": outcome,
        "results": "vendor",
        "share_percent": share,
        "bound": None,
        "channel": "Tran",
        "frequency_hz": None,
        "frequency_bound": None,
        "reason": None,
        "other_outcome": None,
        **more,
    }


def shown(*events: Any, no_verdict: str | None = None) -> str:
    listed = [
        {
            "index": index,
            "waveform_key": f"0111000{index}",
            "timestamp": "2026-03-01T10:00:00",
            "peaks": PEAKS,
            "project": "North",
            "verdicts": verdicts,
            "no_verdict": no_verdict,
        }
        for index, verdicts in enumerate(events)
    ]
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(views.events_view({"count": len(listed), "walked": 0, "events": listed}))
    return console.export_text()


def row(text: str, index: int) -> list[str]:
    [found] = [line.split() for line in text.splitlines() if f"0111000{index}" in line]
    return found[-3:-1]


def test_share_and_frequency_of_the_worst_verdict() -> None:
    text = shown(
        [verdict("complies", 80.4, frequency_hz=25.6), verdict("complies", 20.0)],
        [verdict("exceeds", 133.0, bound=">", frequency_hz=100.0, frequency_bound=">")],
        [verdict("no_verdict", 50.0, bound=">", reason="frequency-unknown")],
        [verdict("no_verdict", None, reason="disputed")],
        [verdict("no_verdict", 90.0, reason="incomplete"), verdict("exceeds", 101.0)],
    )
    assert row(text, 0) == ["80", "25.6"]
    assert row(text, 1) == [">133", ">100"]
    assert row(text, 2) == [">50?", "-"]
    assert row(text, 3) == ["-", "-"]
    assert row(text, 4) == ["101", "-"]
    assert "Limit: usbm-ri8507-plaster." in text
    assert "No verdict (frequency-unknown): 1 of 5 events" in text


def test_two_sets_that_disagree_are_counted() -> None:
    text = shown([verdict("complies", 99.0, other_outcome="exceeds")])
    assert "In 1 the vendor's figures and the refined ones lead to different verdicts." in text


def test_an_event_counts_once_however_many_curves_judge_it() -> None:
    unknown = verdict("no_verdict", 50.0, bound=">", reason="frequency-unknown")
    split = verdict("complies", 99.0, other_outcome="exceeds")
    text = shown([unknown, unknown, split, split], [verdict("complies", 20.0)])
    assert "No verdict (frequency-unknown): 1 of 2 events" in text
    assert "In 1 the vendor's figures" in text


def test_without_a_chosen_curve_there_is_no_column_and_the_reason() -> None:
    text = shown([], [], no_verdict="no-curve-chosen")
    assert "Limit" not in text
    assert "No verdict (no-curve-chosen): 2 of 2 events" in text
