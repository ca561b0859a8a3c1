"""A training from each kind of download, from the command to the card."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from voxprior.cli.app import main

SETTINGS = {
    "prior": {"channels": [8, 8], "blocks": [1, 1]},
    "examples": {"patch": 16, "spacing": [2.0, 4.0]},
    "steps": 2, "batch": 2, "warmup": 1, "decay": 1, "accelerator": "cpu", "workers": 0,
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["bids", "ixi", "brats", "hcp", "pairs"])
def test_two_steps(trees: dict[str, Path], tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The folder is all that is given: it trains, validates on who is held back, and the card names both."""
    config, output = tmp_path / "c.yaml", tmp_path / "run"
    config.write_text(yaml.safe_dump({**SETTINGS, "data": str(trees[kind]), "output": str(output)}))
    assert main(["train", str(config)]) == 0
    lines = [json.loads(line) for line in (output / "log.jsonl").read_text().splitlines()]
    assert lines[-1]["step"] == 2 and lines[-1]["gain"]
    if kind == "bids":
        assert main(["train", str(config), "--publish", str(tmp_path / "w.safetensors")]) == 0
        data = json.loads((tmp_path / "w.json").read_text())["data"]
        assert data["licences"] == "CC0" and not set(data["fit"]) & set(data["tune"])
    assert capsys.readouterr().err == ""


def test_files_left_out_are_told_in_the_programs_words(
    trees: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line on stderr, however often the folder is searched."""
    tree = tmp_path / "data"
    for path in sorted(trees["bids"].rglob("*_T1w.nii.gz")):
        target = tree / path.relative_to(trees["bids"])
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    broken = tree / "sub-04" / "anat" / "sub-04_T1w.nii.gz"
    broken.parent.mkdir(parents=True)
    broken.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    config = tmp_path / "c.yaml"
    config.write_text(yaml.safe_dump({**SETTINGS, "data": str(tree), "output": str(tmp_path / "run")}))
    assert main(["train", str(config)]) == 0
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and err.startswith("voxprior: ") and "1 file is left out: sub-04" in err
