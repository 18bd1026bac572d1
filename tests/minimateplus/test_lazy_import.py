"""The public names of the instrument library, and what an import of it costs."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import minimateplus
from minimateplus.client import MiniMate

PACKAGE = Path(minimateplus.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))


def defined_names(tree: ast.Module) -> Iterator[str]:
    """Yield the names that a module defines itself, imports left out."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                yield from (name.id for name in ast.walk(target) if isinstance(name, ast.Name))


def exported_names(tree: ast.Module) -> list[str] | None:
    """Return the module's ``__all__``, ``None`` where there is none."""
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if any(isinstance(one, ast.Name) and one.id == "__all__" for one in targets):
            value = getattr(node, "value", None)
            assert value is not None
            names: list[str] = ast.literal_eval(value)
            return names
    return None


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_every_module_lists_exactly_its_public_names(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    exported = exported_names(tree)
    assert exported is not None
    assert len(exported) == len(set(exported))
    if path.name != "__init__.py":
        assert set(exported) == {name for name in defined_names(tree) if not name.startswith("_")}


def test_the_package_exports_the_client_lazily() -> None:
    assert minimateplus.__all__ == ["BlockingMiniMate", "MiniMate"]
    assert minimateplus.MiniMate is MiniMate
    with pytest.raises(AttributeError, match="has no attribute 'Minimate'"):
        minimateplus.Minimate  # noqa: B018


def modules_loaded_by(statement: str) -> set[str]:
    code = f"{statement}\nimport sys\nprint('\\n'.join(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60
    )
    return set(done.stdout.split())


def test_an_import_of_the_errors_loads_no_numpy() -> None:
    loaded = modules_loaded_by("import minimateplus.errors")
    assert "minimateplus.errors" in loaded
    assert not {"numpy", "serialx", "asyncio"} & loaded


def test_the_simulator_needs_no_pseudo_terminal() -> None:
    loaded = modules_loaded_by("import minimateplus.simulator, minimateplus.simulator.hostile")
    assert "minimateplus.simulator.serve" in loaded
    assert "minimateplus.simulator.pty" not in loaded
    for path in MODULES:
        if path.name != "pty.py":
            imported = {
                name.name
                for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
                if isinstance(node, ast.Import)
                for name in node.names
            }
            assert not {"tty", "pty", "termios"} & imported, path
