"""Samples and images of recordings, as they were read last."""

from __future__ import annotations

from dataclasses import dataclass, replace

import orjson
from sqlalchemy import (
    Connection,
    RowMapping,
    select,
)

from sfm.records.digests import has_digest
from sfm.records.payloads import Payload
from sfm.store import decodings, schema
from sfm.store.archive.recordings import damage_of, event_payload, find, load_row, short
from sfm.store.codec import unpack
from sfm.store.errors import (
    DamagedRecordError,
    NoSuchRecordError,
    UndecodedSamplesError,
)
from sfm.store.row_hashes import (
    is_sound,
    read_rows,
)

__all__ = [
    "Samples",
    "as_read_last",
    "entered_waveform",
    "load_image",
    "load_samples",
    "samples_in_row",
    "samples_numbered",
    "waveform_row",
]

recordings, waveforms = schema.recordings, schema.recording_waveforms


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """A stored waveform, its samples still packed."""

    waveform_id: int
    recording_id: int
    """Number of the recording in this database."""
    public_id: str
    serial: str
    simulated: bool
    event: Payload
    facts: Payload
    """The waveform's payload (``sfm.records.payloads``) without event fields and counts."""
    codec: str
    frame: bytes | None
    counts_hash: bytes
    content_hash: bytes
    route: str
    read_at: str | None
    state: decodings.State = "decoded"
    decoder: int | None = None
    """Version of the decoder that read them; ``None``: it is not known."""
    reading_id: int | None = None
    """Number of the reading in this database; ``None``: it was entered before readings were."""

    @property
    def what(self) -> str:
        """The waveform's name for people."""
        return (
            f"recording {short(self.public_id)} ({self.serial}, {self.event['waveform_key']} "
            f"of {self.event['timestamp']})"
        )

    def counts(self) -> bytes:
        """
        Return the counts.

        Raises:
            DamagedRecordError: the stored bytes do not match their hash.
        """
        return unpack(self.frame, self.counts_hash, self.what)

    def payload(self) -> Payload:
        """
        Return the waveform's payload.

        Raises:
            DamagedRecordError: as with ``counts``.
            UndecodedSamplesError: the image is here, and its samples could not be decoded.
        """
        if self.state == "undecoded":
            why = "; ".join(reason["detail"] for reason in self.facts["reasons"])
            raise UndecodedSamplesError(f"{self.what}: {why}", self.public_id)
        return {**self.event, **self.facts, "counts": self.counts()}


def load_samples(
    connection: Connection, name: int | str, content_hash: bytes | None = None
) -> Samples:
    """
    Return a recording's samples: the first ones read, or those with that content hash.

    Raises:
        NoSuchRecordError: there is no such recording, or its waveform was never downloaded.
        AmbiguousIdError, DamagedRecordError: as with ``load_recording``.
    """
    number = find(connection, name)
    return samples_numbered(connection, recording_id=number, content_hash=content_hash)


def samples_numbered(
    connection: Connection,
    *,
    waveform_id: int | None = None,
    recording_id: int | None = None,
    content_hash: bytes | None = None,
) -> Samples:
    """
    Return a stored waveform by its number, or a recording's: the first sound one, or by its hash.

    Raises:
        NoSuchRecordError: there is none.
        DamagedRecordError: it does not match its hash.
    """
    w = waveforms.c
    if waveform_id is not None:
        numbers = [waveform_id]
    else:
        query = select(w.id).where(w.recording_id == recording_id).order_by(w.id)
        if content_hash is not None:
            query = query.where(w.content_hash == content_hash)
        numbers = list(connection.execute(query).scalars())
    damage: DamagedRecordError | None = None
    for number in numbers:
        try:
            return as_read_last(connection, samples_in_row(waveform_row(connection, number)))
        except DamagedRecordError as error:
            damage = damage or error
        except NoSuchRecordError:
            break
    if damage is not None:
        raise damage
    if recording_id is None:
        raise NoSuchRecordError(f"the archive has no waveform {waveform_id}")
    name = short(str(load_row(connection, recording_id)["public_id"]))
    if content_hash is None:
        raise NoSuchRecordError("the samples of this recording were never downloaded")
    raise NoSuchRecordError(f"recording {name} has no samples of the content {content_hash.hex()}")


