"""The page of an event: spectrum, figures in every form, what is printed and saved of it."""

from __future__ import annotations

import base64
import csv
import json
import re
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

import numpy as np
import pytest
from kit.browser import NARROW, SCREENSHOTS, NewUnit, Open, at, saved
from kit.pdf_tools import attached_to, run_tool, text_of
from kit.relay_process import relay
from kit.unit_thread import UnitThread
from playwright.sync_api import Page, Route, expect

from minimateplus.simulator import SimulatedUnit

pytest_plugins = ["kit.web_world"]


def api(base: str, unit: UnitThread, path: str, **query: Any) -> Any:
    """Return an answer of the relay about a unit, from JSON."""
    where = {"host": "127.0.0.1", "tcp_port": unit.port, **query}
    with urlopen(f"{base}/device/{path}?{urlencode(where)}") as answer:
        return json.load(answer)


def test_the_spectrum_has_the_dominant_frequency_of_each_channel(
    new_unit: NewUnit, visit: Open
) -> None:
    unit = new_unit("SIM0901", events=1)
    seen = visit(at(unit, "event/0"))
    page = seen.page
    expect(page.locator('[role="img"]')).to_have_count(4)
    spectrum = page.get_by_role("region", name="Spectrum")
    expect(spectrum.locator("canvas")).to_have_count(2)
    figures = api(seen.base, unit, "event/0/analysis", units="metric")["channels"]
    page.get_by_label("Ground", exact=True).select_option("mm/s")
    page.get_by_label("Air", exact=True).select_option("Pa")
    for name in ("Tran", "Vert", "Long", "MicL"):
        found = figures[name]["spectrum"]
        hz, amplitude = found["dominant_frequency"], found["dominant_amplitude"]
        row = spectrum.get_by_role("row", name=name)
        expect(row).to_contain_text(f"{hz['value']:.1f} Hz")
        shown = row.get_by_role("cell").nth(1).inner_text().split()
        assert abs(float(shown[0]) / amplitude["value"] - 1) < 0.006, "three digits"
        assert shown[1] == amplitude["unit"]
    seen.look("event-spectrum")


DRAWN_FOR_PAPER = """() => addEventListener("beforeprint", () => queueMicrotask(() => {
    const all = [...document.querySelectorAll(".chart-plot canvas")];
    window.onPaper = {
        pictures: all.map((one) => one.toDataURL()),
        ground: getComputedStyle(document.documentElement).getPropertyValue("--ground"),
    };
}))"""
"""Notes what is drawn when the browser takes the page for paper, after the app's own listener."""


def test_the_printed_event_is_one_light_sheet_with_what_the_report_has(
    new_unit: NewUnit, visit: Open
) -> None:
    unit = new_unit("SIM0902")
    seen = visit(at(unit, "event/1"), color_scheme="dark")
    page = seen.page
    expect(page.locator('[role="img"]')).to_have_count(4)
    expect(page.get_by_role("region", name="Peak velocity by frequency")).to_be_visible()
    page.evaluate(DRAWN_FOR_PAPER)
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.pdf()
    whole = page.evaluate("() => window.onPaper")
    page.get_by_role("button", name="Zoom in").click()
    for paper in ("Letter", "A4"):
        pdf = SCREENSHOTS / f"print-event-{paper}.pdf"
        page.pdf(path=pdf, format=paper)
        assert "Pages: 1" in " ".join(run_tool("pdfinfo", pdf).split())
        text = " ".join(run_tool("pdftotext", "-layout", pdf, "-").split())
        body = api(seen.base, unit, "event/1")
        peaks = body["peaks"]
        for value in (peaks["tran_in_s"], peaks["vert_in_s"], peaks["long_in_s"]):
            assert f"{value:.3f} in/s" in text
        assert f"{peaks['vector_sum_in_s']:.3f} in/s" in text
        assert f"{peaks['mic_db']:.1f} dB(L)" in text
        assert "SIMULATED" in text
        for words in ("(vendor)", "(refined)", "Tran", "Vert", "Long", "MicL", "Sensor check"):
            assert words in text, words
        for words in ("S338.17", "Battery", "Calibration", "February 2, 2026"):
            assert words in text, words
        assert body["timestamp"].replace("T", " ") in text
        for absent in ("Spectrum", "Overview", "Refresh", "ago"):
            assert absent not in text, absent
    paper_again = page.evaluate("() => window.onPaper")
    assert paper_again == whole, "the whole record, whatever part the screen shows"
    assert whole["ground"] == "#f6f7f9", "light, whatever the screen is"
    assert len(set(whole["pictures"])) == 4
    expect(page.get_by_role("button", name="Whole record")).to_be_enabled()


