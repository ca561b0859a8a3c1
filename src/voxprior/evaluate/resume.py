"""An evaluation, case by case: what is done is skipped, what is new is appended."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from voxprior.errors import InputError
from voxprior.evaluate.contender import Contender
from voxprior.evaluate.record import Case
from voxprior.evaluate.store import Store

CaseT = TypeVar("CaseT", bound=Case)
ProblemT = TypeVar("ProblemT")


def plan(
    cases: Sequence[CaseT],
    contenders: Sequence[Contender],
    runs_on: Callable[[Contender, CaseT], bool],
    only: Sequence[str],
) -> list[tuple[CaseT, list[Contender]]]:
    """Each case with the contenders that run on it and match all words of ``only``; :class:`InputError` if none do."""
    chosen = []
    for case in cases:
        members = [c for c in contenders if runs_on(c, case) and all(word in f"{case.name} {c.label}" for word in only)]
        if members:
            chosen.append((case, members))
    if not chosen:
        raise InputError(f"--only {' '.join(only)} matches no case; words are parts of 'SUBJECT KIND DIRECTION METHOD'")
    return chosen


def fill(
    store: Store,
    planned: Sequence[tuple[CaseT, Sequence[Contender]]],
    key: Callable[[CaseT, Contender], str],
    prepare: Callable[[CaseT], ProblemT],
    measure: Callable[[CaseT, Contender, ProblemT], dict[str, Any]],
    report: Callable[[dict[str, Any]], None],
) -> list[dict[str, Any]]:
    """Make what ``store`` lacks, append it result by result, and return it; a case is prepared only if it is needed."""
    done = {record["key"] for record in store.records()}
    made = []
    for case, contenders in planned:
        missing = [contender for contender in contenders if key(case, contender) not in done]
        if not missing:
            continue
        problem = prepare(case)
        for contender in missing:
            record = measure(case, contender, problem)
            store.append(record)
            made.append(record)
            report(record)
    return made