def waveform_row(connection: Connection, number: int) -> RowMapping | None:
    """Return a waveform's row, without its image, joined with its recording's."""
    w = waveforms.c
    columns = [c.label(f"w_{c.name}") for c in w if c.name not in ("id", "image")]
    query = (
        select(w.id, *columns, *(c.label(f"r_{c.name}") for c in recordings.c))
        .join_from(waveforms, recordings)
        .where(w.id == number)
    )
    found = list(read_rows(connection, waveforms, query))
    if not found:
        raise NoSuchRecordError(f"the archive has no waveform {number}")
    return found[0].row


def samples_in_row(joined: RowMapping | None) -> Samples:
    """Return a waveform as it was entered, if it and its recording match their hashes."""
    if joined is None:
        raise DamagedRecordError("the facts of a stored waveform cannot be read")
    row = {name[2:]: value for name, value in joined.items() if name.startswith("r_")}
    mine = {name[2:]: value for name, value in joined.items() if name.startswith("w_")}
    if not is_sound("recordings", row):
        raise DamagedRecordError(damage_of(row["id"], row))  # type: ignore[arg-type]
    if not is_sound("recording_waveforms", mine, recording=row["public_id"]):
        raise DamagedRecordError(
            f"recording {short(row['public_id'])}: the facts of its samples do not match their hash"
        )
    facts = orjson.loads(mine["facts_json"])
    return Samples(
        waveform_id=joined["id"],
        recording_id=row["id"],
        public_id=row["public_id"],
        serial=row["serial"],
        simulated=row["simulated"],
        event=event_payload(row),
        facts=_completed(facts),
        codec=mine["codec"],
        frame=mine["counts"],
        counts_hash=bytes(mine["counts_hash"]),
        content_hash=bytes(mine["content_hash"]),
        route=mine["route"],
        read_at=mine["read_at"] or None,
        state="partial",
        decoder=None,
    )


def _completed(facts: Payload) -> Payload:
    return facts | {k: v for k, v in decodings.LEGACY.items() if k not in facts}


def entered_waveform(connection: Connection, waveform_id: int) -> tuple[Samples, bytes]:
    """
    Return a waveform as it was entered, and its recording's record.

    Raises:
        NoSuchRecordError: there is none of that number.
        DamagedRecordError: it or its recording does not match its hash.
    """
    joined = waveform_row(connection, waveform_id)
    entered = samples_in_row(joined)
    assert joined is not None
    if not has_digest(joined["r_record"], joined["r_content_hash"]):
        raise DamagedRecordError(f"{entered.what}: the stored record does not match its hash")
    return entered, bytes(joined["r_record"])


def as_read_last(connection: Connection, entered: Samples) -> Samples:
    """Return a waveform as the last reading of its image has it."""
    reading = decodings.latest(connection, entered.waveform_id, entered.content_hash, entered.what)
    if reading is None:
        return entered
    facts = orjson.loads(reading["facts_json"])
    read = replace(
        entered,
        facts=_completed(facts),
        state=reading["state"],
        decoder=reading["decoder"],
        reading_id=reading["id"],
    )
    if reading["counts_hash"] is None:  # it is of the counts that the waveform was entered with
        return read
    return replace(
        read,
        codec=reading["codec"],
        frame=reading["counts"],
        counts_hash=bytes(reading["counts_hash"]),
    )


def load_image(connection: Connection, waveform_id: int) -> bytes:
    """
    Return the unit's own memory of an event, from the file-type tag to the footer.

    Raises:
        NoSuchRecordError: there is no such waveform.
        DamagedRecordError: it does not match its hash.
    """
    w = waveforms.c
    query = (
        select(w.id, w.image, w.content_hash, recordings.c.public_id)
        .join_from(waveforms, recordings)
        .where(w.id == waveform_id)
    )
    for _, row in read_rows(connection, waveforms, query):
        if row is None or not has_digest(row["image"], row["content_hash"]):
            of = "" if row is None else f" of recording {short(str(row['public_id']))}"
            raise DamagedRecordError(
                f"the stored image{of} (number {waveform_id}) does not match its hash"
            )
        return bytes(row["image"])
    raise NoSuchRecordError(f"the archive has no waveform {waveform_id}")
