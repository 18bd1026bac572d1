"""
What is wrong with the settings, as lines for people.

Each line names the setting where it was written (``SFM_HTTP_PORT``, ``http_port`` of a file,
``--http-port``), says what was expected, and shows an example.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le
from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import SettingsError

from sfm.settings.file import CONFIG_VARIABLE, find_file, read_file
from sfm.settings.values import PREFIX, Settings

__all__ = ["OTHER_VARIABLES", "fault_lines", "unknown_names"]

OTHER_VARIABLES = ("SFM_TOKEN", "SFM_TOKEN_FILE", "SFM_RELAY", CONFIG_VARIABLE)
"""Variables of ours in the environment that are no settings."""
SECRET = ("database_url",)
"""Settings whose value may contain a password and is never repeated."""
LONGEST_VALUE = 60


def fault_lines(
    error: ValidationError | SettingsError, given: Mapping[str, Any] | None = None
) -> list[str]:
    """
    Return a line for each thing that is wrong.

    Args:
        error: of ``Settings(...)``.
        given: what was given by options, whose names are then shown as options.
    """
    if isinstance(error, SettingsError):
        found = re.search(r'field "(\w+)"', str(error))
        name = found[1] if found is not None else ""
        value = os.environ.get(f"{PREFIX}{name.upper()}", "")
        return [_line(name, (), f"expected JSON, got {_shown(value)}", given)]
    return [_fault_line(one, given) for one in error.errors()]


def _fault_line(fault: Any, given: Mapping[str, Any] | None) -> str:
    message = str(fault["msg"]).removeprefix("Value error, ")
    name, *rest = [str(part) for part in fault["loc"]] or [""]
    if not name and (named := re.match(r"(\w+): (.*)", message, re.DOTALL)):
        name, message = named[1], named[2]  # of a rule about several settings
    field = Settings.model_fields.get(name)
    if fault["type"] != "value_error" and field is not None:
        message = f"expected {_expected(field, is_entry=bool(rest))}"
        if name not in SECRET:
            message += f", got {_shown(fault['input'])}"
    return _line(name, rest, message, given)


def _line(name: str, rest: Any, message: str, given: Mapping[str, Any] | None) -> str:
    field = Settings.model_fields.get(name)
    place = "".join(f", {part}" for part in rest)
    if field is None:
        return f"settings: {message}"
    [example] = field.examples or [None]
    where, shown = _written_in(name, example, given)
    return f"{where}{place}: {message}; for example: {shown}"


def _written_in(name: str, example: Any, given: Mapping[str, Any] | None) -> tuple[str, str]:
    """Return how the setting is called where it was written, and the example written there."""
    variable = f"{PREFIX}{name.upper()}"
    is_in_environment = variable in {known.upper() for known in os.environ}
    if given is not None and given.get(name) is not None:
        option = f"--{name.replace('_', '-')}"
        return option, f"{option} {example}"
    file = None if is_in_environment else _file_with(name)
    if file is not None:
        return f"{file}: {name}", f"{name} = {_toml(example)}"
    if isinstance(example, dict | list):
        return variable, f"{variable}='{json.dumps(example)}'"
    return variable, f"{variable}={str(example).lower() if example is True else example}"


def _file_with(name: str) -> Path | None:
    """Return the settings file if it has the setting."""
    path = find_file()
    return path if path is not None and name in read_file(path) else None


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(k)} = {_toml(v)}" for k, v in value.items()) + "}"
    return json.dumps(value)


def _expected(field: FieldInfo, *, is_entry: bool) -> str:
    """Return the kind and the limits of a setting's values in words, or those of one entry."""
    annotation: Any = field.annotation
    limits: list[Any] = list(field.metadata)
    while True:
        if get_origin(annotation) in (Union, UnionType):
            annotation = next(a for a in get_args(annotation) if a is not type(None))
        elif get_origin(annotation) in (dict, list) and is_entry:
            annotation, is_entry = get_args(annotation)[-1], False
        elif hasattr(annotation, "__metadata__"):
            for one in annotation.__metadata__:
                limits += getattr(one, "metadata", [one])
            annotation = get_args(annotation)[0]
        else:
            break
    kinds = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}
    kind = kinds.get(annotation)
    if kind is None and get_origin(annotation) is dict:
        kind = "names with their values"
    if get_origin(annotation) is list:
        kind = "a list"
    if kind is None:
        kind = f"one of {', '.join(map(str, get_args(annotation)))}"
    low = next((one for one in limits if isinstance(one, Ge | Gt)), None)
    high = next((one for one in limits if isinstance(one, Le)), None)
    if isinstance(low, Ge) and high is not None:
        return f"{kind} from {low.ge} to {high.le}"
    if isinstance(low, Ge):
        return f"{kind}, at least {low.ge}"
    return f"{kind} greater than {low.gt}" if isinstance(low, Gt) else kind


def _shown(value: Any) -> str:
    words = repr(value)
    return words if len(words) <= LONGEST_VALUE else f"{words[:LONGEST_VALUE]}..."


def unknown_names() -> list[str]:
    """
    Return a line for each name that looks like a setting and is none, in environment and file.

    Raises:
        SettingsFileError: the file cannot be read.
    """
    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields} | {*OTHER_VARIABLES}
    lines = [
        _unknown(name, known)
        for name in sorted(os.environ)
        if name.upper().startswith(PREFIX) and name.upper() not in known
    ]
    path = find_file()
    if path is None:
        return lines
    values = read_file(path)
    fields = set(Settings.model_fields)
    lines += [f"{path}: {_unknown(name, fields)}" for name in values if name not in fields]
    return lines


def _unknown(name: str, known: set[str]) -> str:
    in_file = name.lower().removeprefix(PREFIX.lower())
    if in_file != name and in_file in known:
        return f"{name} is no setting and has no effect; in a file it is {in_file}"
    near = get_close_matches(name.upper() if name.startswith(PREFIX) else name, known, n=1)
    return f"{name} is no setting and has no effect" + (f"; is {near[0]} meant?" if near else "")
