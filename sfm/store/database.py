"""
``Store``: the only door to the database. Each verb is one transaction.

What a unit says enters the archive, and the mirror of what it holds now points there. The archive's
part of a write stands whatever the mirror says to it: a fence keeps nobody's record out.

All verbs block, and may be called from any thread; ``sfm.store.service`` calls them from the relay.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import func, select

from minimateplus.model import Event, MemoryProbe
from sfm.records.payloads import Payload
from sfm.records.walk import Walk
from sfm.store import archive, audit, decodings, migrations, mirror, operations, schema, tokens
from sfm.store.archive import Origin, Page, Samples, Wanted
from sfm.store.audit import AuditEntry, AuditVerdict
from sfm.store.cursors import Cursor
from sfm.store.decodings import EraseCheck
from sfm.store.engine import Engines, read_url
from sfm.store.errors import DamagedRecordError, RevisionError, StoreError
from sfm.store.mirror import Fenced, LoadedDevice, LoadedWaveform
from sfm.store.tokens import RoleName, Token

MAX_ON_A_PAGE = 1000
DECODED_AT_ONCE = 50
"""Images read again in one transaction."""
MAX_DECODED = 1_000_000


@dataclass(frozen=True, slots=True)
class WriteResult:
    """What became of a write: it is in the archive; of the mirror, its version or the fence."""

    mirror: int | Fenced | None
    public_id: str | None = None
    """Of the recording whose waveform was written."""


class Store:
    """
    One database. Lives as long as the relay; ``close`` it.

    Args:
        engines: the doors to it.
        zones: of which time zone each unit's clock is, by serial number; ``*`` for all others.

    A recording is named by its public id, by the first 8 letters of it or more, or by its number in
    this database.
    """

    def __init__(self, engines: Engines, zones: Mapping[str, ZoneInfo] | None = None) -> None:
        self.engines = engines
        self._zones = zones or {}

    @classmethod
    def open(
        cls,
        url: str,
        *,
        zones: Mapping[str, ZoneInfo] | None = None,
        read_only: bool = False,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        on_upgrade: Callable[[str], None] = lambda _: None,
        reads_again: bool = True,
    ) -> Store:
        """
        Open a database of the right revision; upgrade it if that is ours to do.

        Args:
            url: as in ``SFM_DATABASE_URL``.
            zones: see the class.
            read_only: only look: no lock, no upgrade.
            now: the time of day, for the name of a copy.
            on_upgrade: told in a sentence what an upgrade did.
            reads_again: read images again that an older decoder read (``decode``).

        Raises:
            StoreError: one of ``sfm.store.errors``.
        """
        engines = Engines(read_url(url), read_only=read_only)
        try:
            if read_only:
                with engines.read() as connection:
                    found = migrations.revision_of(connection)
                if found != migrations.HEAD:
                    raise RevisionError(
                        f"{engines.where} is of revision {found or 'none'}, this program needs "
                        f"{migrations.HEAD}; run: {migrations.UPGRADE_COMMAND}"
                    )
                with engines.read() as connection:
                    migrations.check_schema(engines.where, connection)
            else:
                told = migrations.ensure_head(engines, now)
                if told is not None:
                    on_upgrade(told)
        except BaseException:
            engines.close()
            raise
        store = cls(engines, zones)
        if reads_again and not read_only:
            store._decode_after_upgrade(now, on_upgrade)
        return store

    def _decode_after_upgrade(
        self, now: Callable[[], datetime], on_upgrade: Callable[[str], None]
    ) -> None:
        with self.engines.read() as connection:
            if not decodings.outdated(connection, 1):
                return
        told = self.decode(now())
        if not told:
            return  # what is left is damaged
        changed = sum(payload["change"] is not None for payload in told)
        on_upgrade(
            f"{self.where}: {len(told)} images were read again by this version's decoder; "
            f"{changed} readings changed, see: seismo-relay archive findings"
        )

    def close(self) -> None:
        """Close the database."""
        self.engines.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def where(self) -> str:
        """The database's name for people."""
        return self.engines.where

    # --- what is read from units -----------------------------------------------------------------

    def save_operation(self, operation: Mapping[str, Any], oldest: str) -> None:
        """Write an operation as it is now; remove those that began before ``oldest``."""
        with self.engines.write() as connection:
            operations.remove_begun_before(connection, oldest)
            operations.save(connection, operation)

    def operation(self, id_: str) -> Payload | None:
        """Return an operation by its id."""
        with self.engines.read() as connection:
            return operations.load(connection, id_)

    def save_info(self, origin: Origin, seen: int | None, info: Payload) -> WriteResult:
        """Write down in the mirror who a unit is."""
        with self.engines.write() as connection:
            return WriteResult(mirror.write_info(connection, origin, seen, info))

    def save_list(
        self,
        origin: Origin,
        seen: int | None,
        probe: MemoryProbe,
        listed: Sequence[Payload],
        read: Sequence[Event],
        *,
        is_servable: bool = True,
        ends_walk: bool = False,
    ) -> WriteResult:
        """
        Enter the events that were read; write down the list that they complete.

        Args:
            origin: of the list.
            seen: the version of the mirror's rows that the writer last saw.
            probe: the one that the list was read under.
            listed: the whole list, as forms.
            read: those events of it that were read now; they are its end.
            is_servable: see ``mirror.write_list``.
            ends_walk: parts of the walk that brought it were written down before.

        Raises:
            NoSerialError: nothing says which unit it is.
        """
        with self.engines.write() as connection:
            if ends_walk:
                mirror.forget_walk(connection, origin.conn_key)
            numbers = archive.save_events(connection, origin, read)
            ids = {event.index: number for event, number in zip(read, numbers, strict=True)}
            first_new = len(listed) - len(read)
            return WriteResult(
                mirror.write_list(
                    connection, origin, seen, probe, listed, first_new, ids, is_servable=is_servable
                )
            )

    def save_events(
        self, origin: Origin, read: Sequence[Event], *, is_proven: bool = True
    ) -> WriteResult:
        """Enter events that were read, and say nothing of what the unit holds now."""
        with self.engines.write() as connection:
            archive.save_events(connection, origin, read, is_proven=is_proven)
        return WriteResult(None)

    def save_walk(
        self, origin: Origin, seen: int | None, walk: Walk, first: int, read: Sequence[Event]
    ) -> WriteResult:
        """Enter events of a walk that has not ended; see ``mirror.write_walk``."""
        with self.engines.write() as connection:
            numbers = archive.save_events(connection, origin, read, is_proven=False)
            return WriteResult(
                mirror.write_walk(connection, origin, seen, walk, first, read, numbers)
            )

    def forget_walk(self, conn_key: str) -> None:
        """Forget a walk that has not ended; its events stay in the archive."""
        with self.engines.write() as connection:
            mirror.forget_walk(connection, conn_key)

    def save_volatile_offsets(self, serial: str, firmware: str, offsets: Iterable[int]) -> None:
        """Write down which bytes of a unit's records change while the event stays the same."""
        with self.engines.write() as connection:
            mirror.save_volatile_offsets(connection, serial, firmware, offsets)

    def save_waveform(
        self,
        origin: Origin,
        seen: int | None,
        event: Event,
        payload: Payload,
        image: bytes,
        *,
        is_mirrored: bool = True,
    ) -> WriteResult:
        """Enter a waveform and its event; write down that it is in its slot."""
        with self.engines.write() as connection:
            [number] = archive.save_events(connection, origin, [event])
            waveform = archive.save_waveform(connection, origin, number, payload, image)
            name = archive.name_of(origin.serial.strip(), event)
            if not is_mirrored:
                return WriteResult(None, name)
            return WriteResult(
                mirror.write_waveform(connection, origin, seen, event, waveform), name
            )

    def save_chunks(
        self,
        conn_key: str,
        epoch: int,
        seen: int | None,
        event: Event,
        parts: Sequence[tuple[int, bytes]],
    ) -> bool:
        """Keep parts of an image under way; return whether they were kept."""
        with self.engines.write() as connection:
            return mirror.save_chunks(connection, conn_key, epoch, seen, event, parts)

    def forget_chunks(self, conn_key: str, event: Event) -> None:
        """Forget what was kept of an event's image."""
        with self.engines.write() as connection:
            mirror.forget_chunks(connection, conn_key, event)

    def drop(self, conn_key: str, epoch: int, reason: str) -> tuple[int, int]:
        """Drop the mirror of a device; return its epoch and version from now on."""
        with self.engines.write() as connection:
            return mirror.drop(connection, conn_key, epoch, reason)

    def forget_info(self, conn_key: str, seen: int | None) -> WriteResult:
        """Forget how a unit is set up: its settings were written."""
        with self.engines.write() as connection:
            return WriteResult(mirror.forget_info(connection, conn_key, seen))

    # --- what was read before --------------------------------------------------------------------

    def load(self, conn_key: str) -> LoadedDevice | None:
        """
        Return what the mirror holds of a device.

        Raises:
            DamagedMirrorError: a row of it is not what its hash says; see ``drop_damaged``.
        """
        with self.engines.read() as connection:
            return mirror.load(connection, conn_key)

    def drop_damaged(self, conn_key: str, damage: str) -> tuple[int, int]:
        """Drop the damaged mirror of a device; return its epoch and version from now on."""
        with self.engines.write() as connection:
            return mirror.drop_damaged(connection, conn_key, damage)

    def check_file(self) -> None:
        """Raise ``StoreReplacedError`` where what is written now is in no file of that name."""
        self.engines.check()

    def load_waveform(
        self, conn_key: str, index: int, epoch: int, version: int
    ) -> tuple[LoadedWaveform, Payload] | None:
        """
        Return the waveform of a slot and its form, if the mirror is of that epoch and version.

        A stored waveform that is not what its hash says is written down as a finding.

        Raises:
            DamagedRecordError: it is not.
        """
        with self.engines.read() as connection:
            found = mirror.load_waveform(connection, conn_key, index, epoch, version)
        if found is None:
            return None
        try:
            return found, {**found.samples.payload(), "index": index}
        except DamagedRecordError as error:
            # What cannot be written down now must not hide the damage.
            with contextlib.suppress(StoreError):
                self.save_damage_finding(found.samples.recording_id, str(error))
            raise

    def load_chunks(self, conn_key: str, epoch: int, seen: int | None, event: Event) -> bytes:
        """Return what was kept of an event's image, from its first byte on."""
        with self.engines.read() as connection:
            return mirror.load_chunks(connection, conn_key, epoch, seen, event)

    def erase_check(
        self,
        conn_key: str,
        version: int | None,
        count: int,
        walked: Sequence[Payload] | None = None,
    ) -> EraseCheck:
        """Return which of a unit's events would be lost with it; see the mirror's function."""
        with self.engines.read() as connection:
            return mirror.erase_check(connection, conn_key, version, count, walked)

    def erase_check_of_events(self, serial: str, events: Sequence[Event]) -> EraseCheck:
        """Return the same of events that were just read from a unit, each with its record."""
        with self.engines.read() as connection:
            return decodings.erase_check_of_events(connection, serial, events)

    def decode(
        self, at: datetime, on_progress: Callable[[int, int], None] = lambda _done, _total: None
    ) -> list[Payload]:
        """
        Read every image again whose last reading is of an older decoder; return what each became.

        A few in one transaction, so that a relay beside it is not kept waiting. Readings that are
        not what their hash says are removed first, and their images read again.
        """
        told: list[Payload] = []
        done = last = 0
        with self.engines.write() as connection:
            decodings.drop_damaged(connection, at)
        with self.engines.read() as connection:
            total = len(decodings.outdated(connection, MAX_DECODED))
        while True:
            with self.engines.write() as connection:
                numbers = decodings.outdated(connection, DECODED_AT_ONCE, last)
                found = [decodings.read_again(connection, number, at) for number in numbers]
            if not numbers:
                return told
            told += [payload for payload in found if payload is not None]
            done, last = done + len(numbers), numbers[-1]
            on_progress(done, max(total, done))

    # --- the archive -----------------------------------------------------------------------------

    def devices(self) -> list[Payload]:
        """Return every unit of the archive."""
        with self.engines.read() as connection:
            return archive.devices(connection)

    def page(self, wanted: Wanted, cursor: str | None = None, limit: int = 100) -> Page:
        """
        Return a page of recordings.

        Raises:
            BadCursorError: no page gave that cursor.
            ValueError: ``limit`` is not 1 to 1000.
        """
        if not 1 <= limit <= MAX_ON_A_PAGE:
            raise ValueError(f"limit: expected 1 to {MAX_ON_A_PAGE}, got {limit}")
        after = None if cursor is None else Cursor.read(cursor)
        with self.engines.read() as connection:
            return archive.page(connection, wanted, after, limit, self._zones)

    def recording(self, name: int | str) -> Payload:
        """
        Return one recording; see ``archive.event``.

        Raises:
            NoSuchRecordError: there is none of that name.
            AmbiguousIdError: the ids of several begin with these letters.
            DamagedRecordError: it is not what its hash says.
        """
        with self.engines.read() as connection:
            return archive.event(connection, archive.find(connection, name), self._zones)

    def samples(self, name: int | str, content_hash: bytes | None = None) -> Samples:
        """
        Return the samples of a recording: the first ones read, or those of that content.

        Raises:
            NoSuchRecordError: there is no such recording, or nothing was downloaded of it.
            AmbiguousIdError, DamagedRecordError: as with ``recording``.
        """
        with self.engines.read() as connection:
            number = archive.find(connection, name)
            return archive.samples(connection, recording_id=number, content_hash=content_hash)

    def archived(self, name: int | str) -> Payload:
        """Return what is here of a recording: record, image, samples; errors of ``recording``."""
        with self.engines.read() as connection:
            return archive.archived(connection, archive.find(connection, name))

    def image(self, waveform_id: int) -> bytes:
        """Return the unit's own memory of an event."""
        with self.engines.read() as connection:
            return archive.image(connection, waveform_id)

    def review(
        self,
        name: int | str,
        *,
        at: datetime,
        reviewer: str,
        false_trigger: bool | None,
        note: str | None,
    ) -> Payload:
        """
        Write down what a person says of a recording; return it.

        Raises:
            NoSuchRecordError: there is no such recording.
        """
        with self.engines.write() as connection:
            return archive.review(
                connection,
                archive.find(connection, name),
                at=at,
                reviewer=reviewer,
                false_trigger=false_trigger,
                note=note,
            )

    def reviews(self, name: int | str) -> list[Payload]:
        """Return what people said of a recording, the latest first; errors as above."""
        with self.engines.read() as connection:
            return archive.reviews_of(connection, archive.find(connection, name))

    def findings(self, limit: int = 100) -> list[Payload]:
        """Return what was noticed: other contents under one stamp, damage, repair."""
        with self.engines.read() as connection:
            return archive.findings(connection, limit)

    def save_damage_finding(self, name: int | str, detail: str) -> None:
        """Write down, once, that something stored of a recording is not what its hash says."""
        with self.engines.write() as connection:
            number = archive.find(connection, name)
            archive.save_damage_finding(connection, datetime.now(UTC), number, detail)

    # --- who may, and who did --------------------------------------------------------------------

    def add_token(
        self,
        name: str,
        role: RoleName,
        units: Sequence[str],
        at: datetime,
        secret_bytes: Callable[[int], bytes],
        *,
        audited: Callable[[Token], AuditEntry] | None = None,
    ) -> tuple[Token, str]:
        """
        Make a token; return it and its secret, which is kept nowhere.

        Args:
            name: 1 to 64 printable letters, no other token's that is in use.
            role: ``viewer``, ``operator`` or ``admin``.
            units: connection keys or serial numbers; none: every unit.
            at: when.
            secret_bytes: where the secret comes from; ``secrets.token_bytes``.
            audited: what the audit log is told, in the same transaction: both are there or neither.

        Raises:
            TokenNameTakenError: another token in use has that name.
            ValueError: something that a name, role or unit cannot be.
        """
        with self.engines.write() as connection:
            token, secret = tokens.add(connection, name, role, units, at, secret_bytes)
            if audited is not None:
                audit.note(connection, audited(token))
            return token, secret

    def tokens(self) -> list[Token]:
        """Return all tokens, the revoked ones too, in the order in which they were made."""
        with self.engines.read() as connection:
            return tokens.every(connection)

    def token(self, number: int) -> Token | None:
        """Return a token, revoked or not."""
        with self.engines.read() as connection:
            return tokens.get(connection, number)

    def revoke_token(
        self,
        name_or_id: str | int,
        at: datetime,
        *,
        audited: Callable[[Token], AuditEntry] | None = None,
    ) -> Token:
        """
        Revoke a token; return it. ``audited`` as above.

        Raises:
            NoSuchTokenError: no token in use has that name or number.
        """
        with self.engines.write() as connection:
            token = tokens.revoke(connection, name_or_id, at)
            if audited is not None:
                audit.note(connection, audited(token))
            return token

    def note(self, entry: AuditEntry) -> int:
        """Add an entry to the audit log; return its number."""
        with self.engines.write() as connection:
            return audit.note(connection, entry)

    def audit(self, limit: int, before: int | None = None) -> list[Payload]:
        """
        Return entries of the audit log, newest first, of those numbered below ``before``.

        Raises:
            ValueError: ``limit`` is not 1 to 1000.
        """
        if not 1 <= limit <= MAX_ON_A_PAGE:
            raise ValueError(f"limit: expected 1 to {MAX_ON_A_PAGE}, got {limit}")
        with self.engines.read() as connection:
            return audit.latest(connection, limit, before)

    def verify_audit(self, expect: tuple[int, bytes] | None = None) -> AuditVerdict:
        """
        Go through the chain of the audit log; return how far it is sound.

        That its end was cut off, or all of it written anew, is seen only against ``expect``: number
        and hash of an entry, noted elsewhere before (``AuditVerdict.count`` and ``head_hash``).
        """
        with self.engines.read() as connection:
            return audit.verify(connection, expect)

    def counts(self) -> dict[str, int]:
        """Return how many rows each table has."""
        with self.engines.read() as connection:
            return {
                name: connection.execute(select(func.count()).select_from(table)).scalar_one()
                for name, table in schema.metadata.tables.items()
            }
