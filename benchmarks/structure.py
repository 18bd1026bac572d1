"""
How the code is built, in figures: closures, forwarding methods, error roots, and what a request
crosses. Not a benchmark of speed; run it before and after a change of structure:

    python benchmarks/structure.py [--root FOLDER]

It reads the source of ``FOLDER`` (this repository if not given) and, for what a request crosses,
runs the code of that folder: a unit and a relay in one process, one hit and one list that is
proven by a probe.
"""

from __future__ import annotations

import argparse
import ast
import io
import json
import os
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PACKAGES = ("sfm", "minimateplus")
Function = ast.FunctionDef | ast.AsyncFunctionDef


def modules(root: Path, package: str) -> Iterator[Path]:
    """Yield the modules of a package, migrations and built pages left out."""
    for path in sorted((root / package).rglob("*.py")):
        if not {"versions", "web"} & set(path.relative_to(root).parts[:-1]):
            yield path


def functions(tree: ast.AST) -> tuple[int, int]:
    """Return how many functions there are, and how many of them stand inside another."""
    every = closures = 0
    for node in ast.walk(tree):
        if isinstance(node, Function):
            every += 1
            for inner in ast.walk(node):
                closures += inner is not node and isinstance(inner, Function)
    return every, closures


def classes(tree: ast.AST) -> dict[str, int]:
    """Return the lines of each class."""
    return {
        node.name: (node.end_lineno or node.lineno) - node.lineno + 1
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    }


def forwarding(tree: ast.AST, name: str) -> tuple[int, int]:
    """Return how many public methods a class has, and how many only call another function."""
    methods = forwards = 0
    for node in ast.walk(tree):
        if not (isinstance(node, ast.ClassDef) and node.name == name):
            continue
        for method in node.body:
            if not isinstance(method, Function) or method.name.startswith("_"):
                continue
            methods += 1
            body = [part for part in method.body if not _is_docstring(part)]
            if len(body) == 1 and isinstance(body[0], ast.With) and len(body[0].body) == 1:
                body = body[0].body
            only = body[0] if len(body) == 1 else None
            value = getattr(only, "value", None)
            forwards += isinstance(only, ast.Return | ast.Expr) and isinstance(value, ast.Call)
    return methods, forwards


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def error_roots(trees: dict[Path, ast.Module]) -> list[str]:
    """Return the public exception classes that derive from a built-in one."""
    return sorted(
        node.name
        for tree in trees.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
        and not node.name.startswith("_")
        and any(isinstance(b, ast.Name) and b.id in ("Exception", "ValueError") for b in node.bases)
    )


def comment_share(paths: list[Path]) -> float:
    """Return the comment lines in each 100 lines of code."""
    comments = code = 0
    for path in paths:
        text = path.read_text(encoding="utf-8")
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            comments += token.type == tokenize.COMMENT
        code += sum(1 for line in text.splitlines() if line.strip())
    return round(100 * comments / code, 1)


def source_figures(root: Path) -> dict[str, Any]:
    """Return what the source alone shows."""
    trees = {
        path: ast.parse(path.read_text(encoding="utf-8"))
        for package in PACKAGES
        for path in modules(root, package)
    }
    of_sfm = {path: tree for path, tree in trees.items() if "sfm" in path.relative_to(root).parts}
    counted = [functions(tree) for tree in of_sfm.values()]
    every, closures = (sum(column) for column in zip(*counted, strict=True))
    sizes = {name: size for tree in of_sfm.values() for name, size in classes(tree).items()}
    largest = max(sizes, key=lambda name: sizes[name])
    stored = [forwarding(tree, "Store") for tree in of_sfm.values()]
    devices = [path for path in of_sfm if "devices" in path.parts] or [
        root / "sfm" / f"{name}.py"
        for name in ("gateway", "owner", "line", "flights", "commands", "line_lock")
        if (root / "sfm" / f"{name}.py").exists()
    ]
    without_all = sum(
        not any(
            isinstance(node, ast.Assign | ast.AnnAssign)
            and any(
                isinstance(name, ast.Name) and name.id == "__all__"
                for name in (node.targets if isinstance(node, ast.Assign) else [node.target])
            )
            for node in tree.body
        )
        for path, tree in trees.items()
        if tree.body
    )
    return {
        "functions in sfm": every,
        "closures, %": round(100 * closures / every, 1),
        "largest class, lines": f"{largest} {sizes[largest]}",
        "methods of Store, only forwarding": f"{sum(m for m, _ in stored)}, "
        f"{sum(f for _, f in stored)}",
        "error roots": len(error_roots(of_sfm)),
        "modules without __all__": f"{without_all} of {len(trees)}",
        "comments per 100 lines, devices": comment_share(devices),
    }


