"""The slices of a reconstruction, put together; of the large arrays none is kept longer than it is needed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voxprior.io.kspace.file import Bool, Complex, KspaceFile
from voxprior.io.kspace_certificate import Fit
from voxprior.io.verification import NoiseSource
from voxprior.jobs.acquire import references
from voxprior.jobs.recon import Reconstructed
from voxprior.jobs.recon_simulate import compare
from voxprior.operators.masks import Mask

Real = NDArray[np.float32]
PER_SLICE = ("image", "std", "interval", "invented", "samples")


class Stack:
    """What :func:`voxprior.jobs.recon.reconstruct_slice` found of each slice; a single one has no axis of slices.

    With ``simulate`` the zero-filled image and the references are kept too. It tells the sidecar of the run, see
    :class:`voxprior.jobs.sidecar.Account`.
    """

    def __init__(self, kspace: KspaceFile, simulate: bool = False) -> None:
        self.kspace, self.simulate = kspace, simulate
        self.shape, self.affine = kspace.shape, kspace.affine
        self._found: dict[str, list[Any]] = {name: [] for name in (*PER_SLICE, "matrix")}
        self._masks: list[Mask] = []
        self._truth: list[tuple[Complex, Complex, Real]] = []
        self._missed: list[NDArray[np.float64]] = []
        self._energy: list[NDArray[np.float64]] = []
        self._noise: list[float | None] = []
        self._warnings: list[str] = list(kspace.warnings)
        self._last: Reconstructed | None = None
        self._judged: Mapping[str, Any] = {}
        self._shown: tuple[Complex, Real] | None = None
        self.noise_source: NoiseSource = "unknown"
        self.seconds, self.calls = 0.0, 0
        self.peak_memory: int | None = None
        self.snapshots: Mapping[int, tuple[Any, ...]] = {}

    def add(self, found: Reconstructed, data: Complex, absent: Bool) -> None:
        """Append a slice, reconstructed from a part of ``data`` (coil, *space); ``absent``: asked for in vain."""
        for name in PER_SLICE:
            self._found[name].append(getattr(found, name))
        acquired = found.acquired
        self._found["matrix"].append(acquired.matrix)
        self._masks.append(acquired.mask)
        self._missed.append(found.missed)
        self._energy.append(found.energy)
        self._noise.append(acquired.noise)
        self.noise_source = acquired.source
        self.seconds += found.seconds
        self.calls = max(self.calls, found.calls)  # a call is one pass over the volume
        self.peak_memory = found.peak_memory
        self._warnings += found.warnings
        if absent.any():
            count = int(absent.sum())
            self._warnings.append(
                f"mask {acquired.mask.name} asks for {count} samples of a slice that lie outside of what was measured "
                "at all; they count as missing"
            )
        if len(self._masks) - 1 == self.middle:
            self._shown = found.plain, found.unexplained
        if self.simulate:
            self._truth.append((found.plain, *references(data, acquired)))
        if found.snapshots and (not self.snapshots or len(self._masks) - 1 == self.middle):
            self.snapshots = found.snapshots  # of slices one by one the middle one's
        self._last = found
        self._judged = {k: v for k, v in found.notes.items() if k == "unfamiliarity"} or self._judged  # of one slice

    @property
    def middle(self) -> int:
        """The slice that is shown."""
        return self.kspace.slices // 2

    @property
    def scale(self) -> float | None:
        """Measured error over the method's std, of the last slice."""
        return None if self._last is None else self._last.scale

    @property
    def weights(self) -> Mapping[str, str] | None:
        """Name and sha256 of the network's weights."""
        return None if self._last is None else self._last.weights

    @property
    def notes(self) -> Mapping[str, Any]:
        """Settings as they were resolved."""
        return {} if self._last is None else {**self._last.notes, **self._judged}

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences, each once."""
        return tuple(dict.fromkeys(self._warnings))

    @property
    def noise(self) -> float | None:
        """Std of a real component of a sample, the median of the slices."""
        known = [value for value in self._noise if value is not None]
        return float(np.median(known)) if known else None

    @property
    def fit(self) -> Fit:
        """How well the data are explained."""
        return Fit(np.stack(self._missed), np.stack(self._energy))

    @property
    def image(self) -> Complex:
        """([slice,] *space)."""
        return self._joined("image")

    @property
    def std(self) -> Real | None:
        """([slice,] *space), or None."""
        return None if self._found["std"][0] is None else self._joined("std")

    @property
    def interval(self) -> Real | None:
        """(2, [slice,] *space), or None."""
        return None if self._found["interval"][0] is None else self._joined("interval", 1)

    @property
    def invented(self) -> Complex:
        """([slice,] *space)."""
        return self._joined("invented")

    @property
    def samples(self) -> Complex:
        """(sample, [slice,] *space)."""
        return self._joined("samples", 1)

    @property
    def matrix(self) -> Complex:
        """([slice,] coil, input coil)."""
        return self._joined("matrix")

    def keep(self, index: int) -> Bool:
        """The mask of a slice."""
        return self._masks[index].keep

    @property
    def mask(self) -> Bool:
        """(*space) where it is the same for all slices, else (slice, *space)."""
        keeps = [mask.keep for mask in self._masks]
        return keeps[0] if all(np.array_equal(keeps[0], keep) for keep in keeps) else np.stack(keeps)

    def _joined(self, name: str, axis: int = 0) -> NDArray[Any]:
        found = self._found[name]
        return np.asarray(found[0]) if len(found) == 1 else np.stack(found, axis=axis)

    @property
    def acceleration(self) -> dict[str, Any]:
        """True and nominal acceleration, and the mask's name, ACS and seed."""
        first = self._masks[0]
        total, kept = (sum(int(f(mask.keep)) for mask in self._masks) for f in (np.size, np.sum))
        named = {"mask": first.name, "nominal": first.nominal, "acs": first.acs, "seed": first.seed}
        return {"true": total / kept, **named}

    @property
    def operator(self) -> dict[str, Any]:
        """The numbers of the operator, for the certificate."""
        coils, inputs = self._found["matrix"][0].shape
        sampling = self.acceleration
        return {
            "slices": self.kspace.slices,
            "shape": list(self.shape),
            "coils": coils,
            "input_coils": inputs,
            "mask": sampling["mask"],
            "acceleration": sampling["true"],
            "nominal_acceleration": sampling["nominal"],
            "acs": sampling["acs"],
            "mask_seed": sampling["seed"],
        }

    @property
    def certificate(self) -> dict[str, Any]:
        """Of a result that stays in memory: operator and residual, but no files to check."""
        fit = self.fit
        return {
            "operator": {"kind": "fourier", **self.operator},
            "input": None,
            "input_sha256": None,
            "output_sha256": None,
            "residual": fit.residual,
            "residual_per_slice": fit.per_slice,
            "residual_per_coil": fit.per_coil,
            "noise": self.noise,
            "noise_source": self.noise_source,
        }

    @property
    def pictures(self) -> tuple[Complex, Complex, Real, Real | None]:
        """Of the middle slice: zero-filled, reconstructed, what is not explained, and std; each (y, x)."""
        assert self._shown is not None
        plain, unexplained = self._shown
        std = self._found["std"][self.middle]
        image = self._found["image"][self.middle]
        if len(self.shape) == 2:
            return plain, image, unexplained, std
        z = self.shape[0] // 2
        return plain[z], image[z], unexplained[z], None if std is None else std[z]

    @property
    def shown_invented(self) -> Complex:
        """What the data of the middle slice do not determine, (y, x)."""
        part: Complex = self._found["invented"][self.middle]
        return part if len(self.shape) == 2 else part[self.shape[0] // 2]

    def comparison(self, method: str) -> dict[str, Any]:
        """Figures against the references of a simulation."""
        plain, truth, squares = (
            np.concatenate([part.reshape(-1, *self.shape[-2:]) for part in parts])
            for parts in zip(*self._truth, strict=True)
        )
        image = self.image.reshape(truth.shape)
        return compare({"zero-filled": plain, method: image}, truth, squares)