GROUNDS = ("Tran", "Vert", "Long")
DECIMALS = {"in/s": 3, "mm/s": 1, "psi": 5, "Pa": 1, "dB(L)": 1}
"""As many as tell two steps of the instrument apart, written down here once more."""


def figures_on(page: Page) -> dict[str, str]:
    """Return the five figures of the page by the first word of their name."""
    names = page.locator(".figures dt").all_inner_texts()
    values = page.locator(".figures dd").all_inner_texts()
    return {name.split()[0]: value for name, value in zip(names, values, strict=True)}


def written(value: float, unit: str) -> str:
    return f"{value:.{DECIMALS[unit]}f} {unit}"


@pytest.mark.parametrize(
    ("serial", "system", "ground", "air"),
    [
        ("SIM0911", "imperial", "in/s", "psi"),
        ("SIM0912", "imperial", "in/s", "dB(L)"),
        ("SIM0913", "metric", "mm/s", "Pa"),
        ("SIM0914", "metric", "mm/s", "dB(L)"),
    ],
)
@pytest.mark.parametrize("database", ["archived", "live"])
def test_the_figures_of_screen_csv_json_and_report_are_those_of_the_api(
    serial: str,
    system: str,
    ground: str,
    air: str,
    database: str,
    new_unit: NewUnit,
    visit: Open,
    base: str,
    tmp_path: Path,
) -> None:
    unit = new_unit(serial, events=2)
    with ExitStack() as stack:
        if database == "live":
            base = stack.enter_context(relay()).base
        seen = visit(at(unit, "event/1"), at=base)
        page = seen.page
        expect(page.locator('[role="img"]')).to_have_count(4)
        page.get_by_label("Ground", exact=True).select_option(ground)
        page.get_by_label("Air", exact=True).select_option(air)

        results = api(base, unit, "event/1/analysis", units=system)
        by_rule = {name: results["channels"][name] for name in (*GROUNDS, "MicL")}
        peaks = {name: by_rule[name]["reported"]["ppv"] for name in GROUNDS}
        pvs = results["pvs"]["reported"]
        quantity = "level" if air == "dB(L)" else "peak_pressure"
        mic = by_rule["MicL"]["reported"][quantity]

        # The screen: what the unit reported, and what each rule makes of the samples.
        shown = figures_on(page)
        for name in GROUNDS:
            assert shown[name] == written(peaks[name]["value"], ground)
            assert peaks[name]["unit"] == ground
        assert shown["Peak"] == written(pvs["value"], ground)
        assert shown["Microphone"] == written(mic["value"], air)
        for rule in ("vendor", "refined"):
            table = page.get_by_role("table", name=f"({rule})")
            for name in GROUNDS:
                row = table.get_by_role("row", name=name)
                expect(row).to_contain_text(written(by_rule[name][rule]["ppv"]["value"], ground))
                hertz = re.search(r"([\d.]+) Hz", row.inner_text())
                assert hertz is not None
                frequency = by_rule[name][rule]["zc_frequency"]["value"]
                assert float(hertz[1]) == pytest.approx(frequency, abs=0.51)

        # CSV and JSON: the same samples to the last digit, and the counts beside them.
        counts = unit.do(lambda: unit.unit.counts_of(1))
        lines = saved(page, "Samples (CSV)", tmp_path).read_text().splitlines()
        notes = [line for line in lines if line.startswith("#")]
        assert notes[0].startswith("# SIMULATED")
        [head, *rows] = csv.reader(lines[len(notes) :])
        pressure = "Pa" if system == "metric" else "psi"
        units = (ground, ground, ground, pressure)
        channels = (*GROUNDS, "MicL")
        assert head[1:5] == [f"{name} ({one})" for name, one in zip(channels, units, strict=True)]
        samples = np.array([[float(cell) for cell in line[1:5]] for line in rows]).T
        assert np.array_equal(
            np.array([[int(cell) for cell in line[5:9]] for line in rows]).T, counts
        )
        data = json.loads(saved(page, "Data (JSON)", tmp_path).read_text())
        for number, name in enumerate(channels):
            assert data["channels"][name]["values"] == samples[number].tolist()
            assert data["channels"][name]["unit"] == units[number]
            vendor = by_rule[name]["vendor"]["peak_pressure" if name == "MicL" else "ppv"]
            assert np.abs(samples[number]).max() == pytest.approx(vendor["value"], rel=1e-6)
        assert data["results"]["channels"] == results["channels"]
        assert data["results"]["pvs"] == results["pvs"]

        # The report that the page links to: its words, its record and its results.
        address = page.get_by_role("link", name="Report (PDF)").get_attribute("href") or ""
        pdf = tmp_path / "report.pdf"
        with urlopen(base + address) as answer:
            pdf.write_bytes(answer.read())
        folder = tmp_path / "attached"
        folder.mkdir()
        attached = attached_to(pdf, folder)
        of_report = json.loads(attached["result.json"])["analysis"]["channels"]
        in_system = {"imperial": 1.0, "metric": 25.4}[system]
        text = text_of(pdf)
        for name in GROUNDS:
            own = of_report[name]["vendor"]["ppv"]
            value = own["value"] * (in_system if own["unit"] == "in/s" else 1.0)
            assert value == pytest.approx(by_rule[name]["vendor"]["ppv"]["value"], rel=1e-12)
        ppv = re.search(r"PPV (\S+) (\S+) (\S+) (\S+)", text)
        assert ppv is not None, text
        assert ppv[4] == ground
        for name, cell in zip(GROUNDS, ppv.groups(), strict=False):
            assert float(cell) == pytest.approx(by_rule[name]["vendor"]["ppv"]["value"], rel=0.005)
        record = attached["record.csv"].decode().splitlines()
        assert [line for line in record if not line.startswith("#")] == lines[len(notes) :]
        seen.close()


