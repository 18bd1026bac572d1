"""
What API and command line say of the five kinds of event that are less than whole.

Clipped, partial, undecoded, of a scale that the event does not confirm, of a clock that was never
set: one unit stores them, one relay reads and archives them. docs/reference/analysis.md shows it
as a table. What the screens show of them is tested in tests/journeys.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from kit.command_line import Call, caller
from kit.lesser_events import LESSER, SERIAL, lesser_unit
from kit.relay_process import PATIENCE_S, relay
from kit.unit_thread import UnitThread

CURVE = "usbm-ri8507-plaster"
WIDE = 200
"""Columns of the terminal, so that no column of a list is left out."""


@dataclass(frozen=True)
class Seen:
    """A relay that has read all five events, and where it and their unit are."""

    client: httpx.Client
    base: str
    unit: UnitThread
    url: str

    def live(self, kind: str, part: str = "") -> httpx.Response:
        return self.client.get(f"/device/event/{LESSER.index(kind)}{part}", params=self._query)

    def archived(self, kind: str, part: str = "", **query: str) -> httpx.Response:
        return self.client.get(f"/archive/recordings/{self.row(kind)['id']}{part}", params=query)

    def row(self, kind: str) -> dict[str, Any]:
        rows = self.client.get("/archive/events").json()["events"]
        return next(row for row in rows if row["index"] == LESSER.index(kind))

    def listed(self, kind: str) -> dict[str, Any]:
        found = self.client.get("/device/events", params=self._query).json()["events"]
        return next(event for event in found if event["index"] == LESSER.index(kind))

    @property
    def _query(self) -> dict[str, str | int]:
        return {"host": "127.0.0.1", "tcp_port": self.unit.port}


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    database = tmp_path_factory.mktemp("lesser") / "relay.sqlite"
    unit = UnitThread(lesser_unit())
    try:
        with (
            relay(database=database) as started,
            httpx.Client(base_url=started.base, timeout=PATIENCE_S) as client,
        ):
            found = Seen(client, started.base, unit, f"sqlite:///{database}")
            client.put("/limit-choices", json={"curves": [CURVE]}).raise_for_status()
            for kind in LESSER:
                found.live(kind, "/waveform")
            for kind in LESSER:
                found.archived(kind, "/analysis")  # computed and stored before a list is judged
            yield found
    finally:
        unit.close()


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Call:
    monkeypatch.setenv("COLUMNS", str(WIDE))
    return caller(capsys)


def flags_of(body: dict[str, Any], channel: str = "Tran", figure: str = "ppv") -> list[str]:
    found: list[str] = body["channels"][channel]["vendor"][figure]["flags"]
    return found


def verdict_of(event: dict[str, Any]) -> tuple[str, str, str | None, str | None, int | None]:
    [one] = event["verdicts"]
    share = None if one["share_percent"] is None else round(one["share_percent"])
    return one["outcome"], one["results"], one["reason"], one["bound"], share


VERDICTS = {
    "clipped": ("exceeds", "vendor", None, ">", 777),
    "partial": ("no_verdict", "peaks", "scale-unknown", ">", 50),
    "undecoded": ("no_verdict", "peaks", "undecoded", ">", 50),
    "scale-unconfirmed": ("no_verdict", "peaks", "scale-unknown", None, None),
    "never-set-clock": ("complies", "vendor", None, None, 77),
}


# --- the API -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", LESSER)
def test_the_lists_of_unit_and_archive_have_the_same_verdict(seen: Seen, kind: str) -> None:
    assert verdict_of(seen.listed(kind)) == verdict_of(seen.row(kind)) == VERDICTS[kind]


def test_a_clipped_event_has_bounds_and_no_peak(seen: Seen) -> None:
    waveform, analysis = (seen.live("clipped", part).json() for part in ("/waveform", "/analysis"))
    tran = waveform["channels"]["Tran"]
    assert (tran["peak"], tran["bound"], tran["flags"]) == (10.0, ">", ["over_range"])
    ppv = analysis["channels"]["Tran"]["vendor"]["ppv"]
    assert (ppv["value"], ppv["bound"], ppv["limit"]) == (None, ">", 10.0)
    assert flags_of(analysis) == ["over_range"]
    assert flags_of(analysis, "Vert") == []
    assert analysis["pvs"]["vendor"]["bound"] == ">"
    assert waveform["provenance"]["quality"] == "good"  # all that the unit recorded is there
    listed = seen.listed("clipped")["peaks"]["bound"]
    assert (listed["tran_in_s"], listed["vert_in_s"], listed["vector_sum_in_s"]) == (">", None, ">")
    text = seen.archived("clipped", "/export", format="blastware").text
    assert '"Tran PPV : >10.00 in/s"' in text


def test_a_partial_event_states_how_much_of_it_there_is(seen: Seen) -> None:
    waveform, analysis = (seen.live("partial", part).json() for part in ("/waveform", "/analysis"))
    assert (waveform["samples"], waveform["announced_samples"]) == (1024, 1280)
    assert "samples-missing" in [one["code"] for one in waveform["reasons"]]
    assert waveform["provenance"]["quality"] == "partial"
    assert (analysis["samples"], analysis["recorded_samples"]) == (1024, 1280)
    assert analysis["notes"][0] == "Computed from the first 1024 of 1280 samples."
    assert {"incomplete", "scale_unconfirmed"} == set(flags_of(analysis))
    assert seen.row("partial")["archived"]["samples"] == "partial"
    assert "Samples announced by the unit: 1280" in seen.archived("partial", "/export").text


def test_an_undecoded_event_is_refused_with_a_link_to_its_image(seen: Seen) -> None:
    row = seen.row("undecoded")
    assert row["archived"] == {"record": True, "image": "whole", "samples": "undecoded"}
    image = f"/archive/recordings/{row['id']}/image"
    answers = [
        seen.live("undecoded", "/waveform"),
        seen.live("undecoded", "/analysis"),
        seen.archived("undecoded", "/waveform"),
        seen.archived("undecoded", "/analysis"),
        seen.archived("undecoded", "/export"),
    ]
    for answer in answers:
        assert answer.status_code == 502
        assert answer.json()["type"].endswith(":samples-undecoded")
        assert answer.json()["image"] == image
    assert seen.client.get(image).status_code == 200
    assert seen.listed("undecoded")["peaks"]["tran_in_s"] == pytest.approx(0.995)


def test_an_unconfirmed_scale_is_flagged_live_and_unknown_in_the_archive(seen: Seen) -> None:
    live = seen.live("scale-unconfirmed", "/waveform").json()
    assert (live["geo_range_in_s"], live["geo_range_source"]) == (10.0, "setup")
    assert live["channels"]["Tran"]["flags"] == ["scale_unconfirmed"]
    assert live["provenance"]["quality"] == "partial"
    assert {one["code"] for one in live["reasons"]} == {"rate-unknown", "range-unconfirmed"}
    assert flags_of(seen.live("scale-unconfirmed", "/analysis").json()) == ["scale_unconfirmed"]
    stored = seen.archived("scale-unconfirmed", "/waveform").json()
    assert (stored["geo_range_in_s"], stored["channels"]["Tran"]["unit"]) == (None, "counts")
    stored = seen.archived("scale-unconfirmed", "/analysis").json()
    assert flags_of(stored) == ["scale_unknown", "not_available"]
    refused = seen.archived("scale-unconfirmed", "/export", format="blastware")
    assert (refused.status_code, refused.json()["type"].rpartition(":")[2]) == (
        409,
        "unwritable-event",
    )


def test_a_clock_that_was_never_set_leaves_the_instant_unknown(seen: Seen) -> None:
    row = seen.row("never-set-clock")
    assert (row["utc"], row["utc_unknown"]) == (None, "before-2000")
    analysis = seen.live("never-set-clock", "/analysis").json()
    assert "The unit's clock was never set: it showed 1995-01-01 00:03:00." in analysis["notes"]
    assert flags_of(analysis) == []
    text = seen.archived("never-set-clock", "/export").text
    assert "Instant (UTC): unknown: before-2000" in text


# --- the command line ----------------------------------------------------------------------------


def line_of(text: str, *words: str) -> str:
    [found] = [line for line in text.splitlines() if all(word in line for word in words)]
    return " ".join(found.split())


CELLS = {
    "clipped": (">10.775 133.0 >777 25.6", "decoded"),
    "partial": ("1.020 108.0 >50? -", "partial"),
    "undecoded": ("1.020 108.0 >50? -", "undecoded"),
    "scale-unconfirmed": ("unknown 108.0 - -", "decoded"),
    "never-set-clock": ("1.020 108.0 77 25.6", "decoded"),
}
"""PVS, airblast, share of the limit and frequency in both lists; the archive's word of samples."""


