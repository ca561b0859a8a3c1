"""A restored scan as BIDS derivatives: names, sidecars, and the files that describe the data set."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import voxprior
from voxprior import registry
from voxprior.cohort.dataset import Member, thickness_of
from voxprior.io.outputs import Transaction, file_digest, write_json
from voxprior.jobs.options import SrOptions

BIDS_VERSION = "1.9.0"
KEY = "settings_sha256"
"""Entry of a sidecar by which a finished scan is known."""
IGNORED = ("*.html", "figures", "logs", ".voxprior-*")
"""What a validator is asked to pass over: pages, pictures and notes."""
MAPS = {
    "std": "Standard deviation of every voxel.",
    "lower": "Lower bound of the interval that holds 90 % of every voxel.",
    "upper": "Upper bound of the interval that holds 90 % of every voxel.",
    "invented": "What the measured slices do not determine, signed.",
}
"""What the maps beside a result are."""
SPATIAL = "The space of the source: world coordinates are kept."


def settings_digest(member: Member, options: SrOptions) -> str:
    """SHA-256 over the version, the options, and the bytes of the scan: the same again, the same result."""
    asked = options.model_dump(mode="json", exclude={"threads", "device", "memory"})  # where, not what
    told = {"version": voxprior.__version__, "options": asked, "thickness": thickness_of(member)}
    text = json.dumps(told, sort_keys=True) + file_digest(member.source)
    return hashlib.sha256(text.encode()).hexdigest()


def is_finished(member: Member, out: Path, digest: str) -> bool:
    """Whether the derivative of ``member`` is complete and of these settings."""
    target = member.target(out)
    try:
        told = json.loads(member.target(out, suffix=".json").read_text(encoding="utf-8"))
        return target.is_file() and told[KEY] == digest and all((target.parent / n).is_file() for n in told["outputs"])
    except (OSError, ValueError, KeyError, TypeError):
        return False


def rename(member: Member, out: Path, values: Mapping[str, Any], digest: str) -> dict[str, Any]:
    """Give the maps of a restoration their names in BIDS, complete its sidecar, and return that.

    The sidecar is written last, so that a scan that was cut short is not taken for a finished one.
    """
    target = member.target(out)
    stem = target.name.removesuffix(".nii.gz")
    about = {
        "Sources": [f"bids:raw:{member.folder.as_posix()}/{member.source.name}"],
        "SpatialReference": SPATIAL,
        "SkullStripped": _stripped(member),
    }
    names = []
    for name in values["outputs"]:
        tag = name.removeprefix(stem).removeprefix("_").removesuffix(".nii.gz")
        path = target.with_name(name)
        if name.endswith(".png"):
            path.replace(_folder(out / member.folder.parts[0] / "figures") / name)
        elif not tag:
            names.append(name)
        else:
            for part, image in _parts(tag, path):
                desc = "restored" + "".join(word.capitalize() for word in part.split("-"))
                image.replace(member.target(out, desc))
                about_map = {"Description": MAPS.get(part, "A posterior sample."), **about}
                _write(member.target(out, desc, ".json"), about_map)
                names.append(member.target(out, desc).name)
    complete = {
        "Description": "Thin slices restored from thick ones by a learned prior. Not for diagnosis.",
        **about,
        **values,
        "outputs": names,
        KEY: digest,
    }
    _write(member.target(out, suffix=".json"), complete)
    return complete


def _parts(tag: str, path: Path) -> list[tuple[str, Path]]:
    """A map with its tag; an interval in two, for in BIDS an anatomical image has three dimensions."""
    if tag != "interval":
        return [(tag, path)]
    import nibabel

    both: Any = nibabel.load(path)
    data = both.get_fdata(dtype="float32")
    found = []
    for k, name in enumerate(("lower", "upper")):
        part = path.with_name(path.name.replace("_interval", f"_{name}"))
        image: Any = both.__class__(data[..., k], both.affine, both.header)
        image.to_filename(part)
        found.append((name, part))
    path.unlink()
    return found


def _stripped(member: Member) -> bool:
    """Whether the sidecar of the scan says that only the brain is left; a restoration takes nothing away."""
    beside = member.source.with_name(f"{member.name}.json")
    try:
        return json.loads(beside.read_text(encoding="utf-8"))["SkullStripped"] is True
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _write(path: Path, values: Mapping[str, Any]) -> None:
    with Transaction(True) as transaction:
        write_json(transaction.path(path), dict(values))


def describe_dataset(out: Path, options: SrOptions) -> None:
    """Write what makes ``out`` a data set of derivatives: description, readme, citation, what a validator ignores."""
    from voxprior.cohort.words import CITATION, README

    description = {
        "Name": "Voxprior: thin slices restored from thick ones",
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "derivative",
        "GeneratedBy": [{"Name": "voxprior", "Version": voxprior.__version__}],
        "DatasetLinks": {"raw": ".."},
        "HowToAcknowledge": "See logs/CITATION.md.",
    }
    module, _, name = registry.require(options.method, "sr").partition(":")
    method = getattr(import_module(module), name)
    texts = {
        out / "README.md": README,
        out / "logs" / "CITATION.md": CITATION.format(voxprior.__version__, options.method, method.citation),
    }
    _folder(out / "logs")
    with Transaction(True) as transaction:
        write_json(transaction.path(out / "dataset_description.json"), description)
        for path, text in texts.items():
            transaction.path(path).write_text(text, encoding="utf-8")
    (out / ".bidsignore").write_text("\n".join(IGNORED) + "\n", encoding="utf-8")


def _folder(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path
