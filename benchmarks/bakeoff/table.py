"""Write docs/bakeoff.md from the logs of the two contenders: python benchmarks/bakeoff/table.py SLICE COARSE."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from coarse import Coarse
from matplotlib.figure import Figure

from voxprior.networks.unet import UNet
from voxprior.priors.denoiser import SlicePriorConfig

HERE = Path(__file__).parent
DOCS = HERE.parent.parent / "docs"
TEXT = """# Which network for the mean

Written by `python benchmarks/bakeoff/table.py`. Both contenders saw the same subjects, contrasts and slice geometries
for the same time on one thread each, at the same time on the same machine; the score is the PSNR over cubic
interpolation on a block of each `tune` subject (box profile, A-P, after the exact projection), in dB. The slice
prior was stopped and resumed once, after 13 minutes in which its small matrices also took a part of the other core.

- **slice prior**: 2.5-D, both planes that hold the slice axis averaged, on the fine grid, told the phase within the
  thick slice; {slice_cost} multiply-adds an output voxel. It spends 45 % of its examples on noisy inputs.
- **coarse 3-D**: on the thick slices as they are, in-plane space-to-depth, a learned basis of the position within the
  slice writes any fine voxel; {coarse_cost} multiply-adds an output voxel at x5.

| | {header} | mean |
| --- | {rule} |
| slice prior, {minutes:.0f} min | {slice_row} |
| coarse 3-D, {minutes:.0f} min | {coarse_row} |

![gain against minutes](assets/bakeoff.png)

**{winner}** is shipped. The coarse network left its plateau late and was still rising steeply when the
hour ended, at half the cost of a voxel: a longer race could end otherwise.
"""


def curve(folder: Path) -> list[tuple[float, dict[str, float]]]:
    """(minutes, gain in dB a case) at each validation; the log is copied here so that the table can be made again."""
    stored = HERE / f"{folder.name}.jsonl"
    if (folder / "log.jsonl").is_file():
        lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
        stored.write_text("".join(json.dumps(line) + "\n" for line in lines if "gain" in line))
    lines = [json.loads(line) for line in stored.read_text().splitlines()]
    return [(line.get("minutes", line.get("seconds", 0) / 60), line["gain"]) for line in lines]


def multiply_adds() -> tuple[float, float]:
    """Of an output voxel: the slice prior in both planes, and the coarse network at x5; convolutions only."""
    prior = SlicePriorConfig()
    return 2 * UNet(prior.unet()).multiply_adds / prior.slab, Coarse().trunk.multiply_adds / 5


def main() -> None:
    """Compare at the last time that both reached."""
    curves = {name: curve(Path(p)) for name, p in zip(("slice prior", "coarse 3-D"), sys.argv[1:3], strict=True)}
    minutes = min(points[-1][0] for points in curves.values())
    final = {name: [g for m, g in points if m <= minutes + 1][-1] for name, points in curves.items()}
    cases = sorted(final["slice prior"])
    rows = {
        name: " | ".join(f"{gain[c]:+.2f}" for c in cases) + f" | {sum(gain.values()) / len(gain):+.2f}"
        for name, gain in final.items()
    }
    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    axes = figure.subplots()
    for name, points in curves.items():
        shown = [(m, sum(g.values()) / len(g)) for m, g in points if m <= minutes + 1]
        axes.plot(*zip(*shown, strict=True), marker=".", label=name)
    axes.set(xlabel="minutes of training, one thread", ylabel="mean gain over cubic / dB")
    axes.grid(alpha=0.3)
    axes.legend()
    (DOCS / "assets").mkdir(exist_ok=True)
    figure.savefig(DOCS / "assets" / "bakeoff.png", dpi=110)
    costs = [f"{cost / 1000:.0f} thousand" for cost in multiply_adds()]
    best = max(final, key=lambda name: sum(final[name].values()))
    (DOCS / "bakeoff.md").write_text(
        TEXT.format(
            slice_cost=costs[0], coarse_cost=costs[1], header=" | ".join(cases), minutes=minutes,
            rule=" | ".join("---" for _ in range(len(cases) + 1)), slice_row=rows["slice prior"],
            coarse_row=rows["coarse 3-D"], winner=f"The {best}",
        )
    )
    print((DOCS / "bakeoff.md").read_text())


if __name__ == "__main__":
    main()