@pytest.mark.parametrize("kind", LESSER)
def test_both_lists_show_share_and_frequency(seen: Seen, cli: Call, kind: str) -> None:
    cells, samples = CELLS[kind]
    key = seen.row(kind)["waveform_key"]
    status, text, _ = cli("events", seen.unit.url, "--relay", seen.base)
    assert status == 0
    assert f"{cells} Simulated" in line_of(text, key)
    assert f"Limit: {CURVE}." in text
    status, text, _ = cli("archive", "list", "--database", seen.url)
    assert status == 0
    assert f"{cells} {samples} simulated" in line_of(text, seen.row(kind)["id"][:12])
    assert f"Limit: {CURVE}." in text
    assert "No verdict (scale-unknown): 2 of 5 events" in text
    assert "No verdict (undecoded): 1 of 5 events" in text


def test_a_list_of_the_archive_is_as_json_the_one_of_the_api(seen: Seen, cli: Call) -> None:
    import json

    _, text, _ = cli("archive", "list", "--json", "--database", seen.url)
    assert json.loads(text) == seen.client.get("/archive/events").json()


SHOWN = {
    "clipped": ("exceeds: at least 777 % of the limit, Tran at 25.6 Hz", "Tran >10.000 in/s"),
    "partial": ("no verdict (scale-unknown): at least 50 % of the limit, Tran", "samples-missing"),
    "undecoded": ("no verdict (undecoded): at least 50 % of the limit, Tran", "Samples undecoded"),
    "scale-unconfirmed": ("no verdict (scale-unknown)", "range-unknown"),
    "never-set-clock": ("complies: 77 % of the limit, Tran at 25.6 Hz", "clock was not set"),
}


