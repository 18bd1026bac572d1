"""
The relay's settings: from the environment, and from a file beside it.

``values`` has every setting with its default; ``file`` finds and reads ``seismo-relay.toml``;
``faults`` makes a line for people of everything that is wrong with either.
"""

from sfm.settings.faults import fault_lines, unknown_names
from sfm.settings.file import CONFIG_VARIABLE, FILE_NAME, SettingsFileError, find_file, search_path
from sfm.settings.values import Region, Settings

__all__ = [
    "CONFIG_VARIABLE",
    "FILE_NAME",
    "Region",
    "Settings",
    "SettingsFileError",
    "fault_lines",
    "find_file",
    "search_path",
    "unknown_names",
]
