"""Roles: a subject is in one of them, and stays there whatever else is downloaded."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voxprior.errors import InputError
from voxprior.training.data import load_subjects
from voxprior.training.sources.detect import find
from voxprior.training.sources.roles import HELD_BACK, roles


def test_about_one_in_twenty_is_held_back() -> None:
    """Of a thousand subjects some fifty, the same each time and in any order."""
    names = [f"IXI{i:03d}" for i in range(1000)]
    given_roles = roles(names)
    held = [n for n in names if given_roles[n] == "tune"]
    assert 30 < len(held) < 75 and roles(reversed(names)) == given_roles
    assert HELD_BACK == 20


def test_more_subjects_move_nobody() -> None:
    """What was fitted to is never held back later, nor the other way round, when a data set grows."""
    few, many = roles([f"sub-{i}" for i in range(200)]), roles([f"sub-{i}" for i in range(400)])
    assert "tune" in few.values() and all(many[name] == role for name, role in few.items())


def test_known_roles() -> None:
    """The split is part of what a card says, so it may not change between versions or machines."""
    held = [n for n, role in roles([f"sub-{i:02d}" for i in range(60)]).items() if role == "tune"]
    assert sorted(held) == ["sub-46"]


@settings(max_examples=25, deadline=None)
@given(st.sets(st.text(max_size=8), min_size=2, max_size=40))
def test_both_roles_occur(names: set[str]) -> None:
    """However few subjects there are, and whatever they are called, one is held back and one is fitted to."""
    assert set(roles(names).values()) == {"fit", "tune"}


def test_one_subject_is_too_few() -> None:
    """Nothing can be held back of one subject."""
    with pytest.raises(InputError, match="at least two"):
        roles(["a", "a"])


@pytest.mark.parametrize("kind", ["ixi", "brats", "hcp", "bids", "pairs"])
def test_sessions_and_sequences_stay_together(trees: dict[str, Path], kind: str) -> None:
    """All volumes of a subject have one role, and both roles have subjects."""
    subject_of = {f.scan.name: f.scan.subject for f in find(trees[kind])}
    found = defaultdict(set)
    for subject in load_subjects(trees[kind], ("fit", "tune")):
        found[subject_of[subject.name]].add(subject.role)
    assert len(found) == 3 and all(len(r) == 1 for r in found.values())
    assert set().union(*found.values()) == {"fit", "tune"}
    assert sum(len(load_subjects(trees[kind], (r,))) for r in ("fit", "tune")) == len(subject_of)
