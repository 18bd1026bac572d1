"""What a person sees: tables with units, where each thing comes from, a bar for what takes long."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from sfm.cli.measures import UnitsName, converted, waveform_in
from sfm.cli.tables import Head, ListTable, facts_table

__all__ = [
    "LIMIT_HEADS",
    "UNKNOWN",
    "Envelope",
    "audit_view",
    "call_home_view",
    "command_view",
    "counted",
    "events_view",
    "fetch_view",
    "info_view",
    "is_judged",
    "limit_cells",
    "limit_notes",
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
    "velocity",
    "verdict_text",
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


def counted(number: float, what: str) -> str:
    """
    Return a number with what it counts, which is given as for several.

    >>> counted(1, "events archived"), counted(2, "events"), counted(5, "s without an answer")
    ('1 event archived', '2 events', '5 s without an answer')
    """
    word, _, rest = what.partition(" ")
    if number == 1:
        word = word.removesuffix("s") or word  # s alone is the unit
    return f"{number:,} {word} {rest}".rstrip()


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


def number(
    value: float | None, unit: str = "", digits: int = 3, units: UnitsName | None = None
) -> str:
    """Return a figure with its unit of measure; an unknown one says so."""
    value, unit = converted(value, unit, units)
    return UNKNOWN if value is None else f"{value:.{digits}f}{' ' if unit else ''}{unit}"


def peak(
    peaks: Mapping[str, Any],
    name: str,
    unit: str = "",
    digits: int = 3,
    units: UnitsName | None = None,
) -> str:
    """Return a reported peak; one at the end of the range says that it was at least that."""
    return (peaks["bound"][name] or "") + number(peaks[name], unit, digits, units)


def velocity(peaks: Mapping[str, Any], name: str, units: UnitsName | None) -> str:
    """Return a reported peak velocity for a column whose head has the unit of measure."""
    return peak(peaks, name, "in/s", units=units).partition(" ")[0]


def text(value: object) -> str:
    """Return a value as text; an unknown one says so."""
    return UNKNOWN if value is None else str(value)


def _facts(rows: list[tuple[str, str]]) -> Table:
    return facts_table((name, safe_text(value)) for name, value in rows)


def info_view(body: Body, units: UnitsName | None = None) -> RenderableType:
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
            ("Geophone range", number(setup["geo_range_in_s"], "in/s", units=units)),
            (
                "Geophone levels",
                f"trigger {number(setup['trigger_level_in_s'], 'in/s', units=units)}, "
                f"alarm {number(setup['alarm_level_in_s'], 'in/s', units=units)}",
            ),
            (
                "Microphone levels",
                f"trigger {number(setup['mic_trigger_psi'], 'psi', 4, units)}, "
                f"alarm {number(setup['mic_alarm_psi'], 'psi', 4, units)}",
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


def events_view(body: Body, units: UnitsName | None = None) -> RenderableType:
    """Return the event list as a table, newest first."""
    _, in_velocity = converted(None, "in/s", units)
    judged = is_judged(body["events"])
    table = ListTable(
        Head(name="#", is_right=True),
        Head(name="Key", rank=4),
        Head(name="Unit's time", rank=0),
        *(
            Head(name=f"{name}\n{in_velocity}", is_right=True, rank=rank)
            for name, rank in (("Tran", 5), ("Vert", 5), ("Long", 5), ("PVS", 0))
        ),
        Head(name="MicL\ndB(L)", is_right=True, rank=2),
        *(LIMIT_HEADS if judged else ()),
        Head(name="Project", is_text=True, rank=3),
    )
    for event in reversed(body["events"]):
        peaks = event["peaks"]
        table.add_row(
            str(event["index"]),
            event["waveform_key"],
            text(event["timestamp"]).replace("T", " "),
            velocity(peaks, "tran_in_s", units),
            velocity(peaks, "vert_in_s", units),
            velocity(peaks, "long_in_s", units),
            velocity(peaks, "vector_sum_in_s", units),
            peak(peaks, "mic_db", digits=1),
            *(limit_cells(event) if judged else ()),
            safe_text(text(event["project"])),
        )
    count = body["count"]
    if count is None:
        head = f"First {counted(body['walked'], 'events')}; the list is not complete"
    else:
        head = f"{counted(count, 'events')} stored"
    notes = [safe_text(line, "dim") for line in limit_notes(body["events"])]
    return Group(head, table, *notes)


LIMIT_HEADS = (Head(name="Limit\n%", is_right=True), Head(name="at\nHz", is_right=True))
"""Of the columns that ``limit_cells`` fills."""


def is_judged(events: Sequence[Body]) -> bool:
    """Whether any event has a verdict; without one a list needs no columns for it."""
    return any(event.get("verdicts") for event in events)


def _worst(event: Body) -> Mapping[str, Any] | None:
    """Return the verdict that a row shows: one that exceeds, then the greatest share."""
    verdicts = event.get("verdicts") or []
    return max(
        verdicts,
        key=lambda one: (one["outcome"] == "exceeds", one["share_percent"] or 0.0),
        default=None,
    )


def limit_cells(event: Body) -> tuple[Text, Text]:
    """Return the share of the limit, marked where it exceeds, and the frequency."""
    worst = _worst(event)
    if worst is None or worst["share_percent"] is None:
        return Text("-"), Text("-")
    share = f"{worst['bound'] or ''}{worst['share_percent']:.0f}"
    if worst["outcome"] == "no_verdict":
        share += "?"
    hz = worst["frequency_hz"]
    at = "-" if hz is None else f"{worst['frequency_bound'] or ''}{hz:.3g}"
    return safe_text(share, "bold" if worst["outcome"] == "exceeds" else ""), Text(at)


def verdict_text(one: Body) -> str:
    """Return one verdict as words: "exceeds: at least 125 %, Tran at 12.5 Hz"."""
    words = "no verdict" if one["outcome"] == "no_verdict" else one["outcome"]
    if one["reason"] is not None:
        words += f" ({one['reason']})"
    if one["share_percent"] is None:
        return words
    bound = "at least " if one["bound"] else ""
    words += f": {bound}{one['share_percent']:.0f} % of the limit"
    hz = one["frequency_hz"]
    at = "" if hz is None else f" at {one['frequency_bound'] or ''}{hz:.3g} Hz"
    return f"{words}, {one['channel']}{at}" if one["channel"] else words


def limit_notes(events: Sequence[Body]) -> Iterator[str]:
    """Yield which curves were judged, what disagrees, and why some events have no verdict."""
    judged = [one for event in events for one in event.get("verdicts") or ()]
    curves = ", ".join(dict.fromkeys(one["curve"] for one in judged))
    if curves:
        yield f"Limit: {curves}. >: at least; ?: no verdict; -: none or not known."
    two = sum(
        1
        for event in events
        if any(one["other_outcome"] is not None for one in event.get("verdicts") or ())
    )
    if two:
        yield f"In {two} the vendor's figures and the refined ones lead to different verdicts."
    reasons: Counter[str] = Counter()  # each event once for each reason, whatever the curves
    for event in events:
        given = [one["reason"] for one in event.get("verdicts") or ()]
        reasons.update({one for one in (*given, event.get("no_verdict")) if one is not None})
    for reason, count in reasons.most_common():
        yield f"No verdict ({reason}): {count} of {len(events)} events"


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
            ("Clock drift", _drift(body)),
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
    outcome = OUTCOMES[body["outcome"]]
    if body["outcome"] == "dry_run" and not body.get("changes"):
        outcome += ", and nothing would change"
    rows.append((body["command"].replace("_", " ").capitalize(), outcome))
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
            *([("Trying again", body["trying_again"]["detail"])] if body["trying_again"] else []),
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


PLAIN_SPARKS = " .:-=+*#"
"""The same for an encoding that lacks them, such as cp1252."""


class Envelope:
    """The envelope of a record, as wide as its column, with signs that its console has."""

    def __init__(self, values: list[float]) -> None:
        self._values = values

    def __rich_console__(self, _: Console, options: ConsoleOptions) -> RenderResult:
        sparks = PLAIN_SPARKS if options.ascii_only else SPARKS
        yield Text(sparkline(self._values, min(SPARK_COLUMNS, options.max_width), sparks))

    def __rich_measure__(self, _: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(1, min(SPARK_COLUMNS, options.max_width))


def sparkline(values: list[float], columns: int = SPARK_COLUMNS, sparks: str = SPARKS) -> str:
    """Return the envelope of a record, largest magnitude in each column."""
    if not values:
        return ""
    columns = min(columns, len(values))
    edges = [i * len(values) // columns for i in range(columns + 1)]
    heights = [max(abs(v) for v in values[a:b]) for a, b in pairwise(edges)]
    top = max(heights) or 1.0
    return "".join(sparks[min(7, int(8 * height / top))] for height in heights)


def _samples(body: Body) -> str:
    announced, rate = body["announced_samples"], text(body["sample_rate_hz"])
    of = "" if announced in (None, body["samples"]) else f" (the unit announces {announced:,})"
    unconfirmed = ", unconfirmed" if body["sample_rate_source"] == "setup" else ""
    return f"{body['samples']:,} per channel{of} at {rate}/s{unconfirmed}"


def waveform_view(body: Body, units: UnitsName | None = None) -> RenderableType:
    """Return the four channels as envelopes with their peaks."""
    body = waveform_in(body, units)
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
    table = ListTable(
        "Channel", "Peak", Head(name="At", rank=2), Head(name="Envelope", is_text=True, rank=3)
    )
    for name, channel in body["channels"].items():
        digits = 5 if channel["unit"] == "psi" else 3
        table.add_row(
            name,
            (channel["bound"] or "") + number(channel["peak"], channel["unit"], digits),
            number(channel["peak_time_s"], "s"),
            Envelope(channel["values"]),
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
