"""
``seismo-relay.toml``: where it is looked for, and what its tables mean.

The first of these is read, and no other: the file that ``--config`` or ``SFM_CONFIG`` names
(``none``: no file), ``seismo-relay.toml`` in the working folder, in the user's and in the machine's
folder of configuration. A name in it is that of a setting in small letters; where the environment
has the same setting, the environment wins. An entry of ``units`` is an address, or a table::

    [units."north face"]
    address = "tcp://10.0.0.5:12345"
    zone = "Europe/Oslo"       # also SFM_SITE_ZONES
    keep_open_s = 60           # also SFM_KEEP_OPEN_S_BY_ADDRESS
"""

from __future__ import annotations

import os
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from platformdirs import site_config_path, user_config_path

from sfm.errors import SfmError

__all__ = [
    "CONFIG_VARIABLE",
    "FILE_NAME",
    "NO_FILE",
    "UNIT_KEYS",
    "SettingsFileError",
    "find_file",
    "read_file",
    "search_path",
]

FILE_NAME = "seismo-relay.toml"
CONFIG_VARIABLE = "SFM_CONFIG"
NO_FILE = "none"

UNIT_KEYS = {"zone": "site_zones", "keep_open_s": "keep_open_s_by_address"}
"""Keys of a unit's table, beside its address, and the settings whose entries they are."""


class SettingsFileError(SfmError):
    """The settings file is not there, cannot be read, or is not TOML."""


def search_path() -> list[Path]:
    """Return where the file is looked for if none is named, first place first."""
    machine = (
        site_config_path("seismo-relay", False)
        if sys.platform == "win32"
        else Path("/etc/seismo-relay")
    )
    folders = (Path.cwd(), user_config_path("seismo-relay", False), machine)
    return [folder / FILE_NAME for folder in folders]


def find_file(environ: Mapping[str, str] | None = None) -> Path | None:
    """
    Return the settings file; ``None``: there is none.

    Raises:
        SettingsFileError: the file that ``SFM_CONFIG`` names is not there.
    """
    named = (os.environ if environ is None else environ).get(CONFIG_VARIABLE)
    if named == NO_FILE:
        return None
    if named:
        if not Path(named).is_file():
            raise SettingsFileError(
                f"{CONFIG_VARIABLE}: expected a settings file, and there is no {named}; for "
                f"example: {CONFIG_VARIABLE}=/etc/seismo-relay/{FILE_NAME}"
            )
        return Path(named)
    return next((path for path in search_path() if path.is_file()), None)


def read_file(path: Path) -> dict[str, Any]:
    """
    Return the values of the file by setting.

    Raises:
        SettingsFileError: it cannot be read, or is not TOML.
    """
    try:
        with path.open("rb") as file:
            values = tomllib.load(file)
    except OSError as error:
        raise SettingsFileError(f"{path} cannot be read: {error.strerror or error}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsFileError(
            f"{path}: expected TOML: {error}; for example: http_port = 8200"
        ) from error
    return _with_unit_tables(path, values)


def _with_unit_tables(path: Path, values: dict[str, Any]) -> dict[str, Any]:
    """
    Return the values with units as addresses, and the other keys of their tables where they belong.

    Raises:
        SettingsFileError: a unit's table has other keys, or no address.
    """
    units = values.get("units")
    if not isinstance(units, dict):
        return values
    found = dict(values)
    found["units"] = {
        name: one.get("address") if isinstance(one, dict) else one for name, one in units.items()
    }
    keys = {"address", *UNIT_KEYS}
    for name, one in units.items():
        if isinstance(one, dict) and ("address" not in one or set(one) - keys):
            raise SettingsFileError(
                f"{path}: units, {name}: expected address, and zone or keep_open_s if wanted, got "
                f'{", ".join(one) or "nothing"}; for example: address = "tcp://10.0.0.5:12345"'
            )
        for key, setting in UNIT_KEYS.items():
            if isinstance(one, dict) and key in one:
                found[setting] = {**found.get(setting, {}), name: one[key]}
    return found
