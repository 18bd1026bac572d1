"""What a person sees: tables with units, where each thing comes from, a bar for what takes long."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

__all__ = [
    "UNKNOWN",
    "audit_view",
    "call_home_view",
    "command_view",
    "events_view",
    "fetch_view",
    "info_view",
    "number",
    "operation_view",
    "peak",
    "plain",
    "problem_view",
    "safe_text",
    "show",
    "sparkline",
    "status_view",
    "text",
    "waveform_view",
]

Body = Mapping[str, Any]

UNKNOWN = "unknown"


def plain(words: str) -> str:
    """
    Return ``words`` with a sign of ours for each that would move a terminal; line ends stay.

    What a unit, a file or a relay says may hold anything.

    >>> plain("north\\x1b[2J face")
    'north\ufffd[2J face'
    """
    if words.isprintable():
        return words
    return "".join(c if c.isprintable() or c == "\n" else "\ufffd" for c in words)


def safe_text(words: str, style: str = "") -> Text:
    """Return words of somebody else as text for the terminal: no markup, nothing unprintable."""
    return Text(plain(words), style)


def source_line(provenance: Mapping[str, Any]) -> str:
    """Return one sentence on where an answer comes from, how old it is and what it cost."""
    exchanges = provenance["exchanges"]
    cost = f"{exchanges} exchanges" if exchanges else "no exchange"
    took = f", {provenance['took_s']:.3f} s" if exchanges else ""
    checked = provenance["checked_age_s"]
    parts = [f"from {'the unit' if provenance['source'] == 'device' else 'cache'}: {cost}{took}"]
    parts.append(_read_when(provenance))
    if checked is not None:
        parts.append(f"checked {age(checked)} ago")
    parts.append(f"serial {provenance['serial']}, epoch {provenance['epoch']}")
    if provenance["quality"] != "good":
        parts.append(f"quality {provenance['quality']}")
    if provenance["simulated"]:
        parts.append("SIMULATED")
    return "; ".join(parts)


def _read_when(provenance: Mapping[str, Any]) -> str:
    """Return how long ago the read was; its date by the relay's clock if the age is unknown."""
    if provenance["age_s"] is not None:
        return f"read {age(provenance['age_s'])} ago"
    read_at = provenance.get("read_at")
    when = "at an unknown time" if read_at is None else f"at {read_at[:19].replace('T', ' ')} UTC"
    return f"read {when} by the relay's clock, age unknown since a restart"


