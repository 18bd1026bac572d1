from __future__ import annotations

import pytest

from kit.proof_budget import is_short, seeds


class Clock:
    """Each look takes a second."""

    now_s = 100.0

    def __call__(self) -> float:
        self.now_s += 1.0
        return self.now_s


def test_a_full_proof_has_every_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TEST_PROOF_S", raising=False)
    assert list(seeds(50, 0.1, Clock())) == list(range(50))
    assert not is_short()


@pytest.mark.parametrize(("budget_s", "lived"), [("100", 10), ("1000", 50), ("0.001", 1)])
def test_a_short_proof_ends_when_its_share_is_used(
    budget_s: str, lived: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_PROOF_S", budget_s)
    assert list(seeds(50, 0.1, Clock())) == list(range(lived))
    assert is_short()
