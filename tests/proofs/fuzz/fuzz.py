"""
Drives one target of ``targets`` with atheris, and keeps what took it to new places.

``make fuzz`` runs all of them. By hand::

    PYTHONPATH=tests python tests/proofs/fuzz/fuzz.py frames --seconds 600
    PYTHONPATH=tests python tests/proofs/fuzz/fuzz.py frames --keep

What is found is put into ``.fuzz``. ``--keep`` chooses from it, from the corpus and from the seeds
the smallest files that reach everything that all of them reach, and makes these the corpus.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from seeds import odd, seeds
from targets import TARGETS

HERE = Path(__file__).parent
CORPUS = HERE / "corpus"
WORK = HERE.parents[2] / ".fuzz"

RSS_LIMIT_MB = 1024
"""Growth beyond this ends the run as a failure; a run starts at some 200."""
TIMEOUT_S = 10
"""One input that takes longer ends the run as a hang."""
MAX_LEN_BYTES = {"frames": 1024, "samples": 8192, "captures": 8192, "payloads": 4096}
KEPT_LEN_BYTES = 3000
KEPT_BYTES = 24_000
"""Of one target: the smallest files come first, and what is beyond this is left out."""

PROGRAM = "SEISMO_FUZZ_PROGRAM"
"""Environment variable: what libFuzzer was started by, and starts again to merge."""

_STAT = re.compile(r"stat::(\w+):\s+(\d+)")


def main() -> None:
    """Read the command line; see the module."""
    parser = argparse.ArgumentParser(description="Fuzz one target with atheris.")
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--keep", action="store_true", help="choose the corpus anew; do not fuzz")
    parser.add_argument("--inside", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.inside is not None:
        _fuzz_inside(given.target, given.inside)
    elif given.save:
        _save(given.target)
    else:
        sys.exit(_fuzz(given.target, given.seconds))


def _fuzz(target: str, seconds: int) -> int:
    found, crashes = WORK / target, WORK / "crashes"
    found.mkdir(parents=True, exist_ok=True)
    crashes.mkdir(parents=True, exist_ok=True)
    ended = _run(
        target,
        f"-max_total_time={seconds}",
        f"-max_len={MAX_LEN_BYTES[target]}",
        f"-rss_limit_mb={RSS_LIMIT_MB}",
        f"-timeout={TIMEOUT_S}",
        f"-artifact_prefix={crashes}/{target}-",
        "-print_final_stats=1",
        "-verbosity=1",
        str(found),
        str(CORPUS / target),
        str(_written_seeds(target)),
    )
    stats = dict(_STAT.findall(ended.stderr))
    executions = int(stats.get("number_of_executed_units", 0))
    peak = stats.get("peak_rss_mb", "?")
    verdict = "found nothing" if ended.returncode == 0 else "FAILED"
    sys.stdout.write(
        f"{target}: {executions:,} executions in {seconds} s, peak RSS {peak} MB, {verdict}\n"
    )
    if ended.returncode != 0:
        sys.stdout.write(ended.stdout[-6000:] + ended.stderr[-6000:])
    return ended.returncode


def _save(target: str) -> None:
    pool = [CORPUS / target, WORK / target, _written_seeds(target)]
    with tempfile.TemporaryDirectory() as chosen:
        limits = ("-merge=1", f"-max_len={KEPT_LEN_BYTES}")
        ended = _run(target, *limits, chosen, *(str(path) for path in pool if path.exists()))
        if ended.returncode != 0:
            sys.exit(ended.stderr[-6000:])
        files = sorted(Path(chosen).iterdir(), key=lambda file: (file.stat().st_size, file.name))
        shutil.rmtree(CORPUS / target, ignore_errors=True)
        (CORPUS / target).mkdir(parents=True)
        left = KEPT_BYTES
        for file in files:
            left -= file.stat().st_size
            if left >= 0:
                shutil.copy(file, CORPUS / target / file.name[:16])
    for number, data in enumerate(odd(target)):
        (CORPUS / target / f"odd-{number:02d}").write_bytes(data)
    kept = list((CORPUS / target).iterdir())
    size = sum(file.stat().st_size for file in kept)
    sys.stdout.write(f"{target}: {len(kept)} of {len(files)} files kept, {size:,} bytes\n")


def _written_seeds(target: str) -> Path:
    folder = WORK / "seeds" / target
    folder.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate([*seeds(target), *odd(target)]):
        (folder / f"{number:04d}").write_bytes(seed)
    return folder


def _run(target: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run libFuzzer in a process of its own, since it never returns."""
    with tempfile.TemporaryDirectory() as folder:
        # A merge starts its own program again, with other arguments behind the first.
        program = Path(folder, f"fuzz-{target}")
        inside = shlex.join([sys.executable, str(Path(__file__).resolve()), target, "--inside"])
        program.write_text(f'#!/bin/sh\nexec {inside} "$@"\n')
        program.chmod(0o700)
        return subprocess.run(
            [program, *arguments],
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1", PROGRAM: str(program)},
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )


def _fuzz_inside(target: str, arguments: list[str]) -> None:
    import atheris

    # The modules are there already, imported before anything could be instrumented.
    for name in [name for name in sys.modules if name.startswith("minimateplus")]:
        del sys.modules[name]
    del sys.modules["targets"]
    # Without its hook for regular expressions, which knows no possessive repeats and no lookbehind.
    with atheris.instrument_imports(include=["minimateplus", "targets"]):
        import targets
    atheris.Setup([os.environ[PROGRAM], *arguments], targets.TARGETS[target])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