def age(seconds: float) -> str:
    """
    Return a duration for reading.

    >>> age(0.2), age(75), age(7300)
    ('0.2 s', '1 min 15 s', '2 h 1 min')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, delay_s = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {delay_s} s"
    return f"{minutes // 60} h {minutes % 60} min"


def number(value: float | None, unit: str = "", digits: int = 3) -> str:
    """Return a figure with its unit; an unknown one says so."""
    return UNKNOWN if value is None else f"{value:.{digits}f}{' ' if unit else ''}{unit}"


def peak(peaks: Mapping[str, Any], name: str, unit: str = "", digits: int = 3) -> str:
    """Return a reported peak; one at the end of the range says that it was at least that."""
    return (peaks["bound"][name] or "") + number(peaks[name], unit, digits)


def text(value: object) -> str:
    """Return a value as text; an unknown one says so."""
    return UNKNOWN if value is None else str(value)


def _facts(rows: list[tuple[str, str]]) -> Table:
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="dim")
    table.add_column()
    for name, value in rows:
        table.add_row(name, safe_text(value))
    return table


def info_view(body: Body) -> RenderableType:
    """Return identity and setup as a table."""
    setup = body["setup"]
    kind = " (SIMULATED)" if body["simulated"] else ""
    return _facts(
        [
            ("Serial", f"{body['serial']}{kind}"),
            ("Model", f"{text(body['manufacturer'])} {text(body['model'])}"),
            ("Firmware", f"{text(body['firmware'])}, DSP {text(body['dsp_firmware'])}"),
            ("Calibrated on", text(body["calibrated_on"])),
            ("Recording", f"{text(setup['mode'])}, {number(setup['record_time_s'], 's', 1)}"),
            ("Sample rate", f"{text(setup['sample_rate_hz'])} samples/s per channel"),
            ("Geophone range", number(setup["geo_range_in_s"], "in/s")),
            (
                "Geophone levels",
                f"trigger {number(setup['trigger_level_in_s'], 'in/s')}, "
                f"alarm {number(setup['alarm_level_in_s'], 'in/s')}",
            ),
            (
                "Microphone levels",
                f"trigger {number(setup['mic_trigger_psi'], 'psi', 4)}, "
                f"alarm {number(setup['mic_alarm_psi'], 'psi', 4)}",
            ),
            ("Setup", text(setup["setup_name"])),
            (_titled(setup, "project"), text(setup["project"])),
            (_titled(setup, "client"), text(setup["client"])),
            (_titled(setup, "operator"), text(setup["operator"])),
            (_titled(setup, "location"), text(setup["location"])),
            (_titled(setup, "notes"), text(setup["notes"])),
            *(
                [("A title met on the unit", f'"{title}": which text it names is unknown')]
                if (title := (setup.get("note_titles") or {}).get("unknown"))
                else []
            ),
        ]
    )


def _titled(setup: Body, name: str) -> str:
    """Return the name of a text, with its title on the unit where that was edited."""
    title = (setup.get("note_titles") or {}).get(name)
    return name.capitalize() + (f' ("{title}" on the unit)' if title else "")


def events_view(body: Body) -> RenderableType:
    """Return the event list as a table, newest first."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("#", justify="right", no_wrap=True, min_width=3)
    for name, width in (("Key", 8), ("Unit's time", 19)):
        table.add_column(name, no_wrap=True, min_width=width)
    for name, unit in (("Tran", "in/s"), ("Vert", "in/s"), ("Long", "in/s"), ("PVS", "in/s")):
        table.add_column(f"{name}\n{unit}", justify="right", no_wrap=True, min_width=5)
    table.add_column("MicL\ndB(L)", justify="right", no_wrap=True, min_width=5)
    table.add_column("Project", no_wrap=True, overflow="ellipsis", min_width=8)
    for event in reversed(body["events"]):
        peaks = event["peaks"]
        table.add_row(
            str(event["index"]),
            event["waveform_key"],
            text(event["timestamp"]).replace("T", " "),
            peak(peaks, "tran_in_s"),
            peak(peaks, "vert_in_s"),
            peak(peaks, "long_in_s"),
            peak(peaks, "vector_sum_in_s"),
            peak(peaks, "mic_db", digits=1),
            safe_text(text(event["project"])),
        )
    count = body["count"]
    if count is None:
        return Group(f"First {body['walked']} events; the list is not complete", table)
    return Group(f"{count} event{'' if count == 1 else 's'} stored", table)


def status_view(body: Body) -> RenderableType:
    """Return the monitor status as a table."""
    total, free = body["memory_total_bytes"], body["memory_free_bytes"]
    memory = UNKNOWN
    if total:
        memory = f"{free:,} of {total:,} bytes free ({100 * (total - free) / total:.1f} % used)"
    return _facts(
        [
            ("Monitoring", "yes" if body["monitoring"] else "no"),
            ("Unit's clock", text(body["clock_device_time"]).replace("T", " ")),
            ("Its drift", _drift(body)),
            ("Battery", number(body["battery_v"], "V", 2)),
            ("Memory", memory),
        ]
    )


def call_home_view(body: Body) -> RenderableType:
    """Return call-home settings as a table."""
    times = [
        f"{text(body[f'{name}_time'])} ({'on' if body[f'{name}_enabled'] else 'off'})"
        for name in ("first", "second")
    ]
    return _facts(
        [
            ("Calls by itself", "yes" if body["enabled"] else "no"),
            ("Dials", text(body["dial"])),
            ("After each event", "yes" if body["after_event"] else "no"),
            ("At times of day", "yes" if body["at_times"] else "no"),
            ("Times (unit's clock)", ", ".join(times)),
            ("Retries", f"{body['retries']}, {body['retry_wait_s']} s apart"),
            ("Waits for connection", f"{body['connect_wait_s']} s"),
            ("Warm-up of the modem", f"{body['warm_up_s']} s"),
        ]
    )