def test_print_opens_the_report_in_the_shown_units_of_measure(
    new_unit: NewUnit, visit: Open
) -> None:
    unit = new_unit("SIM0904", events=1)
    seen = visit(at(unit, "event/0"))
    page = seen.page
    expect(page.locator('[role="img"]')).to_have_count(4)
    page.get_by_label("Ground", exact=True).select_option("mm/s")
    shown = re.compile(r"/device/event/0/report\.pdf\?.*units=metric&inline=true")
    context = page.context
    with context.expect_event(
        "response", lambda one: one.request.method == "GET" and bool(shown.search(one.url))
    ) as waiting:
        page.get_by_role("button", name="Print", exact=True).click()
    assert waiting.value.status == 200
    assert waiting.value.headers["content-disposition"].startswith("inline; ")


POLICY = {"Content-Security-Policy": "default-src 'none'"}
"""With each answer of the relay; this one is the test's own."""


def test_a_relay_that_makes_no_reports_prints_the_page(new_unit: NewUnit, visit: Open) -> None:
    unit = new_unit("SIM0905", events=1)
    seen = visit(at(unit, "event/0"))
    seen.fails = True
    page = seen.page
    expect(page.locator('[role="img"]')).to_have_count(4)
    page.route("**/report.pdf?*", lambda route: route.fulfill(status=501, headers=POLICY))
    page.evaluate("() => { window.print = () => { window.printed = true; }; }")
    page.get_by_role("button", name="Print", exact=True).click()
    page.wait_for_function("() => window.printed")


