"""The relay's errors: one tree, drawn where a reader looks for it."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from types import ModuleType

import pytest

import minimateplus
import minimateplus.errors
import sfm
import sfm.errors
import sfm.store.errors
from minimateplus.errors import MiniMateError
from sfm.errors import SfmError
from sfm.store.errors import StoreError

BRANCH = re.compile(r"^[│ ]*[├└]── (\w+)|^(\w+Error)(?: |$)", re.MULTILINE)


def modules_of(package: ModuleType) -> list[ModuleType]:
    """Import every module of a package except the migrations, which only Alembic loads."""
    names = [
        found.name for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    ]
    return [importlib.import_module(name) for name in names if ".migrations." not in name]


def errors_in(package: ModuleType) -> set[type[Exception]]:
    """Return the exception classes that a package's modules define."""
    return {
        kind
        for module in modules_of(package)
        for kind in vars(module).values()
        if inspect.isclass(kind)
        and issubclass(kind, Exception)
        and kind.__module__ == module.__name__
        and not kind.__name__.startswith("_")
    }


def drawn_in(module: ModuleType) -> set[str]:
    """Return the names of the tree in a module's docstring."""
    return {first or second for first, second in BRANCH.findall(module.__doc__ or "")}


@pytest.mark.parametrize(("package", "root"), [(sfm, SfmError), (minimateplus, MiniMateError)])
def test_all_errors_of_a_package_have_one_root(package: ModuleType, root: type[Exception]) -> None:
    errors = errors_in(package)
    assert len(errors) > 10
    assert [kind.__name__ for kind in errors if not issubclass(kind, root)] == []


def test_the_drawn_trees_name_every_error_of_the_relay() -> None:
    errors = errors_in(sfm)
    of_the_store = {kind.__name__ for kind in errors if issubclass(kind, StoreError)}
    assert drawn_in(sfm.store.errors) == of_the_store
    others = {kind.__name__ for kind in errors} - of_the_store
    assert drawn_in(sfm.errors) == others | {"StoreError"}
