"""The bill of materials names what a user installs, and nothing that only developers do."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def bill(root: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    target = tmp_path_factory.mktemp("sbom") / "voxprior.cdx.json"
    subprocess.run([sys.executable, root / "requirements" / "sbom.py", target], check=True, capture_output=True)
    return json.loads(target.read_text(encoding="utf-8"))


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_the_bill_is_cyclonedx_and_lists_the_base_dependencies(bill: dict[str, Any], pyproject: dict[str, Any]) -> None:
    """Guards the format, the base dependencies with their versions, and what they bring; not the tools of tests."""
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    assert bill["metadata"]["component"]["name"] == "voxprior"
    packages = {_normal(c["name"]): c for c in bill["components"] if c["type"] == "library"}
    base = {_normal(re.split(r"[\[<>=!~; ]", r, maxsplit=1)[0]) for r in pyproject["project"]["dependencies"]}
    assert base <= set(packages)
    assert all(c["version"] and c["purl"].startswith("pkg:pypi/") for c in packages.values())
    assert "markupsafe" in packages  # of jinja2
    assert not {"pytest", "mypy", "hypothesis", "cyclonedx-bom", "mkdocs", "pynetdicom"} & set(packages)


def test_the_bill_holds_the_weights_with_licence_and_digest(bill: dict[str, Any]) -> None:
    """Guards weights that would be installed without a word on their licence."""
    from voxprior.priors.weights import bundled

    models = {c["name"]: c for c in bill["components"] if c["type"] == "machine-learning-model"}
    assert set(models) == set(bundled())
    for name, card in bundled().items():
        assert models[name]["licenses"] == [{"license": {"id": card["licence"]}}]
        assert models[name]["hashes"] == [{"alg": "SHA-256", "content": card["sha256"]}]


def test_the_bill_tells_nothing_of_the_machine(bill: dict[str, Any], root: Path) -> None:
    """Guards paths; and every reference leads to a component."""
    assert str(root) not in json.dumps(bill)
    known = {c["bom-ref"] for c in bill["components"]} | {bill["metadata"]["component"]["bom-ref"]}
    assert all({entry["ref"], *entry.get("dependsOn", [])} <= known for entry in bill["dependencies"])