def trace_pixels(page: Page, png: Path) -> dict[str, Any]:
    """Return the size of a picture, and what its corners and its middle columns have."""
    found: dict[str, Any] = page.evaluate(
        """async (data) => {
            const image = new Image();
            image.src = "data:image/png;base64," + data;
            await image.decode();
            const canvas = document.createElement("canvas");
            [canvas.width, canvas.height] = [image.width, image.height];
            const context = canvas.getContext("2d", { willReadFrequently: true });
            context.drawImage(image, 0, 0);
            const corner = [...context.getImageData(1, 1, 1, 1).data];
            return { width: image.width, height: image.height, corner };
        }""",
        base64.b64encode(png.read_bytes()).decode(),
    )
    return found


def test_a_saved_picture_is_light_and_as_large_on_a_phone_and_says_what_it_is(
    new_unit: NewUnit, visit: Open, tmp_path: Path
) -> None:
    unit = new_unit("SIM0906", events=1)
    seen = visit(at(unit, "event/0"), color_scheme="dark")
    page = seen.page
    expect(page.locator('[role="img"]')).to_have_count(4)
    expect(page.get_by_role("region", name="Peak velocity by frequency")).to_be_visible()
    # What is written on a canvas is in no document: it is noted on its way there.
    page.evaluate(
        """() => {
            window.written = [];
            const fill = CanvasRenderingContext2D.prototype.fillText;
            CanvasRenderingContext2D.prototype.fillText = function (text, ...rest) {
                if (!this.canvas.isConnected) window.written.push(text);
                return fill.call(this, text, ...rest);
            };
        }"""
    )
    wide = trace_pixels(page, saved(page, "Picture (PNG)", tmp_path))
    text = " ".join(page.evaluate("() => window.written"))
    event = api(seen.base, unit, "event/0")
    peaks = event["peaks"]
    for words in (
        "SIMULATED",
        "SIM0906",
        event["timestamp"].replace("T", " "),
        event["project"],
        f"PVS {peaks['vector_sum_in_s']:.3f} in/s",
        f"{peaks['tran_in_s']:.3f} in/s",
        f"{peaks['mic_db']:.1f} dB(L)",
        "No limit curve is chosen",
    ):
        assert words in text, words
    assert wide["corner"] == [255, 255, 255, 255], "light, from a dark screen too"
    page.set_viewport_size(NARROW)
    narrow = trace_pixels(page, saved(page, "Picture (PNG)", tmp_path))
    assert (narrow["width"], narrow["height"]) == (wide["width"], wide["height"])
    # A part of the record says which.
    page.get_by_role("button", name="Zoom in").click()
    saved(page, "Picture (PNG)", tmp_path)
    assert "Shown: -" in " ".join(page.evaluate("() => window.written"))


def span_s(page: Page) -> tuple[float, float]:
    """Return from when to when the charts show the record, as their text has it, in s."""
    words = (page.locator('[role="img"]').first.get_attribute("aria-label") or "").split()
    return float(words[words.index("from") + 1]), float(words[words.index("to") + 1])


def test_on_a_phone_two_fingers_zoom_and_one_moves_what_is_zoomed(
    new_unit: NewUnit, visit: Open
) -> None:
    unit = new_unit("SIM0907", events=1)
    seen = visit(at(unit, "event/0"), has_touch=True, is_mobile=True)
    page = seen.page
    page.set_viewport_size(NARROW)
    expect(page.locator('[role="img"]')).to_have_count(4)
    plot = page.locator(".chart-plot .u-over").nth(1)
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    assert box is not None
    y, left, width = box["y"] + box["height"] / 2, box["x"], box["width"]
    session = page.context.new_cdp_session(page)

    def touch(kind: str, *parts: float) -> None:
        points = [{"x": left + part * width, "y": y, "id": i} for i, part in enumerate(parts)]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    chart = page.locator('[role="img"]').first
    label, whole = chart.get_attribute("aria-label") or "", span_s(page)
    touch("touchStart", 0.4, 0.6)
    for step in range(1, 6):
        touch("touchMove", 0.4 - 0.05 * step, 0.6 + 0.05 * step)
    touch("touchEnd")
    pinched = span_s(page)
    factor = (pinched[1] - pinched[0]) / (whole[1] - whole[0])
    assert factor == pytest.approx(0.2 / 0.7, rel=0.1), "what was under a finger stays under it"
    middle = sum(whole) / 2
    assert sum(pinched) / 2 == pytest.approx(middle, abs=0.05)
    touch("touchStart", 0.5)
    for step in range(1, 6):
        touch("touchMove", 0.5 - 0.06 * step)
    touch("touchEnd")
    dragged = span_s(page)
    assert dragged[1] - dragged[0] == pytest.approx(pinched[1] - pinched[0], abs=0.003)
    assert dragged[0] - pinched[0] == pytest.approx(0.3 * (pinched[1] - pinched[0]), rel=0.2)
    page.get_by_role("button", name="Whole record").click()
    expect(chart).to_have_attribute("aria-label", label)
    seen.look("event-phone")


