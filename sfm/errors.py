"""
The errors of the relay. Catch ``SfmError`` to catch every one of them.

SfmError
├── BackingOffError               the unit, or the database, failed repeatedly; retry later
├── BusyError                     a limit on queued or running work is reached; retry later
├── ShuttingDownError             the relay is shutting down
├── ListIncompleteError           the event list could not be read to its end
├── FetchIncompleteError          a fetch gave up; says what it archived and what is missing
├── AppendContradictedError       the unit contradicts the cached list; it is read from the start
├── NotCachedError                the request allows cached values only, and there is none
├── FencedError                   the value was invalidated, or another relay wrote this unit's rows
├── CommandConflictError          the unit's state forbids the command (409)
├── NotMonitoringError            the unit did not start monitoring after it accepted the command
├── RequestRejectedError          the request cannot be answered as it was sent
├── OtherEventError               the slot has another event than the one that was requested
├── OtherUnitError                another unit answers over a route; the read begins anew there
├── TooLargeError                 the request body is too large
├── ForbiddenAddressError         the egress policy forbids connecting to that address
├── ForbiddenUnitError            the principal may not use that unit
├── SettingsFileError             the settings file is not there or not TOML
├── CertificateError              the TLS certificate or its key cannot be used
├── WorkerError                   the worker process ended, or took too long
├── WorkerBusyError               too many computations wait for it; retry later
├── PortTakenError                another program listens on the configured port
├── LimitsError                   a file of limits, or a curve, is not as it must be
├── UnknownCurveError             no limit curve has that name
├── UnreadableFileError           a file has no samples that can be analysed
├── ExportError                   an event cannot be exported as it was asked for
│   ├── UnwritableEventError      the format cannot state what is known of the event
│   └── MissingExtraError         the format needs a package that is not installed
├── ReportError                   a report cannot be made
│   └── NoTypesetterError         the package that sets its pages is not installed
├── CommandError                  a command of the command line failed
└── StoreError                    the database or the archive; drawn in ``sfm.store.errors``

Each class is defined in the module that raises it. Errors from the instrument itself derive from
``minimateplus.errors.MiniMateError``.
"""

from __future__ import annotations

__all__ = ["SfmError"]


class SfmError(Exception):
    """The root of the tree above."""
