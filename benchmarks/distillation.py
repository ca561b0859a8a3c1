"""Quality of one-step students step by step: weightings of the paper and ours, with and without the contrastive term.

    python benchmarks/distillation.py --data DIR [--steps 300] [--out docs/results/distillation.jsonl]

Short distillations of the shipped teacher on the same examples with the same seed; each is validated on the ``tune``
subjects as it goes. What is written is read by ``voxprior evaluate one-step``.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from voxprior.priors.student import StudentConfig
from voxprior.training.distill import DistillConfig, distill
from voxprior.training.fit import LOG
from voxprior.training.volumes import VolumeExampleConfig

PAPER = {"student": StudentConfig(start="noise"), "weighting": "paper", "levels": "time"}
OURS = {"weighting": "dmd", "levels": "spread"}
RUNS: dict[str, dict[str, Any]] = {
    "paper's weighting, contrastive": {**PAPER, "contrastive": 0.1},
    "paper's weighting": PAPER,
    "release's weighting, contrastive": {**PAPER, "weighting": "release", "contrastive": 0.1},
    "ours (DMD), contrastive": {**OURS, "contrastive": 0.1},
    "ours (DMD)": OURS,
    "ours (DMD) beside the truth": {**OURS, "regression": 1.0},
}


def main() -> None:
    """Run every distillation and write its validations, a line each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--every", type=int, default=100)
    parser.add_argument("--out", type=Path, default=Path("docs/results/distillation.jsonl"))
    given = parser.parse_args()
    examples = VolumeExampleConfig(cells=(6, 12), plane=(40, 40), in_plane=0.0, mean=0.0)
    lines = []
    for label, settings in RUNS.items():
        with tempfile.TemporaryDirectory() as folder:
            config = DistillConfig(
                data=given.data, output=Path(folder), examples=examples, steps=given.steps, batch=2, rate=1e-4,
                fake_rate=3e-4, validate_every=given.every, save_every=given.steps, **settings,
            )
            distill(config)
            for line in (Path(folder) / LOG).read_text(encoding="utf-8").splitlines():
                record = json.loads(line)
                if "scores" in record:
                    lines.append({"label": label, "step": record["step"], "seconds": record["seconds"],
                                  **{k: round(float(np.mean([s[k] for s in record["scores"]])), 4)
                                     for k in ("psnr", "high_frequency_ratio")}})
                    print(lines[-1], flush=True)
    given.out.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


if __name__ == "__main__":
    main()
