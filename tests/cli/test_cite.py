"""What to cite, and what there is."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from voxprior import registry
from voxprior.cli.app import main
from voxprior.cli.cite import OURS, chosen, entries

ENTRY = re.compile(r"@(\w+)\{([\w-]+),\n((?:  \w+ = \{.+\},\n)+)\}")


def _cited(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, str]:
    assert main(["cite", *words]) == 0
    out = capsys.readouterr().out
    rest = [line for line in ENTRY.sub("", out).splitlines() if line and not line.startswith("%")]
    assert not rest, "everything is an entry or a comment"
    assert out.count("{") == out.count("}")
    return {key: fields for _, key, fields in ENTRY.findall(out)}


def test_the_package_is_cited_as_its_citation_file_says(capsys: pytest.CaptureFixture[str]) -> None:
    """Guards against two truths: version and title come from CITATION.cff."""
    fields = _cited(capsys)
    assert set(fields) == {"voxprior"}
    text = (Path(__file__).parents[2] / "CITATION.cff").read_text(encoding="utf-8")
    assert re.search(r"^version: (.+)$", text, re.MULTILINE)[1] in fields["voxprior"]
    assert "Voxprior: restoring 3-D medical scans" in fields["voxprior"]


def test_every_paper_of_every_method_becomes_an_entry(capsys: pytest.CaptureFixture[str]) -> None:
    """Guards the credit of others: a method whose citation is a paper has author, title, year in BibTeX."""
    for job, methods in registry.METHODS.items():
        cited = _cited(capsys, job)
        for method in methods:
            text = registry.resolve(method, job).citation
            if text != OURS and re.search(r"\b(19|20)\d\d\b", text):
                assert any(key.startswith(method) or _same(text, f) for key, f in cited.items()), (job, method)
    fields = _cited(capsys, "tpdm")["tpdm"]
    assert "author = {Lee and others}" in fields and "year = {2023}" in fields
    assert "title = {{Improving 3D imaging with pre-trained perpendicular 2D diffusion models}}" in fields


NEEDED = {
    "article": {"author", "title", "journal", "year"},
    "inproceedings": {"title", "booktitle"},
    "book": {"author", "title", "publisher", "year"},
    "misc": {"author", "title", "year"},
}


def test_entries_have_the_fields_of_their_type(capsys: pytest.CaptureFixture[str]) -> None:
    """Guards the bibliography: journals, conferences and books are such, and lack nothing that BibTeX asks for."""
    found = {}
    for job in registry.JOBS:
        assert main(["cite", job]) == 0
        for kind, key, fields in ENTRY.findall(capsys.readouterr().out):
            found[key] = kind
            names = set(re.findall(r"^  (\w+) = ", fields, re.MULTILINE))
            assert kind == "software" or NEEDED[kind] <= names, key
    assert (found["tpdm"], found["os-ddpm"], found["hfs-sde"]) == ("inproceedings", "inproceedings", "article")
    assert (found["mri-sr"], found["fbp"]) == ("misc", "book")
    assert main(["cite", "mri-sr"]) == 0
    assert "author = {Chiche and Corcos and Rouge}" in capsys.readouterr().out


def _same(text: str, fields: str) -> bool:
    title = re.search(r"title = \{\{(.+)\}\}", fields)
    return title is not None and title[1] in text


def test_two_papers_and_no_paper() -> None:
    """Guards the reading of citations: several are parted, several authors are named, a remark stays a remark."""
    two = list(entries("tv", "Rudin, Osher and Fatemi, On noise, Physica D, 1992; Block et al., On coils, MRM 2007."))
    assert "author = {Rudin and Osher and Fatemi}" in two[0] and "@article{tv," in two[0]
    assert "@article{tv-2," in two[1] and "journal = {Magnetic Resonance in Medicine}" in two[1]
    assert next(entries("new", "Doe, On nothing, arXiv 2603.1, 2026")).startswith("@misc{new,")
    assert list(entries("fft", "the inverse transform")) == ["% fft: the inverse transform"]
    assert chosen("cubic-projected") is not None


def test_another_name_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """Guards the message, which lists what may be given."""
    assert main(["cite", "nothing"]) == 2
    assert "neither job nor method; give one of sr, recon" in capsys.readouterr().err


def test_info_is_the_registry(capsys: pytest.CaptureFixture[str]) -> None:
    """Guards programs that read it: every job, method and bundled weight, each with checksum, licence and users."""
    assert main(["info", "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert values["jobs"] == dict(registry.JOBS)
    assert values["methods"] == {job: list(names) for job, names in registry.METHODS.items()}
    assert set(values["weights"]) == set(registry.weight_names())
    for card in values["weights"].values():
        assert re.fullmatch("[0-9a-f]{64}", card["sha256"]) and card["licence"] and card["origin"] == "bundled"
        users = [user.partition(" ")[0].split("/") for user in card["default_of"]]
        assert all(registry.require(method, job) for job, method in users)


def test_the_table_of_default_weights_is_what_the_methods_take() -> None:
    """Guards the table, which imports no method: it must say what each would load."""
    from voxprior.methods import ct, enhance, hfs_sde, kspace, mri_sr, os_ddpm, tpdm
    from voxprior.priors import student
    from voxprior.priors.weights import DEFAULT

    table = registry.DEFAULT_WEIGHTS
    assert table["generate"] == {"voxprior": DEFAULT, "tpdm": DEFAULT}
    assert table["sr"] == {**table["generate"], "os-ddpm": os_ddpm.STUDENT}
    assert table["recon"]["voxprior"] == kspace.WEIGHTS and table["recon"]["tpdm"] == tpdm.COMPLEX_WEIGHTS
    assert table["ct"] == {"voxprior": ct.WEIGHTS, "tpdm": tpdm.TOMOGRAPHY_WEIGHTS}
    assert table["enhance"] == {"voxprior": enhance.DEFAULT, "mri-sr": enhance.DEFAULT}
    assert registry.OPTION_WEIGHTS == {
        "sr/voxprior --mode one-step": student.DEFAULT,
        "sr/os-ddpm --steps N": os_ddpm.TEACHER,
        "enhance/voxprior --planes volume": mri_sr.VOLUME_WEIGHTS,
        "enhance/mri-sr --network volume": mri_sr.VOLUME_WEIGHTS,
    }
    for name in ("hfs-sde", "ve-sde", "vp-sde"):
        options = registry.resolve(name, "recon").Options
        assert table["recon"][name] == options.model_fields["weights"].default
    assert hfs_sde is not None