OUTCOMES = {
    "done": "done",
    "unchanged": "no change was needed",
    "dry_run": "dry run: nothing was sent",
    "unknown": "sent, effect unknown; read the unit before you repeat it",
}


def command_view(body: Body) -> Table:
    """Return how a command ended as a table: what changed, what was seen afterwards."""
    rows = [("Unit", f"{text(body['serial'])} at {body['conn_key']}")]
    if body["simulated"]:
        rows.append(("", "SIMULATED"))
    rows.append((body["command"].replace("_", " ").capitalize(), OUTCOMES[body["outcome"]]))
    if body.get("monitoring") is not None:
        rows.append(("Monitoring now", "yes" if body["monitoring"] else "no"))
    if body.get("poll_failed"):
        rows.append(("Not seen afterwards", body["poll_failed"]))
    for change in body.get("changes", ()):
        rows.append((change["field"], f"{_word(change['before'])} -> {_word(change['after'])}"))
        rows += [
            ("", f"byte {at['offset']}: {at['before']} -> {at['after']}") for at in change["bytes"]
        ]
    if type(body.get("erased")) is int:
        rows.append(("Events erased", str(body["erased"])))
    if body.get("not_archived"):
        rows.append(("Not in the archive", f"{len(body['not_archived'])} of them"))
    if body.get("contradicted"):
        listed = ", ".join(map(str, body["contradicted"]))
        rows.append(("Contradicted", f"event {listed}: archived, and its parts do not agree"))
    number_of = body["audit_number"]
    rows.append(("Audit entry", "none" if number_of is None else str(number_of)))
    return _facts(rows)


def operation_view(body: Body) -> RenderableType:
    """Return how far a long command is; once it has ended, its result or problem."""
    far = UNKNOWN
    if body["what"] is not None:
        of = "" if body["total"] is None else f" of {body['total']:g}"
        far = f"{body['done']:g}{of} {body['what']}"
    head = _facts(
        [
            ("Operation", body["id"]),
            ("Command", f"{body['kind'].replace('_', ' ')} of {body['unit']}"),
            ("State", body["state"]),
            ("Progress", far),
            ("Begun", body["begun_at"]),
            ("Ended", "not yet" if body["ended_at"] is None else body["ended_at"]),
        ]
    )
    if body["problem"] is not None:
        return Group(head, problem_view(body["problem"]))
    if body["result"] is None:
        return head
    view = fetch_view if body["kind"] == "fetch" else command_view
    return Group(head, view(body["result"]))


def fetch_view(body: Body) -> Table:
    """Return what a fetch archived as a table, and what it could not read."""
    rows = [("Unit", f"{text(body['serial'])} at {body['conn_key']}")]
    if body["simulated"]:
        rows.append(("", "SIMULATED"))
    rows += [
        ("Events stored", str(body["events"])),
        ("Archived now", f"{body['archived']}, {body['read_bytes']:,} bytes"),
        ("Archived before", str(body["already_archived"])),
    ]
    if body["contradicted"]:
        listed = ", ".join(map(str, body["contradicted"]))
        rows.append(("Contradicted", f"event {listed}: archived, and its parts do not agree"))
    rows += [
        (f"Event {one['index']}", f"{one['waveform_key']}, {one['timestamp'] or UNKNOWN}: NOT "
         f"archived: {one['why']}")
        for one in body["failed"]
    ]  # fmt: skip
    rows.append(("Cost", f"{body['exchanges']:,} exchanges in {body['took_s']:,.1f} s"))
    return _facts(rows)


