"""
The durable tier: an archive of everything that was ever read, a mirror of what each unit has in its
memory now, the access tokens and the audit log.
"""

from sfm.store.archive import Origin, Page, Samples, Wanted
from sfm.store.audit import AuditEntry, AuditVerdict
from sfm.store.database import Store
from sfm.store.decodings import EraseCheck
from sfm.store.engine import NO_DATABASE, default_url
from sfm.store.errors import StoreError
from sfm.store.mirror import LoadedDevice, LoadedWaveform
from sfm.store.mirror_rows import Fenced, ReadTime
from sfm.store.tokens import Token
from sfm.store.unit_data import WriteResult

__all__ = [
    "NO_DATABASE",
    "AuditEntry",
    "AuditVerdict",
    "EraseCheck",
    "Fenced",
    "LoadedDevice",
    "LoadedWaveform",
    "Origin",
    "Page",
    "ReadTime",
    "Samples",
    "Store",
    "StoreError",
    "Token",
    "Wanted",
    "WriteResult",
    "default_url",
]
