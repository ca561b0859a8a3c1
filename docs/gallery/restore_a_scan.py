"""Restore a scan: a head with thick slices, made of the one that comes with the package.

Run it as ``python restore_a_scan.py [FOLDER]``; the picture goes into FOLDER.
"""

import sys
from pathlib import Path

import nibabel
import numpy as np

import voxprior

folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
head = nibabel.load(Path(voxprior.__file__).parent / "demo" / "head.nii.gz").slicer[16:88, 40:140, 20:84]
fine = head.get_fdata(dtype=np.float32)

# Coronal slices five times as thick as the voxels: means of five, and an affine that says so.
thick = fine.reshape(72, 20, 5, 64).mean(axis=2)
affine = head.affine @ np.diag([1, 5, 1, 1])
affine[:3, 3] += head.affine[:3, 1] * 2  # the centre of five voxels is the third

scan = nibabel.Nifti1Image(thick, affine)
thin = voxprior.restore(scan, spacing=float(head.header.get_zooms()[1]))
cubic = voxprior.restore(scan, spacing=float(head.header.get_zooms()[1]), method="cubic")


def psnr(image: np.ndarray) -> float:
    """In dB, of the range of the truth."""
    return float(20 * np.log10(np.ptp(fine) / np.sqrt(np.mean((image - fine) ** 2))))


print(thin)
print(f"explains the slices to {thin.sidecar['residual']:.1e}")
print(f"voxprior {psnr(thin.image.get_fdata()):.2f} dB, cubic {psnr(cubic.image.get_fdata()):.2f} dB")
(folder / "restore_a_scan.png").write_bytes(thin.picture())  # a notebook shows it by itself
