"""Write docs/learning-curve.md from a training log: python benchmarks/learning_curve.py NAME [RUN_FOLDER].

With a run folder its log is first copied to benchmarks/training/NAME.jsonl, so that the page can be made again.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")
from matplotlib.figure import Figure

from voxprior.training.publish import learning_curve

HERE = Path(__file__).parent
DOCS = HERE.parent / "docs"


def main() -> None:
    """Copy the log, draw the gain against steps, and state the slope of the last half a doubling."""
    name = sys.argv[1]
    stored = HERE / "training" / f"{name}.jsonl"
    if len(sys.argv) > 2:
        stored.parent.mkdir(exist_ok=True)
        stored.write_text("".join(json.dumps(line) + "\n" for line in learning_curve(Path(sys.argv[2]))))
    points = [json.loads(line) for line in stored.read_text().splitlines()]
    cases = sorted(points[-1]["gain"])
    steps = np.array([p["step"] for p in points], dtype=float)
    gains = {case: np.array([p["gain"][case] for p in points]) for case in cases}
    half = steps >= steps[-1] / 2
    slope = {case: np.polyfit(np.log2(steps[half]), gain[half], 1)[0] for case, gain in gains.items()}
    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    axes = figure.subplots()
    for case, gain in gains.items():
        axes.semilogx(steps, gain, marker=".", label=case)
    axes.set(xlabel="training steps", ylabel="gain over cubic / dB")
    axes.grid(alpha=0.3, which="both")
    axes.legend()
    (DOCS / "assets").mkdir(exist_ok=True)
    figure.savefig(DOCS / "assets" / "learning-curve.png", dpi=110)
    rows = "\n".join(f"| {c} | {gains[c][-1]:+.2f} | {slope[c]:+.2f} |" for c in cases)
    (DOCS / "learning-curve.md").write_text(
        f"""# What limits the figures

Written by `python benchmarks/learning_curve.py {name}`. The weights `{name}` after {int(steps[-1])} steps and
{points[-1]["seconds"] / 3600:.1f} hours on two cores: gain over cubic interpolation on the `tune` subjects (box
profile, A-P, after the projection), and what a doubling of the steps still brought over the last half of the training.

| case | gain / dB | dB a doubling |
| --- | --- | --- |
{rows}

![gain against steps](assets/learning-curve.png)

A curve that still rises by some tenths of a dB a doubling when it is cut is limited by training time, not by the data
or by the size of the network.
"""
    )


if __name__ == "__main__":
    main()
