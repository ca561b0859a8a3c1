"""The house rules that no linter knows."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

FORBIDDEN = [
    # Each is written so that this file does not hold it.
    r"/(?:root|home|work|Users)/\w",
    r"\bpypi\.o" + "rg|pythonhos" + r"ted|debian\.o" + "rg/|npmjs" + r"\.",
    r"\bTO" + r"DO\b|\bFIX" + r"ME\b|\bXX" + r"X\b",
    r"(?i)genera" + "ted by|co-author" + "ed",
]
JUDGES = re.compile(r"\bassert\b|assert_|raises\(|\b_?(check|same|refused|expect)\w*\(|check=True|fail\(")
TORCHLESS = (
    *("errors.py", "volume.py", "registry.py", "io/", "metrics/", "operators/profiles.py"),
    *("operators/projection_matrix.py", "operators/projection_cache.py"),
)


def _functions(tree: ast.AST) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


@pytest.fixture(scope="module")
def sources(texts: dict[Path, str]) -> dict[str, str]:
    """Text of every module of the package, by its path in the package."""
    prefix = Path("src/voxprior")
    return {p.relative_to(prefix).as_posix(): t for p, t in texts.items() if p.suffix == ".py" and prefix in p.parents}


@pytest.mark.parametrize("pattern", FORBIDDEN)
def test_no_file_names_a_machine_or_leaves_work_for_later(pattern: str, texts: dict[Path, str]) -> None:
    """Paths of one machine, hosts of registries and unfinished business have no place in the repository."""
    ours = {path: text for path, text in texts.items() if path != Path("LICENSE")}
    lines = [(path, line.strip()) for path, text in ours.items() for line in text.splitlines()]
    assert not [f"{path}: {line[:90]}" for path, line in lines if re.search(pattern, line)]


def test_files_and_functions_stay_small(sources: dict[str, str]) -> None:
    """A file over 400 lines or a function over 60 is two things."""
    long = [f"{name}: {text.count(chr(10))} lines" for name, text in sources.items() if text.count("\n") > 400]
    for name, text in sources.items():
        for node in _functions(ast.parse(text)):
            length = (node.end_lineno or 0) - node.lineno + 1
            if length > 60:
                long.append(f"{name}: {node.name} {length} lines")
    assert not long


def test_no_room_for_odds_and_ends(sources: dict[str, str]) -> None:
    """A module named after nothing collects everything."""
    assert not [name for name in sources if re.search(r"(^|/)_?(utils?|helpers?|common|misc)(\.py|/)", name)]


def test_everything_public_says_what_it_is(sources: dict[str, str]) -> None:
    """Modules, classes, functions and methods without an underscore have a docstring that ends as a sentence does."""
    silent = []
    for name, text in sources.items():
        tree = ast.parse(text)
        if not ast.get_docstring(tree):
            silent.append(name)
        public = [n for n in tree.body if isinstance(n, ast.FunctionDef | ast.ClassDef) and not n.name.startswith("_")]
        inner = [
            n
            for c in public
            if isinstance(c, ast.ClassDef)
            for n in c.body
            if isinstance(n, ast.FunctionDef) and not n.name.startswith("_")
        ]
        for node in [*public, *inner]:
            first = (ast.get_docstring(node) or "").partition("\n\n")[0].strip()
            if not first or first[-1] not in ".?:)`":
                silent.append(f"{name}: {node.name}")
    assert not silent


def test_every_test_says_what_it_guards(texts: dict[Path, str]) -> None:
    """A test without a sentence is deleted by the next person who breaks it."""
    silent = []
    for path, text in texts.items():
        if path.parts[0] == "tests" and path.name.startswith("test_"):
            tests = [f for f in _functions(ast.parse(text)) if f.name.startswith("test_")]
            silent += [f"{path}: {f.name}" for f in tests if not ast.get_docstring(f)]
    assert not silent


def test_every_test_can_fail(texts: dict[Path, str]) -> None:
    """A test asserts something, expects an error, or calls a check that does."""
    idle = []
    for path, text in texts.items():
        if path.parts[0] != "tests" or not path.name.startswith("test_"):
            continue
        for test in (f for f in _functions(ast.parse(text)) if f.name.startswith("test_")):
            body = ast.unparse(test)
            if not JUDGES.search(body):
                idle.append(f"{path}: {test.name}")
    assert not idle


def test_no_pickle_is_ever_loaded(sources: dict[str, str]) -> None:
    """A weight or data file from a stranger must not be able to run code."""
    bad = r"torch\.load\(|allow_pickle=True|^\s*(import|from) (pickle|cloudpickle|dill|joblib)|yaml\.(unsafe_)?load\("
    assert not [name for name, text in sources.items() if re.search(bad, text, re.MULTILINE)]


def test_the_ground_floor_needs_no_torch(sources: dict[str, str]) -> None:
    """A result can be read and verified where torch is not installed."""
    ground = {name: text for name, text in sources.items() if name.startswith(TORCHLESS)}
    assert len(ground) > len(TORCHLESS)
    assert not [name for name, text in ground.items() if re.search(r"^\s*(import|from) torch\b", text, re.MULTILINE)]
