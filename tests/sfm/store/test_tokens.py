"""Tokens in the store: a secret is shown once, and one row and one digest decide."""

from __future__ import annotations

import hmac
import secrets
import threading
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kit.durable_world import NOW, all_rows, only_postgresql, open_store, rows

from sfm.api.problems import problem_of
from sfm.store import AuditEntry, Store, StoreError, Token, audit, tokens
from sfm.store import tokens as token_module
from sfm.store.errors import NoSuchTokenError, TokenNameTakenError
from sfm.store.tokens import RoleName, number_of

pytest_plugins = ["kit.durable_databases"]

LATER = NOW + timedelta(days=1)
RANDOM = bytes(range(32))


def add(store: Store, name: str = "lab", role: RoleName = "viewer", **more: Any) -> Any:
    given: dict[str, Any] = {"units": (), "at": NOW, "secret_bytes": secrets.token_bytes, **more}
    return store.write(
        tokens.create,
        name,
        role,
        given["units"],
        given["at"],
        given["secret_bytes"],
        audited=given.get("audited"),
    )


def entry_of(token: Token) -> AuditEntry:
    return AuditEntry(
        at=NOW, actor="a", role="admin", origin="o", command="token", outcome="done",
        detail={"id": token.id},
    )  # fmt: skip


def test_a_token_comes_back_as_it_was_made(store: Store, database_url: str) -> None:
    units = ("route:tcp:10.0.0.5:12345", "BE18189")
    made, secret = add(store, "Süd × 岩", "operator", units=("tcp:10.0.0.5:12345", "BE18189"))
    assert (made.name, made.role, made.units) == ("Süd × 岩", "operator", units)
    assert (made.created_at, made.revoked_at) == (NOW, None)
    assert store.read(tokens.load, made.id) == made
    assert store.read(tokens.load_all) == [made]
    assert made.is_of(secret)
    assert made.payload()["created_at"] == "2026-05-01T12:00:00.250+00:00"
    assert "digest" not in made.payload()
    assert store.read(tokens.load, made.id + 1) is None


def test_a_secret_says_whose_it_is_and_is_random(store: Store) -> None:
    made, secret = add(store, secret_bytes=lambda count: RANDOM[:count])
    assert secret == f"sfm_{made.id}_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
    assert number_of(secret) == made.id
    with pytest.raises(ValueError, match="32 random bytes, got 8"):
        add(store, "x", secret_bytes=lambda _: bytes(8))
    assert [one.name for one in store.read(tokens.load_all)] == ["lab"]


def test_nothing_of_the_secret_is_in_the_database(store: Store) -> None:
    _, secret = add(store, audited=entry_of)
    present = repr(all_rows(store)).lower()
    chance = secret.split("_", 2)[2].lower()
    assert not any(chance[at : at + 8] in present for at in range(len(chance) - 8))
    [row] = rows(store, "tokens")
    assert len(row["digest"]) == 32


def test_only_its_own_secret_opens_a_token(store: Store) -> None:
    made, secret = add(store)
    other, other_secret = add(store, "other")
    assert not made.is_of(other_secret)
    assert not other.is_of(secret)
    for at in range(len(secret)):
        changed = "A" if secret[at] != "A" else "B"
        assert not made.is_of(secret[:at] + changed + secret[at + 1 :]), at
    # The same chance under another number is another secret.
    assert not other.is_of(secret.replace(f"_{made.id}_", f"_{other.id}_"))
    for rubbish in (secret + "A", secret[:-1], secret.upper(), f" {secret}", f"{secret}\n"):
        assert not made.is_of(rubbish)


def test_a_revoked_token_is_opened_by_nothing(store: Store) -> None:
    made, secret = add(store)
    revoked = store.write(tokens.revoke, made.id, LATER)
    assert revoked.revoked_at == LATER
    assert store.read(tokens.load, made.id) == revoked
    assert not revoked.is_of(secret)


