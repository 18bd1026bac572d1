"""
``seismo-relay``: the relay, a simulated unit, and what to ask of either.

A unit is named in one of two ways. By its own address (``tcp://10.0.0.5:12345``,
``/dev/ttyUSB0``, ``rfc2217://...``) it is asked directly, no server needed. By the name of its
location, its serial number or as ``HOST[:PORT]`` it is asked through the relay at ``--relay``. With
``--relay`` given, every address goes through it.

``sfm.cli.exits`` has the exit statuses. This module imports nothing, so that Ctrl-C is answered
from the first line of ``main`` on; every command imports what it works with when it runs.
"""

from __future__ import annotations

import gc
import os
import sys
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from cyclopts import App

    app: App

__all__ = ["app", "main"]

SERVERS = {"demo", "serve", "simulate"}
OBJECTS_BEFORE_COLLECTION = 500_000
"""Between two searches for garbage in a command; Python's own 700 suits what runs for long."""


def __getattr__(name: str) -> Any:
    if name == "app":
        from sfm.cli import tree

        return tree.whole_app()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def main() -> None:
    """
    Run the command line.

    A reader who has seen enough (``| head``) ends it without a word. Not by the signal that the
    system has for it: that would end a relay, or a command to a unit, when a client disconnects.
    """
    try:
        try:
            _run(sys.argv[1:])
        finally:
            print(end="", flush=True)
            # The interpreter searches everything for garbage once more when it ends, which took a
            # fifth of a command's time.
            gc.freeze()
    except BrokenPipeError:
        # What is left in the buffer has no reader either, and would be complained of at the exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted.\n")
        raise SystemExit(130) from None
    finally:
        _leave_unwritten(sys.stderr)


def _leave_unwritten(stream: TextIO | None) -> None:
    """
    Give up what a stream could not write, because its reader has gone or its disk is full.

    The interpreter flushes once more when it ends, and would make a failure of what was a success.
    """
    if stream is None or stream.closed:  # started with 2>&-
        return
    try:
        stream.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _run(words: list[str]) -> None:
    if words == ["--version"]:  # asked by installers and scripts, so without the command tree
        from importlib.metadata import version

        print(version("seismo-relay"))
        return
    words = _without_config(words)
    if not SERVERS.intersection(words[:1]):
        # What imports make lives to the end: searching it again and again took a tenth of the time.
        gc.set_threshold(OBJECTS_BEFORE_COLLECTION)
    from sfm.cli import consoles, tree

    consoles.replace_missing_letters()
    tree.app_for(words)(words)


def _without_config(words: list[str]) -> list[str]:
    """Return a command line without ``--config FILE``, which names the settings file."""
    for place, word in enumerate(words):
        name, equals, file = word.partition("=")
        if word == "--":
            break
        if name != "--config":
            continue
        rest = words[place + 1 :]
        if not equals and rest:
            file, *rest = rest
        if not file:
            sys.stderr.write(
                "--config: expected a settings file; for example: "
                "--config /etc/seismo-relay/seismo-relay.toml\n"
            )
            raise SystemExit(2)
        os.environ["SFM_CONFIG"] = file
        return [*words[:place], *rest]
    return words