def test_a_limit_curve_that_was_chosen_is_on_screen_chart_and_report(
    new_unit: NewUnit, visit: Open, tmp_path: Path
) -> None:
    unit = new_unit("SIM0908", events=1)
    with relay(database=tmp_path / "relay.sqlite", SFM_REGION="US") as own:
        seen = visit(at(unit, "event/0"), at=own.base)
        page = seen.page
        chart = page.get_by_role("region", name="Peak velocity by frequency")
        expect(chart).to_contain_text("USBM RI 8507")
        body = {"curves": ["din4150-3-line1"], "results": "refined"}
        answer = page.request.put(
            f"{own.base}/limit-choices", data=body, headers={"Origin": own.base}
        )
        assert answer.ok, answer.text()
        page.reload()
        expect(chart.get_by_role("img")).to_have_attribute("alt", re.compile("DIN 4150-3"))
        expect(chart).not_to_contain_text("USBM RI 8507")
        found = api(own.base, unit, "event/0/chart", units="imperial")
        [verdict] = found["verdicts"]
        assert verdict["results"] == "refined"
        expect(chart).to_contain_text(verdict["detail"])
        expect(chart).to_contain_text(verdict["source"])
        expect(page.locator(".event-head .verdict")).to_have_text(
            f"Over DIN 4150-3 table 1: {verdict['channel']} {verdict['share_percent']:.0f} % of it"
        )
        seen.look("event-verdict")
        pdf = tmp_path / "report.pdf"
        address = page.get_by_role("link", name="Report (PDF)").get_attribute("href") or ""
        with urlopen(own.base + address) as sent:
            pdf.write_bytes(sent.read())
        assert verdict["title"] in " ".join(text_of(pdf).split())
        seen.close()


def test_a_microphone_that_heard_nothing_is_not_available_on_screen_as_on_paper(
    new_unit: NewUnit, visit: Open
) -> None:
    simulated = SimulatedUnit("SIM0909")
    counts = np.zeros((4, 1280), np.int16)
    counts[:3] = np.rint(300 * np.sin(np.arange(1280) / 9))
    simulated.record_event(counts=counts)
    unit = new_unit("SIM0909", events=0, unit=simulated)
    seen = visit(at(unit, "event/0"))
    page = seen.page
    expect(page.locator('[role="img"]')).to_have_count(4)
    assert figures_on(page)["Microphone"] == "not available"
    table = page.get_by_role("table", name="(vendor)")
    expect(table.get_by_role("row", name="MicL")).to_contain_text("not available")
    expect(page.locator(".chart-MicL .chart-margin")).to_have_text("not available")
    seen.look("event-without-microphone")


