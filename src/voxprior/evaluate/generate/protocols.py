"""Which volumes are made, by whom, and what stands beside them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from voxprior.evaluate.contender import Contender
from voxprior.evaluate.generate.reference import digest, rows_of
from voxprior.priors.weights import DEFAULT
from voxprior.registry import resolve

PROTOCOL = 1
"""Part of the key of every result: raise it when a case or a figure changes its meaning."""
EDGE = 64
SEEDS = (0, 1, 2)
STEPS, TPDM_STEPS = 60, 200
SCAN = "scan left out of the training"
"""Label of what a generated volume should be no farther from than."""


@dataclass(frozen=True)
class Case:
    """A volume of ``edge`` voxels a side; ``reference``: digest of the training files that it is compared with."""

    edge: int
    seed: int
    reference: str

    @property
    def kind(self) -> str:
        """Its size."""
        return f"{self.edge} voxels a side"

    @property
    def name(self) -> str:
        """Size and seed."""
        return f"{self.kind}, seed {self.seed}"

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return asdict(self)


def generate_cases(data: Path, edge: int = EDGE) -> list[Case]:
    """A volume a seed; raises :class:`InputError` for a folder without training volumes."""
    reference = digest(rows_of(data))
    return [Case(edge, seed, reference) for seed in SEEDS]


def generate_contenders(weights: str | None = None) -> list[Contender]:
    """Ours and TPDM's sampler; ``weights``: a name or file, default the bundled ones."""
    given = {"weights": weights or DEFAULT}  # by their digest results are known, of TPDM too
    return [
        Contender(f"voxprior, {STEPS} calls", "voxprior", {"steps": STEPS, **given}),
        Contender(f"tpdm, N = {TPDM_STEPS}", "tpdm", {"steps": TPDM_STEPS, **given}),
    ]


def generate_method(name: str) -> Any:
    """The method of the ``generate`` job called ``name``, imported now."""
    return resolve(name, "generate")
