"""Settings from environment and file: which wins, where the file is looked for, what is wrong."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import ValidationError
from pydantic_settings import SettingsError

from sfm.settings import (
    Settings,
    SettingsFileError,
    fault_lines,
    file,
    find_file,
    search_path,
    unknown_names,
)

FILE = """
host = "192.0.2.1"
http_port = 8300
trusted_proxies = ["10.0.0.2"]

[units]
"south face" = "tcp://10.0.0.6"

[units."north face"]
address = "tcp://10.0.0.5:12345"
zone = "Europe/Oslo"
keep_open_s = 60
"""


@pytest.fixture(autouse=True)
def nothing_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in os.environ:
        if name.startswith("SFM_"):
            monkeypatch.delenv(name)
    monkeypatch.setattr(file, "search_path", lambda: [])


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    path = tmp_path / "seismo-relay.toml"
    path.write_text(FILE)
    monkeypatch.setenv("SFM_CONFIG", str(path))
    return path


def lines_of(**given: Any) -> list[str]:
    try:
        Settings(**given)
    except (ValidationError, SettingsError) as error:
        return fault_lines(error, given)
    return []


@pytest.mark.usefixtures("written")
def test_a_file_sets_values_and_a_units_table_also_zone_and_keep_open_time() -> None:
    settings = Settings()
    assert (settings.host, settings.http_port) == ("192.0.2.1", 8300)
    assert settings.units == {
        "south face": "tcp://10.0.0.6",
        "north face": "tcp://10.0.0.5:12345",
    }
    assert settings.site_zones == {"north face": "Europe/Oslo"}
    assert settings.keep_open_s_of(settings.registered["north face"]) == 60


@pytest.mark.usefixtures("written")
def test_the_environment_wins_over_the_file_and_an_option_over_both(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SFM_HTTP_PORT", "8400")
    monkeypatch.setenv("SFM_UNITS", json.dumps({"north face": "tcp://10.0.0.7"}))
    settings = Settings(host="127.0.0.1")
    assert (settings.host, settings.http_port) == ("127.0.0.1", 8400)
    assert settings.units == {"south face": "tcp://10.0.0.6", "north face": "tcp://10.0.0.7"}


def test_the_first_file_of_the_search_path_is_read_and_none_reads_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    first, second, third = (tmp_path / name for name in ("a.toml", "b.toml", "c.toml"))
    monkeypatch.setattr(file, "search_path", lambda: [first, second, third])
    assert find_file() is None
    second.write_text("http_port = 2")
    third.write_text("http_port = 3")
    assert Settings().http_port == 2
    monkeypatch.setenv("SFM_CONFIG", str(third))
    assert Settings().http_port == 3
    monkeypatch.setenv("SFM_CONFIG", "none")
    assert Settings().http_port == 8200


def test_the_search_path_is_the_documented_one() -> None:
    page = (Path(__file__).parents[3] / "docs/reference/command-line-behaviour.md").read_text(
        "utf-8"
    )
    working, user, machine = search_path()
    assert working == Path.cwd() / "seismo-relay.toml"
    assert user.parts[-3:] == (".config", "seismo-relay", "seismo-relay.toml")
    for place in ("./seismo-relay.toml", "~/.config/seismo-relay/seismo-relay.toml", str(machine)):
        assert f"`{place}`" in page


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (None, "expected a settings file, and there is no"),
        ("x = ?\n", "expected TOML: Invalid value (at line 1, column 5); for example: http_port"),
        ("[units.a]\nhost = 'x'", "units, a: expected address, and zone or keep_open_s"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(
    text: str | None, line: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "seismo-relay.toml"
    if text is not None:
        path.write_text(text)
    monkeypatch.setenv("SFM_CONFIG", str(path))
    with pytest.raises(SettingsFileError) as caught:
        Settings()
    assert str(path) in str(caught.value)
    assert line in str(caught.value)


def test_a_fault_is_named_where_it_was_written(
    written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = "expected a whole number from 0 to 65535, got"
    written.write_text("http_port = 83000")
    assert lines_of() == [f"{written}: http_port: {expected} 83000; for example: http_port = 8200"]
    monkeypatch.setenv("SFM_HTTP_PORT", "x")
    assert lines_of() == [f"SFM_HTTP_PORT: {expected} 'x'; for example: SFM_HTTP_PORT=8200"]
    assert lines_of(http_port=-1) == [f"--http-port: {expected} -1; for example: --http-port 8200"]


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_has_an_example_and_a_wrong_value_shows_it(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    field = Settings.model_fields[name]
    assert field.examples is not None
    [example] = field.examples
    as_text = example if isinstance(example, str) else json.dumps(example)
    monkeypatch.setenv(f"SFM_{name.upper()}", as_text)
    if name not in ("tls_key",):
        Settings()  # the example itself is right
    if field.annotation is str or str in get_args(field.annotation):
        return  # no text is wrong by its kind
    monkeypatch.setenv(f"SFM_{name.upper()}", "?")
    [line] = lines_of()
    assert line.startswith(f"SFM_{name.upper()}: expected ")
    assert "for example: SFM_" in line
    assert "\n" not in line


def test_a_password_in_a_database_url_is_never_repeated(written: Path) -> None:
    written.write_text('database_url = ["postgresql://u:secret@host/db"]')
    [line] = lines_of()
    assert "secret" not in line
    assert line.startswith(f"{written}: database_url: expected a text")


def test_a_name_that_is_no_setting_is_warned_about(
    written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written.write_text("reply = 3\nSFM_HTTP_PORT = 8201\n[unit]")
    monkeypatch.setenv("SFM_REPLYS", "3")
    monkeypatch.setenv("SFM_TOKEN", "t")
    assert unknown_names() == [
        "SFM_REPLYS is no setting and has no effect; is SFM_REPLY_S meant?",
        f"{written}: reply is no setting and has no effect; is reply_s meant?",
        f"{written}: SFM_HTTP_PORT is no setting and has no effect; in a file it is http_port",
        f"{written}: unit is no setting and has no effect; is units meant?",
    ]
    assert Settings().reply_s == 10
