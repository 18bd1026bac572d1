"""What each module exports: ``__all__``, whose names exist, and by which others import."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NO_LIBRARY = ("migrations/env.py", "migrations/versions/")
"""Run by Alembic, imported by nobody."""

MODULES = sorted(
    path
    for package in ("minimateplus", "sfm")
    for path in (ROOT / package).rglob("*.py")
    if not any(part in path.as_posix() for part in NO_LIBRARY)
)


def name_of(path: Path) -> str:
    """Return the name under which a file is imported."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def exports(source: str) -> list[str] | None:
    """Return the names in ``__all__``; ``None`` where a module has none."""
    for statement in ast.parse(source).body:
        if isinstance(statement, ast.AnnAssign):
            targets: list[ast.expr] = [statement.target]
        elif isinstance(statement, ast.Assign):
            targets = statement.targets
        else:
            continue
        if any(isinstance(one, ast.Name) and one.id == "__all__" for one in targets):
            assert statement.value is not None
            names: list[str] = ast.literal_eval(statement.value)
            return names
    return None


def problems(module: object, names: list[str]) -> list[str]:
    """Return what is wrong with the names that a module exports."""
    found = [f"{name} does not exist" for name in names if not hasattr(module, name)]
    found += [f"{name} is private" for name in names if name.startswith("_")]
    found += [f"{name} is listed twice" for name in {*names} if names.count(name) > 1]
    return found


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_what_a_module_exports_exists_and_is_public(path: Path) -> None:
    names = exports(path.read_text(encoding="utf-8"))
    assert names is not None, "no __all__"
    assert problems(importlib.import_module(name_of(path)), names) == []


def test_modules_import_only_what_others_export() -> None:
    every = {name_of(path): exports(path.read_text(encoding="utf-8")) for path in MODULES}
    hidden: set[str] = set()
    for path in MODULES:
        for statement in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(statement, ast.ImportFrom) or statement.module is None:
                continue
            exported = every.get(statement.module)
            if exported is None:
                continue
            for alias in statement.names:
                is_module = f"{statement.module}.{alias.name}" in every
                if alias.name not in exported and not is_module:
                    hidden.add(f"{name_of(path)} imports {alias.name} of {statement.module}")
    assert hidden == set()


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ('__all__ = ["absent"]', "absent does not exist"),
        ('__all__ = ["_private"]\n_private = 1', "_private is private"),
        ('__all__ = ["twice", "twice"]\ntwice = 1', "twice is listed twice"),
    ],
)
def test_a_wrong_export_is_found(source: str, complaint: str) -> None:
    module = type("Module", (), {})()
    module.__dict__.update({"_private": 1, "twice": 1})
    assert problems(module, exports(source) or []) == [complaint]


def test_a_module_without_exports_is_found() -> None:
    assert exports("names = []") is None