TRACED = """
import asyncio, json, sys, os
from pathlib import Path
root = Path(sys.argv[1]).resolve()
sys.path.insert(0, str(root))
os.environ["SFM_DATABASE_URL"] = "none"
import httpx
from minimateplus.simulator import SimulatedUnit, serve_tcp
try:
    from sfm.api.app import build_app
except ImportError:
    from sfm.server import build_app

crossed, sending, entered = [], [], set()

def ours(code):
    name = code.co_filename
    return name.startswith(str(root)) and ".venv" not in name

def watch(frame, event, _):
    # (A coroutine that goes on after a wait calls nothing anew.)
    if event == "call" and ours(frame.f_code) and frame not in entered:
        entered.add(frame)
        crossed.append((frame.f_code.co_filename, frame.f_code.co_qualname))

async def main():
    unit = SimulatedUnit("SIM0001", seed=1)
    for _ in range(3):
        unit.record_event()
    served = await serve_tcp(unit)
    host, port = served.url.removeprefix("tcp://").rsplit(":", 1)
    app = build_app()
    from minimateplus.link import stream
    send = stream.StreamLink.send

    async def sent(self, data):
        if tracing and not sending:
            frame, stack = sys._getframe(1), 0
            while frame is not None:
                stack += ours(frame.f_code)
                frame = frame.f_back
            sending.append((len(crossed), stack))
        return await send(self, data)

    stream.StreamLink.send = sent
    tracing = False
    transport = httpx.ASGITransport(app=app, client=("127.0.0.1", 1))
    found = {}
    async with app.router.lifespan_context(app), httpx.AsyncClient(
        transport=transport, base_url="http://127.0.0.1"
    ) as client:
        of = {"host": host, "tcp_port": port}
        for path in ("/device/info", "/device/events", "/device/events"):
            (await client.get(path, params=of)).raise_for_status()
        for name, path in (("hit", "/device/info"), ("probing GET", "/device/events")):
            crossed.clear(); sending.clear(); entered.clear(); tracing = True
            sys.setprofile(watch)
            answer = await client.get(path, params=of)
            sys.setprofile(None); tracing = False
            answer.raise_for_status()
            part = crossed[: sending[0][0]] if sending else crossed
            files = [file for file, _ in part if "simulator" not in file]
            changes = sum(a != b for a, b in zip(files, files[1:]))
            found[name] = {
                "files": len(set(files)),
                "functions": len({c for c in part if "simulator" not in c[0]}),
                "changes of file": changes,
                "own functions on the stack": sending[0][1] if sending else None,
            }
    await served.close()
    print(json.dumps(found))

asyncio.run(main())
"""


def crossed_figures(root: Path) -> dict[str, Any]:
    """Return what a hit and a probing request cross, traced in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", TRACED, str(root)],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Print the table of one tree."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, default=Path(__file__).parents[1])
    root: Path = parser.parse_args().root.resolve()
    for name, figure in source_figures(root).items():
        print(f"{name:36} {figure}")
    for name, figures in crossed_figures(root).items():
        for what, figure in figures.items():
            print(f"{name + ': ' + what:36} {figure}")


if __name__ == "__main__":
    main()
