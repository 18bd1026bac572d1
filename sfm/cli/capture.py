"""Captures: record every byte of a session in a file, and replay it without the unit."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from sfm.cli.application import (
    CommandError,
    Unit,
    advance,
    app,
    err,
    handles_errors,
    out,
    progress_bar,
)
from sfm.cli.files import refuse_missing_folder
from sfm.cli.routing import Baud, target_of
from sfm.cli.views import counted, safe_text

if TYPE_CHECKING:
    from minimateplus.client import MiniMate
    from minimateplus.model import Progress as Step

__all__ = ["capture"]

SURVEY, SURVEY_WITH_WAVEFORMS = "survey", "survey with waveforms"
"""What a capture of ours asked, written into its note, so that a replay can ask it again."""


async def _survey(unit: MiniMate, waveforms: bool, on_step: Callable[[Step], None]) -> list[str]:
    """Read everything from a unit; return one line per value, in a fixed order."""
    from sfm.records import payloads

    info = await unit.read_info()
    probe = await unit.read_probe()
    status = await unit.read_monitor_status()
    found = [] if probe.is_empty else await unit.read_events(on_progress=on_step)
    lines = [
        f"unit {info.serial}, firmware {info.firmware}{', SIMULATED' if info.simulated else ''}",
        f"memory: {counted(len(found), 'events')}, {probe.lifetime_count} ever recorded",
        f"status: {json.dumps(payloads.status_payload(status))}",
        *(f"event: {json.dumps(payloads.event_payload(event))}" for event in found),
    ]
    if waveforms:
        for event in found:
            waveform = await unit.read_waveform(event, on_progress=on_step)
            lines.append(
                f"waveform {event.index}: {waveform.counts.shape[1]} samples, valid "
                f"{', '.join(map(str, waveform.valid_samples))} of Tran, Vert, Long, MicL"
            )
    return lines


@app.command
@handles_errors
async def capture(
    unit: Unit,
    file: Path,
    *,
    waveforms: Annotated[bool, Parameter(negative=())] = False,
    baud: Baud = None,
) -> None:
    """
    Read a unit directly and record every byte to a file that can be replayed, or sent to us.

    Parameters
    ----------
    file
        Where to write; plain text, one JSON object a line.
    waveforms
        Download every waveform too.
    """
    from minimateplus.client import MiniMate
    from minimateplus.link import open_link
    from minimateplus.link.capture import CaptureLink
    from sfm.access.names import parse_host
    from sfm.cli.configuration import load_settings

    refuse_missing_folder(file)
    found = target_of(unit, baud)
    # A unit is read directly here: no relay's roster is asked for a word.
    address = parse_host(found) if isinstance(found, str) else found
    note = SURVEY_WITH_WAVEFORMS if waveforms else SURVEY
    link = await open_link(address, load_settings().deadlines)
    try:
        sink = file.open("x", encoding="utf-8")
    except OSError as error:
        await link.close()
        raise CommandError(f"cannot write {file}: {error.strerror}") from error
    with sink, progress_bar() as bar:
        task = bar.add_task(f"reading {address}", total=None)

        def show(step: Step) -> None:
            advance(bar, task, step.what, step.done, step.total)

        recording = CaptureLink(link, sink, note=note)
        async with MiniMate.connect(recording, deadlines=load_settings().deadlines) as mate:
            lines = await _survey(mate, waveforms, show)
    for line in lines:
        out.print(safe_text(line))
    err.print(safe_text(f"written to {file}"))


@app.command
@handles_errors
async def replay(file: Path, *, frames: Annotated[bool, Parameter(negative=())] = False) -> None:
    """
    Read a capture as if it were the unit, or list what crossed the wire.

    Parameters
    ----------
    file
        A capture made by seismo-relay capture.
    frames
        List the frames with their times instead.
    """
    from minimateplus.client import MiniMate
    from minimateplus.errors import CaptureError
    from minimateplus.link.capture import ReplayLink, load_capture

    loaded = load_capture(file)
    if frames:
        _list_frames(file)
        return
    if loaded.note not in (SURVEY, SURVEY_WITH_WAVEFORMS):
        raise CaptureError(f"{file}: not made by seismo-relay capture; list it with --frames")
    async with MiniMate.connect(ReplayLink(loaded)) as unit:
        for line in await _survey(unit, loaded.note == SURVEY_WITH_WAVEFORMS, lambda _: None):
            out.print(safe_text(line))


def _list_frames(file: Path) -> None:
    from minimateplus.link.capture import load_capture
    from minimateplus.wire.commands import COMMANDS
    from minimateplus.wire.framing import Direction, FrameReader, reply_sub

    loaded = load_capture(file)
    readers = {
        "host": FrameReader(Direction.REQUEST),
        "unit": FrameReader(Direction.REPLY),
    }
    out.print(safe_text(f"{loaded.link}, {loaded.started_at}, {loaded.note}"))
    for chunk in loaded.chunks:
        for frame in readers[chunk.side].feed(chunk.data):
            asked = frame.sub if chunk.side == "host" else reply_sub(frame.sub)
            name = COMMANDS[asked].name if asked in COMMANDS else "unknown"
            arrow: Literal["->", "<-"] = "->" if chunk.side == "host" else "<-"
            at = str(timedelta(seconds=chunk.t_s))
            sys.stdout.write(
                f"{at} {arrow} {frame.sub:02X} {name} length {frame.length:04X} "
                f"params {frame.params.hex()} {frame.payload.hex(' ')}\n"
            )
    for side, reader in readers.items():
        if reader.skipped_bytes or reader.broken_frames:
            sys.stdout.write(
                f"{side}: {reader.skipped_bytes} bytes in no frame, "
                f"{reader.broken_frames} broken frames\n"
            )