def test_digests_are_compared_in_constant_time(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, secret = add(store)
    asked: list[tuple[Any, Any]] = []

    def reported(left: Any, right: Any) -> bool:
        asked.append((left, right))
        return False

    monkeypatch.setattr(hmac, "compare_digest", reported)
    assert not made.is_of(secret)
    assert asked == [(made.digest, made.digest)]


@given(st.one_of(st.text(), st.from_regex(r"sfm_.*", fullmatch=True)))
def test_rubbish_is_of_no_token(secret_text: str) -> None:
    number = number_of(secret_text)
    assert number is None or secret_text.startswith(f"sfm_{number}_")
    token = Token(1, "n", "viewer", (), NOW, None, bytes(32))
    assert not token.is_of(secret_text)


@pytest.mark.parametrize(
    "secret_text",
    ["", "sfm_1_", "sfm_0_" + "A" * 43, "sfm_01_" + "A" * 43, "sfm_١_" + "A" * 43, "sfm_1_\ud800",
     "sfm_" + "9" * 19 + "_" + "A" * 43, "sfm_-1_" + "A" * 43, "sfm_1_" + "é" * 43],
)  # fmt: skip
def test_what_is_no_number_is_none(secret_text: str) -> None:
    assert number_of(secret_text) is None


def test_a_name_is_one_tokens_until_that_is_revoked(store: Store) -> None:
    made, _ = add(store)
    with pytest.raises(TokenNameTakenError, match="'lab' is there already"):
        add(store, audited=entry_of)
    assert store.read(tokens.load_all) == [made]
    assert store.read(audit.load_latest, 10) == []
    store.write(tokens.revoke, "lab", LATER)
    again, _ = add(store)
    assert again.id != made.id
    store.write(tokens.revoke, "lab", LATER)
    add(store)
    assert [one.revoked_at is None for one in store.read(tokens.load_all)] == [False, False, True]


@only_postgresql
def test_of_several_that_want_a_name_at_once_one_gets_it(store: Store, database_url: str) -> None:
    start = threading.Barrier(6)
    reported: list[object] = []

    def make(mine: Store) -> None:
        start.wait(10)
        try:
            reported.append(add(mine)[0].name)
        except StoreError as error:
            reported.append(type(error))

    with open_store(database_url) as second:
        threads = [threading.Thread(target=make, args=(one,)) for one in (store, second) * 3]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    assert sorted(map(str, reported)) == sorted(["lab", *[str(TokenNameTakenError)] * 5])


@pytest.mark.parametrize(
    ("name", "role", "units", "word"),
    [
        ("", "viewer", (), "name"),
        ("n" * 65, "viewer", (), "name"),
        ("a\nb", "viewer", (), "name"),
        ("a\0b", "viewer", (), "name"),
        ("\ud800", "viewer", (), "name"),
        ("n", "boss", (), "role"),
        ("n", "", (), "role"),
        ("n", "viewer", ("",), "units"),
        ("n", "viewer", ("a\nb",), "units"),
        ("n", "viewer", ("u" * 256,), "units"),
        ("n", "viewer", "BE18189", "units"),
    ],
)
def test_what_cannot_be_a_token_is_refused_by_name(
    store: Store, name: str, role: Any, units: Any, word: str
) -> None:
    with pytest.raises(ValueError, match=f"^{word}: "):
        add(store, name, role, units=units)
    assert store.read(tokens.load_all) == []
    add(store, "n" * 64, "admin", units=("u" * 255,))


def test_a_token_is_revoked_by_name_or_number_and_once(store: Store) -> None:
    ids = {name: add(store, name)[0].id for name in ("one", "two", "three")}
    assert store.write(tokens.revoke, ids["one"], LATER).name == "one"
    assert store.write(tokens.revoke, str(ids["two"]), LATER).name == "two"
    assert store.write(tokens.revoke, "three", LATER).id == ids["three"]
    for again in (*ids, *ids.values(), "four", "", "\0", "\ud800", 0, -1, 10**30, "9" * 30, "٣"):
        with pytest.raises(NoSuchTokenError):
            store.write(tokens.revoke, again, LATER + timedelta(days=1))
    assert {one.revoked_at for one in store.read(tokens.load_all)} == {LATER}


def test_text_is_a_name_before_it_is_a_number(store: Store) -> None:
    first, _ = add(store, "first")
    named, _ = add(store, str(first.id))
    assert store.write(tokens.revoke, str(first.id), LATER).id == named.id
    assert store.write(tokens.revoke, str(first.id), LATER).id == first.id


def test_token_and_audit_entry_are_both_there_or_neither(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, _ = add(store, audited=entry_of)
    store.write(tokens.revoke, made.id, LATER, audited=entry_of)
    assert [entry["detail"] for entry in store.read(audit.load_latest, 9)] == [{"id": made.id}] * 2

    def refuse(_: Token) -> AuditEntry:
        raise RuntimeError("no entry")

    kept, _ = add(store, "kept")
    before = all_rows(store)
    with pytest.raises(RuntimeError):
        add(store, "unaudited", audited=refuse)
    with pytest.raises(RuntimeError):
        store.write(tokens.revoke, kept.id, LATER, audited=refuse)
    assert all_rows(store) == before


def test_the_errors_of_tokens_have_their_status() -> None:
    assert problem_of(NoSuchTokenError()).status == 404
    assert problem_of(TokenNameTakenError()).status == 409
    assert token_module.ROLES == ("viewer", "operator", "admin")
