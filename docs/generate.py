"""
Write the reference pages that the code itself knows: command line, settings, library.

    python docs/generate.py            # write them
    python docs/generate.py --check    # exit status 1 and the page's name if one differs

A test runs the check, so a page never says anything else than the program.
"""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from collections.abc import Iterator
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any

from sfm.cli import app
from sfm.settings import Settings

__all__ = ["main", "pages"]

REFERENCE = Path(__file__).parent / "reference"
HEAD = "<!-- Written by docs/generate.py; change the code instead. -->\n\n"
LIBRARY = ("minimateplus", "minimateplus.model", "minimateplus.errors", "minimateplus.conversions")
"""Modules of the library whose names programs use, in the order of the page."""


def pages() -> dict[Path, str]:
    """Return each page's text by its path."""
    return {
        REFERENCE / "command-line.md": HEAD + command_line(),
        REFERENCE / "settings.md": HEAD + settings(),
        REFERENCE / "library.md": HEAD + library(),
    }


def command_line() -> str:
    """Return the page of all commands and their parameters."""
    written = app.generate_docs(output_format="markdown")
    # The headings' own anchors are what GitHub makes of them.
    return re.sub(r"\n{3,}", "\n\n", written).rstrip() + "\n"


def settings() -> str:
    """Return the page of all settings."""
    lines = [
        "# Settings",
        "",
        "Each is read from the environment as `SFM_` and its name in capitals.",
        "",
        "| setting | default | what |",
        "|---|---|---|",
    ]
    for name, field in Settings.model_fields.items():
        default = "not set" if field.default is None else f"`{_plain(field.default)}`"
        what = (field.description or "").replace("|", "\\|")
        lines.append(f"| `SFM_{name.upper()}` | {default} | {what} |")
    return "\n".join(lines) + "\n"


def _plain(default: object) -> str:
    if isinstance(default, bool):
        return str(default).lower()
    return f"{default:g}" if isinstance(default, float) else str(default)


def library() -> str:
    """Return the page of the instrument library's public names."""
    parts = ["# The library\n\nHow it is used: [use the library](../how-to/use-the-library.md).\n"]
    for name in LIBRARY:
        module = importlib.import_module(name)
        if name != "minimateplus":
            parts.append(f"## `{name}`\n\n{_text(module)}\n")
        else:
            parts.append(f"## `{name}`\n")
        parts += ["\n".join(_described(one, getattr(module, one))) for one in module.__all__]
    return "\n".join(parts)


def _described(name: str, value: Any) -> Iterator[str]:
    """Yield the lines of one public name: its signature, its text, its public members."""
    if inspect.isclass(value):
        yield f"### `{name}`\n\n{_text(value)}\n"
        if is_dataclass(value):
            fields = ", ".join(f"`{field}`" for field in value.__dataclass_fields__)
            yield f"Fields: {fields}.\n"
        for member in _members(value):
            found = inspect.getattr_static(value, member)
            function = found.__func__ if isinstance(found, classmethod) else found
            if inspect.isfunction(function):
                is_async = "async " if inspect.iscoroutinefunction(function) else ""
                yield f"#### `{is_async}{member}{_signature(function)}`\n\n{_text(function)}\n"
            elif isinstance(function, property):
                yield f"#### `{member}`\n\n{_text(function)}\n"
    elif inspect.isfunction(value):
        yield f"### `{name}{_signature(value)}`\n\n{_text(value)}\n"
    else:
        yield f"### `{name}`\n\n`{value!r}`\n"


def _members(value: type) -> list[str]:
    """Return the public methods and properties of a class and the ones it inherits from ours."""
    if issubclass(value, Exception):
        return []
    ours = [one for one in reversed(value.__mro__) if one.__module__.startswith("minimateplus")]
    return list(dict.fromkeys(n for one in ours for n in vars(one) if not n.startswith("_")))


def _signature(function: Any) -> str:
    """Return a function's parameters as they are written, without ``self``."""
    written = str(inspect.signature(function))
    return re.sub(r"^\((self|cls)(, /)?(, )?", "(", written).replace("'", "")


def _text(of: object) -> str:
    """Return a docstring as Markdown: doctests and sections of arguments as code."""
    text = inspect.getdoc(of) or ""
    text = text.replace("``", "`")
    # A heading of a section, an example or a table is aligned text.
    paragraphs = []
    for paragraph in text.split("\n\n"):
        is_aligned = re.match(r"(Args|Returns|Raises|Yields):|>>> |=====|\s", paragraph)
        paragraphs.append(f"```text\n{paragraph}\n```" if is_aligned else paragraph)
    return "\n\n".join(paragraphs)


def main(words: list[str]) -> int:
    """Write the pages, or compare them; return the exit status."""
    differing = [
        path
        for path, text in pages().items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    ]
    if words == ["--check"]:
        for path in differing:
            sys.stdout.write(f"{path} differs from the code; run: python docs/generate.py\n")
        return 1 if differing else 0
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