@pytest.mark.parametrize("kind", LESSER)
def test_a_recording_is_shown_with_its_verdict_and_what_is_not_good(
    seen: Seen, cli: Call, kind: str
) -> None:
    status, text, _ = cli("archive", "show", seen.row(kind)["id"], "--database", seen.url)
    assert status == 0
    words = " ".join(text.split())
    for sentence in SHOWN[kind]:
        assert sentence in words


ANALYSED = {
    "clipped": ("PPV vendor >10.00 a", "a over_range: the motion reached the end"),
    "partial": ("PPV vendor 0.9950 ab", "Computed from the first 1024 of 1280 samples."),
    "scale-unconfirmed": ("PPV vendor 0.9950 a", "a scale_unconfirmed: a scale was taken from"),
    "never-set-clock": ("PPV vendor 0.9950 0.2000", "The unit's clock was never set"),
}
WAVEFORM = {
    "clipped": ("Tran >10.000 in/s", "over range: the motion was at least that"),
    "partial": ("(the unit announces 1,280)", "Not good: of 1,280 samples", "quality partial"),
    "scale-unconfirmed": ("Not good: the geophone range of 10 in/s is that of the unit's setup",),
    "never-set-clock": ("Unit's time 1995-01-01 00:03:00",),
}


@pytest.mark.parametrize("kind", sorted(ANALYSED))
def test_analysis_and_waveform_say_what_is_not_good(seen: Seen, cli: Call, kind: str) -> None:
    index = LESSER.index(kind)
    for words, sentences in (
        (("analyse", f"{seen.unit.url}:{index}"), ANALYSED[kind]),
        (("waveform", seen.unit.url, str(index)), WAVEFORM[kind]),
    ):
        status, text, _ = cli(*words, "--relay", seen.base)
        assert status == 0
        for sentence in (*sentences, SERIAL):
            assert sentence in " ".join(text.split())


def test_analysis_and_waveform_of_an_undecoded_event_fail_with_its_reason(
    seen: Seen, cli: Call
) -> None:
    index = LESSER.index("undecoded")
    for words in (
        ("analyse", f"{seen.unit.url}:{index}"),
        ("waveform", seen.unit.url, str(index)),
    ):
        status, text, problem = cli(*words, "--relay", seen.base)
        assert (status, text) == (7, "")
        assert "the body is that of a histogram" in " ".join(problem.split())
