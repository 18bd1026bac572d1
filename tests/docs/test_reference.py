"""The reference pages that ``docs/generate.py`` writes say what the code says."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

import minimateplus
from sfm.settings import Settings

ROOT = Path(__file__).parents[2]


@pytest.fixture
def generate() -> ModuleType:
    found = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def test_the_pages_are_those_of_this_program(
    generate: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    assert generate.main(["--check"]) == 0, capsys.readouterr().out


def test_a_page_that_says_something_else_is_found_and_written_again(
    generate: ModuleType,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(generate, "REFERENCE", tmp_path)
    assert generate.main(["--check"]) == 1
    assert generate.main([]) == 0
    assert generate.main(["--check"]) == 0
    page = tmp_path / "settings.md"
    page.write_text(page.read_text().replace("`8200`", "`8300`"))
    capsys.readouterr()
    assert generate.main(["--check"]) == 1
    assert "settings.md differs" in capsys.readouterr().out


def test_the_pages_have_every_name(generate: ModuleType) -> None:
    texts = {path.name: text for path, text in generate.pages().items()}
    for name in Settings.model_fields:
        assert f"`SFM_{name.upper()}`" in texts["settings.md"]
    for name in minimateplus.__all__:
        assert f"### `{name}`" in texts["library.md"]
    for command in ("info", "db check", "location zone set"):
        assert f"# seismo-relay {command}\n" in texts["command-line.md"]
