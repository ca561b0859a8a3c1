"""``voxprior cite``: what to cite, as BibTeX."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from voxprior.cli.show import say
from voxprior.errors import InputError

OURS = "Voxprior: this package."
"""Citation of a method that was published nowhere else."""
_PAPER = re.compile(
    r"(?P<authors>[A-Z][\w-]+(?:, [A-Z][\w-]+)*(?: and [A-Z][\w-]+| et al\.)?), (?P<title>.+), "
    r"(?P<venue>[^,]+?),? (?P<year>\d{4})"
)
_PROGRAM = re.compile(r"(?P<title>.+), (?P<venue>[^,]+), (?P<url>https://\S+)")
_JOURNALS = {
    "IEEE TMI": "IEEE Transactions on Medical Imaging",
    "Magnetic Resonance in Medicine": "Magnetic Resonance in Medicine",
    "MRM": "Magnetic Resonance in Medicine",
    "PMB": "Physics in Medicine and Biology",
    "Physica D": "Physica D",
}
_CONFERENCES = {
    "ICCV": "IEEE/CVF International Conference on Computer Vision (ICCV)",
    "MICCAI": "Medical Image Computing and Computer Assisted Intervention (MICCAI)",
}
_PUBLISHERS = ("IEEE Press", "SIAM")
FILE = "CITATION.cff"


def cite(name: str | None = None, /) -> int:
    """Print BibTeX: of Voxprior, and of the papers behind a method or behind all methods of a job.

    Parameters
    ----------
    name
        Job or method, such as recon or tpdm; Voxprior alone by default.
    """
    say(software())
    told: set[str] = set()
    for key, text in chosen(name).items():
        for entry in entries(key, text):
            paper = entry.partition(",")[2] if entry.startswith("@") else entry
            if paper not in told:  # methods share papers; a bibliography has each once
                told.add(paper)
                say("\n" + entry)
    return 0


def chosen(name: str | None) -> dict[str, str]:
    """Citations of the methods that ``name`` stands for, by method; raises :class:`InputError` for another name."""
    from voxprior import registry

    if name is None:
        return {}
    jobs = [name] if name in registry.METHODS else list(registry.METHODS)
    pairs = [(j, m) for j in jobs for m in registry.METHODS[j] if name in (j, m)]
    if not pairs:
        methods = sorted({method for job in registry.METHODS.values() for method in job})
        raise InputError(f"{name}: neither job nor method; give one of {', '.join([*registry.METHODS, *methods])}")
    found: dict[str, str] = {}
    for job, method in pairs:
        text = registry.resolve(method, job).citation
        if text != OURS and text not in found.values():
            found[method if method not in found else f"{method}-{job}"] = text
    return found


def entries(key: str, citation: str) -> Iterator[str]:
    """BibTeX of a method's citation, an entry a paper; a comment for what is no paper."""
    for number, part in enumerate(citation.rstrip(".").split("; ")):
        match = _PAPER.fullmatch(part) or _PROGRAM.fullmatch(part)
        if match is None:
            yield f"% {key}: {part}"
            continue
        told: dict[str, str] = match.groupdict()
        kind, place = _venue(told["venue"])
        fields = {"author": _authors(told["authors"])} if "authors" in told else {}
        fields |= {"title": f"{{{told['title']}}}", **place}
        fields |= {name: told[name] for name in ("year", "url") if name in told}
        yield _entry(kind, key if number == 0 else f"{key}-{number + 1}", fields)


def _venue(name: str) -> tuple[str, dict[str, str]]:
    """The type of an entry, and the fields that say where it appeared."""
    if name in _JOURNALS:
        return "article", {"journal": _JOURNALS[name]}
    if name in _CONFERENCES:
        return "inproceedings", {"booktitle": _CONFERENCES[name]}
    if name in _PUBLISHERS:
        return "book", {"publisher": name}
    if name.startswith("arXiv "):
        return "misc", {"eprint": name.removeprefix("arXiv "), "archiveprefix": "arXiv"}
    return "misc", {"howpublished": name}


def software() -> str:
    """BibTeX of Voxprior, from its CITATION.cff; raises :class:`InputError` when that is not there."""
    here = Path(__file__).parents[1]
    path = next((p for p in (here / FILE, here.parents[1] / FILE) if p.is_file()), None)
    if path is None:
        raise InputError(f"{FILE} is missing from this installation; install voxprior again")
    values = dict(re.findall(r'^([a-z-]+): "?(.+?)"?$', path.read_text(encoding="utf-8"), re.MULTILINE))
    names = re.findall(r'^ +- name: "?(.+?)"?$', path.read_text(encoding="utf-8"), re.MULTILINE)
    fields = {
        "author": " and ".join(f"{{{name}}}" for name in names),
        "title": f"{{{values['title']}}}",
        "version": values["version"],
        "year": values["date-released"][:4],
        "note": f"Licence {values['license']}",
    }
    return _entry("software", "voxprior", fields)


def _authors(text: str) -> str:
    """``Lee et al.``, ``Kak and Slaney`` or ``Rudin, Osher and Fatemi`` as BibTeX names them."""
    return text.replace(" et al.", " and others").replace(", ", " and ")


def _entry(kind: str, key: str, fields: Mapping[str, str]) -> str:
    lines = [f"  {name} = {{{value}}}," for name, value in fields.items()]
    return "\n".join([f"@{kind}{{{key},", *lines, "}"])
