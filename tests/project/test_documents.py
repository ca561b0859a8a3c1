"""The documents are complete, and what they point to exists."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
FENCE = re.compile(r"^ *```python\n(.*?)^ *```", re.MULTILINE | re.DOTALL)


def _leaves(nav: Any) -> Iterator[str]:
    if isinstance(nav, str):
        yield nav
    else:
        for entry in nav if isinstance(nav, list) else nav.values():
            yield from _leaves(entry)


def test_every_page_is_in_the_navigation_and_exists(root: Path) -> None:
    """A page outside the navigation is not found; an entry without a page breaks the site."""
    settings = yaml.safe_load((root / "mkdocs.yml").read_text(encoding="utf-8"))
    docs = root / "docs"
    left_out = {line.strip() for line in settings["exclude_docs"].splitlines() if line.strip()}
    pages = {p.relative_to(docs).as_posix() for p in docs.rglob("*.md")} - left_out
    assert set(_leaves(settings["nav"])) == pages


def test_links_between_files_lead_somewhere(root: Path, texts: dict[Path, str]) -> None:
    """A reader who follows a link finds what it promises, in the repository as on the site."""
    included = {Path("CONTRIBUTING.md"), Path("CHANGELOG.md")}  # shown on the site too, so they hold no relative links
    broken = []
    for path, text in texts.items():
        if path.suffix != ".md":
            continue
        for target in LINK.findall(text):
            if re.match(r"[a-z]+:", target):
                continue
            if path in included or not (root / path.parent / target).exists():
                broken.append(f"{path}: {target}")
    assert not broken


def test_python_in_the_documents_parses(texts: dict[Path, str]) -> None:
    """An example with a slip in it costs every reader the same minutes."""
    blocks = [(path, block) for path, text in texts.items() if path.suffix == ".md" for block in FENCE.findall(text)]
    assert blocks
    for path, block in blocks:
        ast.parse(block, filename=str(path))


def test_every_module_is_in_the_reference(texts: dict[Path, str]) -> None:
    """A room that nobody entered into the reference is undocumented, whatever its docstrings say."""
    shown = re.findall(r"^::: voxprior\.(\w+)", texts[Path("docs/reference/api.md")], re.MULTILINE)
    package = Path("src/voxprior")
    modules = [p.relative_to(package) for p in texts if package in p.parents and p.suffix == ".py"]
    rooms = {module.parts[0].removesuffix(".py") for module in modules}
    assert rooms - {"__init__", "__main__", "cli", "configs", "demo", "weights"} == set(shown)


def test_every_name_of_the_registry_is_in_the_documents(texts: dict[Path, str]) -> None:
    """A job or method that no page names does not exist for users."""
    from voxprior import registry

    pages = "\n".join(t for p, t in texts.items() if p.suffix == ".md")
    names = {*registry.JOBS, *(name for methods in registry.METHODS.values() for name in methods)}
    assert not [name for name in names if f"`{name}`" not in pages]


def test_data_of_the_weights_are_attributed(texts: dict[Path, str]) -> None:
    """CC BY asks for the names; whoever was trained on is in NOTICE."""
    from voxprior.priors.weights import bundled

    origins = {
        "ds000011": "ds000011",
        "ds002748": "ds002748",
        "fsformats": "freesurferformats",
        "niivue_mrgd": "MR_Gd",
        "openms": "open_ms_data",
        "rorden_M2307": "M2307",
        "synthsr": "SynthSR",
        "uih770": "dcm_qa_uih",
        "visualqc": "visualqc",
    }
    for card in bundled().values():
        for subject in card["data"]["fit"]:
            origin = next((name for prefix, name in origins.items() if subject.startswith(prefix)), None)
            assert origin is not None, subject
            assert origin in texts[Path("NOTICE")]