def test_overlay_review_export_and_report_are_in_the_head_and_reached_by_keys(
    new_unit: NewUnit, visit: Open, tmp_path: Path
) -> None:
    unit = new_unit("SIM0915", events=2)
    seen = visit(at(unit, "event/1"))
    page = seen.page
    expect(page.locator('[role="img"]')).to_have_count(4)
    head = page.locator(".event-head")
    expect(head.get_by_label("Another event of this unit")).to_be_visible()
    expect(head.get_by_role("link", name="Report (PDF)")).to_be_visible()
    menu, items = head.locator(".menu summary"), head.locator(".menu-list button")
    expect(items.first).to_be_hidden()
    menu.focus()
    page.keyboard.press("Enter")
    expect(items).to_have_text(
        [
            "Picture (PNG)",
            "Samples (CSV)",
            "Data (JSON)",
            "Blastware (ASCII)",
            "Table (Parquet)",
        ]
    )
    seen.look("event-export")
    page.keyboard.press("Tab")
    expect(items.first).to_be_focused()
    page.keyboard.press("Escape")
    expect(items.first).to_be_hidden()
    expect(menu).to_be_focused()
    # Three ways to close it: a choice, a look elsewhere by Tab, and by a press.
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    with page.expect_download() as waiting:
        page.keyboard.press("Enter")
    assert waiting.value.suggested_filename.endswith(".csv")
    expect(items.first).to_be_hidden()
    expect(menu).to_be_focused()
    page.keyboard.press("Enter")
    expect(items.first).to_be_visible()
    page.keyboard.press("Shift+Tab")
    expect(items.first).to_be_hidden()
    menu.click()
    expect(items.first).to_be_visible()
    page.get_by_role("heading", level=1).click()
    expect(items.first).to_be_hidden()
    # A finger has room for each of them.
    page.set_viewport_size(NARROW)
    menu.click()
    expect(items.first).to_be_visible()
    touched = head.locator("button, select, summary, a").all()
    sizes = [(one.inner_text(), one.bounding_box()) for one in touched]
    assert [text for text, box in sizes if box is not None and box["height"] < 44] == []
    seen.look("event-export-phone")


def test_review_leads_from_the_units_event_to_its_recording(new_unit: NewUnit, visit: Open) -> None:
    unit = new_unit("SIM0916", events=2)
    seen = visit(at(unit, "event/1"))
    page = seen.page
    expect(page.locator('[role="img"]')).to_have_count(4)
    page.get_by_role("button", name="Review", exact=True).click()
    expect(page).to_have_url(re.compile("#/archive/[0-9a-f]+$"))
    expect(page.get_by_role("heading", name="Review")).to_be_focused()
    page.get_by_role("heading", level=1).click()
    page.get_by_role("button", name="Review", exact=True).click()
    expect(page.get_by_role("heading", name="Review")).to_be_focused()
    page.go_back()
    expect(page).to_have_url(re.compile("#/unit/SIM0916/event/1$"))
    # One that the archive does not have says so.
    expect(page.locator('[role="img"]')).to_have_count(4)

    def emptied(route: Route) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, json={**answer.json(), "events": []})

    page.route("**/archive/events?*", emptied)
    page.get_by_role("button", name="Review", exact=True).click()
    expect(page.locator(".event-tools")).to_contain_text("not in the archive yet")


def test_what_a_curve_comes_from_is_short_on_screen_and_whole_on_demand_and_on_paper(
    new_unit: NewUnit, visit: Open, tmp_path: Path
) -> None:
    unit = new_unit("SIM0917", events=1)
    with relay(database=tmp_path / "relay.sqlite", SFM_REGION="US") as own:
        seen = visit(at(unit, "event/0"), at=own.base)
        page = seen.page
        chart = page.get_by_role("region", name="Peak velocity by frequency")
        expect(chart).to_contain_text("USBM RI 8507")
        source = api(own.base, unit, "event/0/chart", units="imperial")["verdicts"][0]["source"]
        first, *others = source.split("; ")
        assert others, "a curve with several sources"
        short = chart.get_by_text(f"{first} and {len(others)} more", exact=True)
        expect(short).to_be_visible()
        expect(chart.get_by_text(source, exact=True)).to_be_hidden()
        pdf = SCREENSHOTS / "print-event-sources.pdf"
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        page.pdf(path=pdf, format="A4")
        text = "".join(run_tool("pdftotext", pdf, "-").split())
        assert "".join(source.split()) in text
        assert f"and{len(others)}more" not in text
        short.click()
        expect(chart.get_by_text(others[-1])).to_be_visible()
        seen.close()
