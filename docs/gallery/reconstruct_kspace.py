"""Reconstruct k-space: a slice of a head seen by four coils, every fourth line measured.

Run it as ``python reconstruct_kspace.py [FOLDER]``; the picture goes into FOLDER.
"""

import sys
from pathlib import Path

import nibabel
import numpy as np

import voxprior
from voxprior.operators.coil_simulation import simulate_maps

folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
head = nibabel.load(Path(voxprior.__file__).parent / "demo" / "head.nii.gz").get_fdata(dtype=np.float32)
truth = np.pad(head[::2, ::2, 52].T / head.max(), ((12, 13), (22, 22)))  # an axial slice in air, (y, x)

rng = np.random.default_rng(0)
maps = simulate_maps(truth.shape, 4, rng)
full = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(maps * truth, axes=(1, 2)), norm="ortho"), axes=(1, 2))
full += 2e-3 * (rng.standard_normal(full.shape) + 1j * rng.standard_normal(full.shape))

found = voxprior.reconstruct(full.astype(np.complex64), mask="uniform:4:16")
sense = voxprior.reconstruct(full.astype(np.complex64), mask="uniform:4:16", method="sense")


def nmse(image: np.ndarray) -> float:
    """Of the magnitude."""
    return float(np.sum((np.abs(image) - truth) ** 2) / np.sum(truth**2))


print(found)
print(f"acceleration {found.sidecar['acceleration']['true']:.2f}")
print(f"NMSE: voxprior {nmse(found.image):.5f}, SENSE {nmse(sense.image):.5f}")
(folder / "reconstruct_kspace.png").write_bytes(found.picture())