def audit_view(body: Body) -> RenderableType:
    """Return entries of the audit log: each a line of who did what, and one of its detail."""
    blocks: list[RenderableType] = []
    for entry in body["entries"]:
        of = "" if entry.get("of") is None else f", begun in {entry['of']}"
        line = safe_text(f"{entry['number']:>5}  {entry['at'][:19].replace('T', ' ')}Z  ")
        line.append_text(safe_text(f"{entry['command']} {entry['outcome']}", "bold"))
        units = " at ".join(part for part in (entry.get("serial"), entry.get("unit")) if part)
        by = f"by {entry['actor']} ({entry['role']}) from {entry['origin']}"
        line.append_text(safe_text(f"{of}  {units or 'the relay'}  {by}"))
        blocks.append(line)
        if detail := _audit_detail(entry.get("detail") or {}):
            blocks.append(Padding(safe_text(detail, "dim"), (0, 0, 0, 7)))
    return Group(*blocks) if blocks else Text("The log has no entry.")


def _audit_detail(detail: Mapping[str, Any]) -> str:
    parts = []
    for name, value in detail.items():
        if name == "changes":  # their bytes are for --json
            changes = (f"{c['field']} {_word(c['before'])} -> {_word(c['after'])}" for c in value)
            parts.append(", ".join(changes))
        else:
            parts.append(value if name == "error" else f"{name.replace('_', ' ')}: {_word(value)}")
    return "; ".join(part for part in parts if part)


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return text(value)


def _drift(body: Body) -> str:
    """Return how far the unit's clock is off, and that nobody can set it from here."""
    sentence = body.get("clock_sentence")
    return f"{sentence} It cannot be set over the wire." if sentence else UNKNOWN


SPARKS = "▁▂▃▄▅▆▇█"
SPARK_COLUMNS = 64


def sparkline(values: list[float], columns: int = SPARK_COLUMNS) -> str:
    """Return the envelope of a record, largest magnitude in each column."""
    if not values:
        return ""
    columns = min(columns, len(values))
    edges = [i * len(values) // columns for i in range(columns + 1)]
    heights = [max(abs(v) for v in values[a:b]) for a, b in pairwise(edges)]
    top = max(heights) or 1.0
    return "".join(SPARKS[min(7, int(8 * height / top))] for height in heights)


def _samples(body: Body) -> str:
    announced, rate = body["announced_samples"], text(body["sample_rate_hz"])
    of = "" if announced in (None, body["samples"]) else f" (the unit announces {announced:,})"
    unconfirmed = ", unconfirmed" if body["sample_rate_source"] == "setup" else ""
    return f"{body['samples']:,} per channel{of} at {rate}/s{unconfirmed}"


def waveform_view(body: Body) -> RenderableType:
    """Return the four channels as envelopes with their peaks."""
    start, step = body["time"]["start"], body["time"]["step"]
    span = UNKNOWN
    if step is not None:
        span = f"{start:.3f} to {start + step * body['samples']:.3f} s, trigger at 0"
    head = _facts(
        [
            ("Event", f"{body['index']}, key {body['waveform_key']}"),
            ("Unit's time", text(body["timestamp"]).replace("T", " ")),
            ("Samples", _samples(body)),
            ("Time", span),
            ("Project", text(body["project"])),
        ]
    )
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name in ("Channel", "Peak", "At", "Envelope"):
        table.add_column(name)
    for name, channel in body["channels"].items():
        digits = 5 if channel["unit"] == "psi" else 3
        table.add_row(
            name,
            (channel["bound"] or "") + number(channel["peak"], channel["unit"], digits),
            number(channel["peak_time_s"], "s"),
            sparkline(channel["values"]),
        )
    parts: list[RenderableType] = [head, table]
    if any("over_range" in channel["flags"] for channel in body["channels"].values()):
        parts.append(safe_text("> over range: the motion was at least that"))
    parts += [safe_text(f"Not good: {reason['detail']}", "bold") for reason in body["reasons"]]
    return Group(*parts)


def problem_view(problem: Body) -> RenderableType:
    """Return a problem as one or two lines."""
    status = problem.get("status", "")
    return safe_text(f"{problem.get('title', 'Error')} ({status}): {problem.get('detail', '')}")


def show(console: Console, view: RenderableType, body: Body) -> None:
    """Print a view and, dimmed below it, where it comes from, if it is a reading."""
    console.print(view)
    if "provenance" in body:
        console.print(safe_text(source_line(body["provenance"]), style="dim"))
