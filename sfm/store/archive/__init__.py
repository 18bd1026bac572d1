"""
The archive: every physical event that was ever read, exactly once, for good.

The rule: an event is one by (serial, waveform key, timestamp, record), and the hash of these four
is its public id (``sfm.store.recording_names``). So a missing timestamp lets no twin in, two
triggers of one second stay two (their keys differ), and a second record under the same stamp is
kept beside the first and reported as a finding. Nothing is changed later, except that a row that
does not match its hash is repaired when its event is read again.

A row that does not match its hash is never returned. Numbers of rows are of this database
alone; callers from outside name a recording by its public id.

All functions take a connection inside a transaction of ``Store``.
"""

from __future__ import annotations

from sfm.store.archive.contents import (
    SamplesState,
    load_archived,
    load_recording,
    numbers_of,
    recording_numbered,
    samples_of,
)
from sfm.store.archive.entries import save_events, save_waveform
from sfm.store.archive.findings import load_findings, note, save_damage_finding
from sfm.store.archive.pages import Page, Wanted, load_devices, load_page
from sfm.store.archive.recordings import (
    AT_ONCE,
    Origin,
    find,
    name_of,
    sound_record,
    timestamp_text,
)
from sfm.store.archive.reviews import load_reviews, save_review
from sfm.store.archive.samples import (
    Samples,
    entered_waveform,
    load_image,
    load_samples,
    samples_numbered,
)

__all__ = [
    "AT_ONCE",
    "Origin",
    "Page",
    "Samples",
    "SamplesState",
    "Wanted",
    "entered_waveform",
    "find",
    "load_archived",
    "load_devices",
    "load_findings",
    "load_image",
    "load_page",
    "load_recording",
    "load_reviews",
    "load_samples",
    "name_of",
    "note",
    "numbers_of",
    "recording_numbered",
    "samples_numbered",
    "samples_of",
    "save_damage_finding",
    "save_events",
    "save_review",
    "save_waveform",
    "sound_record",
    "timestamp_text",
]
