"""The settings as a command uses them: each fault is a line, unknown names are warned about."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError
from pydantic_settings import SettingsError

from sfm.cli.application import CommandError, err
from sfm.cli.exits import MISUSED
from sfm.cli.views import safe_text
from sfm.settings import Settings, SettingsFileError, fault_lines, unknown_names

__all__ = ["load_settings", "unknown_names"]

_warned: set[str] = set()
"""Lines that this process has printed; a command may load its settings more than once."""


def load_settings(*, warn: bool = True, **given: Any) -> Settings:
    """
    Return the settings, with what was ``given`` before environment and file.

    Args:
        warn: print a line for each name that is no setting.
        given: by options.

    Raises:
        CommandError: one is wrong; a line for each.
    """
    try:
        settings = Settings(**given)
    except (ValidationError, SettingsError) as error:
        raise CommandError("\n".join(fault_lines(error, given)), MISUSED) from None
    except SettingsFileError as error:
        raise CommandError(str(error), MISUSED) from None
    if warn:
        _warn_of_unknown_names()
    return settings


def _warn_of_unknown_names() -> None:
    """Print a line for each name in environment and file that is no setting, once."""
    for line in unknown_names():
        if line not in _warned:
            _warned.add(line)
            err.print(safe_text(f"Warning: {line}"), soft_wrap=True)
