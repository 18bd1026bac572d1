"""
Commands that change a unit: checked, sent once, verified, and audited.

Every command follows the same steps, with exclusive use of the unit's connection:

1. Write its beginning to the audit log. If the log cannot be written, the command ends here.
2. Read from the unit what the command assumes: its serial number, and for an erase the complete
   memory by a new walk. A mismatch with the caller's values is a ``CommandConflictError``, and
   nothing is sent.
3. Invalidate what the cache contains and the command may change, before the first byte is sent, and
   again after the last byte is received, whatever it was (promise 2).
4. Send it once (``minimateplus.client.commands``). If the link is lost before the acknowledgement,
   the outcome is unknown: the cache treats it as done, and it is never repeated (promise 12).
5. Verify it: read settings back; an erased memory must be empty.
6. Write its end to the audit log.

A caller that disconnects does not stop a command that has begun. ``outcome`` on an error is the
command's outcome: ``refused`` and ``failed`` mean that the unit is unchanged.
"""

from __future__ import annotations

from sfm.devices.commands.command import CommandConflictError, Done, Outcome
from sfm.devices.commands.memory import MemoryCommands
from sfm.devices.commands.monitoring import MonitoringCommands, NotMonitoringError
from sfm.devices.commands.settings import SettingsCommands

__all__ = ["CommandConflictError", "Commands", "Done", "NotMonitoringError", "Outcome"]


class Commands(MonitoringCommands, SettingsCommands, MemoryCommands):
    """The commands of every unit. Lives as long as its gateway, and owns nothing."""
