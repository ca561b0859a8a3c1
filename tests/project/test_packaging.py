"""What an installation gets is what the documents promise."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

BASE = set("torch numpy scipy scikit-image nibabel pydantic cyclopts rich safetensors matplotlib jinja2".split())
EXTRAS = set("dicom kspace train register cohort web hub deepinv docs dev all".split())
NOT_FOR_USERS = {"docs", "dev", "all"}


def _names(requirements: list[str]) -> set[str]:
    return {re.split(r"[\[<>=!~; ]", r, maxsplit=1)[0].lower() for r in requirements}


def test_base_install_is_the_promised_list(pyproject: dict[str, Any]) -> None:
    """A dependency that slips into the base makes every user's install larger."""
    assert _names(pyproject["project"]["dependencies"]) == BASE


def test_all_is_every_extra_that_a_user_runs(pyproject: dict[str, Any]) -> None:
    """``all`` must not forget a new extra, and must not bring in docs and dev."""
    extras = pyproject["project"]["optional-dependencies"]
    assert set(extras) == EXTRAS
    (everything,) = extras["all"]
    named = re.fullmatch(r"voxprior\[(.+)\]", everything)
    assert named is not None
    assert set(named[1].split(",")) == set(extras) - NOT_FOR_USERS


def test_torch_is_a_range_for_users_and_one_version_for_development(pyproject: dict[str, Any], root: Path) -> None:
    """A pin would take the choice of a CUDA build from users; no pin would make the tests' judge drift."""
    assert next(r for r in pyproject["project"]["dependencies"] if r.startswith("torch")).startswith("torch>=")
    assert "torch==2.13.0" in (root / "requirements/dev.txt").read_text().splitlines()


def test_the_lock_covers_what_the_project_asks_for(pyproject: dict[str, Any], root: Path) -> None:
    """A dependency added without ``make lock`` would be installed in whatever version is newest."""
    lines = (root / "requirements/dev.txt").read_text().splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9._!]+", line) for line in pins)
    locked = {line.split("==")[0].lower().replace("_", "-") for line in pins}
    extras = pyproject["project"]["optional-dependencies"]
    wanted = _names([*pyproject["project"]["dependencies"], *extras["dev"], *extras["docs"], *extras["train"]])
    assert {name.replace("_", "-") for name in wanted} - {"voxprior"} <= locked


def test_one_version(pyproject: dict[str, Any], texts: dict[Path, str]) -> None:
    """Package, metadata, citation and changelog name the same version."""
    import voxprior

    version = pyproject["project"]["version"]
    cited = re.search(r"^version: (.+)$", texts[Path("CITATION.cff")], re.MULTILINE)
    newest = re.search(r"^## \[(\d[^\]]*)\]", texts[Path("CHANGELOG.md")], re.MULTILINE)
    assert cited is not None and newest is not None
    assert voxprior.__version__ == version == cited[1] == newest[1]


def test_the_command_is_where_the_metadata_says(pyproject: dict[str, Any]) -> None:
    """The entry point of the installed command exists."""
    from importlib import import_module

    module, _, name = pyproject["project"]["scripts"]["voxprior"].partition(":")
    assert callable(getattr(import_module(module), name))


@pytest.mark.parametrize("name", ["Makefile", ".ci/run", "pyproject.toml", "requirements/dev.txt"])
def test_pip_is_left_its_own_settings(name: str, root: Path) -> None:
    """An index named by the project would break machines that have one of their own."""
    assert not re.search(r"(?i)index-url|find-links|trusted-host|--index|https?://", (root / name).read_text())


def test_weights_are_small_and_have_cards(root: Path) -> None:
    """Weights without a card, or of a size that swells the wheel, must not be committed."""
    from voxprior.priors.weights import CARD_KEYS, bundled

    folder = root / "src/voxprior/weights"
    files = sorted(folder.glob("*.safetensors"))
    assert files and {p.stem for p in files} == set(bundled())
    assert {p.name for p in folder.iterdir()} <= {f"{p.stem}{s}" for p in files for s in (".safetensors", ".json")}
    for path in files:
        assert path.stat().st_size <= 8 * 2**20
        card = bundled()[path.stem]
        assert all(card[key] for key in CARD_KEYS)
        assert (root / "src/voxprior/configs" / f"{path.stem}.yaml").is_file()


def test_no_file_is_heavy(files: list[Path]) -> None:
    """Everything stays in the history for ever; 8 MB is the most that anything here needs."""
    heavy = {p.name: p.stat().st_size for p in files if p.stat().st_size > 8 * 2**20}
    assert not heavy
