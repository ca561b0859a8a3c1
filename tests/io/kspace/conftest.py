"""Files of every format that k-space comes in, written without the package's code."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.io import savemat

Write = Callable[..., Path]

@pytest.fixture
def kspace() -> NDArray[np.complex64]:
    """Three slices of four coils, 12 x 10, of noise: no two samples are alike."""
    rng = np.random.default_rng(7)
    return (rng.standard_normal((3, 4, 12, 10)) + 1j * rng.standard_normal((3, 4, 12, 10))).astype(np.complex64)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write arrays by name into a file of the format ``kind`` in a folder of its own."""

    def writer(kind: str, name: str = "scan", **arrays: NDArray[Any]) -> Path:
        folder = tmp_path / "in"
        folder.mkdir(exist_ok=True)
        return WRITERS[kind](folder / name, arrays)

    return writer


def _npz(path: Path, arrays: Mapping[str, NDArray[Any]]) -> Path:
    np.savez(path.with_suffix(".npz"), **arrays)
    return path.with_suffix(".npz")


def _npz_compressed(path: Path, arrays: Mapping[str, NDArray[Any]]) -> Path:
    np.savez_compressed(path.with_suffix(".npz"), **arrays)
    return path.with_suffix(".npz")


def _npz_fortran(path: Path, arrays: Mapping[str, NDArray[Any]]) -> Path:
    return _npz_compressed(path, {name: np.asfortranarray(array) for name, array in arrays.items()})


def _npy(path: Path, arrays: Mapping[str, NDArray[Any]]) -> Path:
    np.save(path.with_suffix(".npy"), arrays["kspace"])
    return path.with_suffix(".npy")


def _mat5(path: Path, arrays: Mapping[str, NDArray[Any]]) -> Path:
    savemat(path.with_suffix(".mat"), dict(arrays), do_compression=True)
    return path.with_suffix(".mat")


def _mat7(path: Path, arrays: Mapping[str, NDArray[Any]]) -> Path:
    """As MATLAB does: a user block with a text, axes reversed, complex numbers as pairs named real and imag."""
    path = path.with_suffix(".mat")
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, array in arrays.items():
            data = np.ascontiguousarray(array.T)
            if data.dtype.kind == "c":
                pair = np.empty(data.shape, [("real", "<f4"), ("imag", "<f4")])
                pair["real"], pair["imag"] = data.real, data.imag
                data = pair
            file.create_dataset(name, data=data)
    with path.open("r+b") as stream:
        stream.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64, HDF5 schema 1.00 .".ljust(124) + b"\0\2IM")
    return path


def _fastmri(path: Path, arrays: Mapping[str, NDArray[Any]]) -> Path:
    """``kspace``, ``mask`` and others as data sets; ``header`` is the XML text."""
    path = path.with_suffix(".h5")
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            if name == "header":
                file.create_dataset("ismrmrd_header", data=str(array), dtype=h5py.string_dtype())
            else:
                file.create_dataset(name, data=array)
        file.attrs.update({"acquisition": "AXT2", "max": 1.0, "norm": 1.0, "patient_id": "a" * 64})
    return path


def _cfl(path: Path, arrays: Mapping[str, NDArray[Any]]) -> Path:
    """(slice, coil, y, x) as read-out, phase, 1, coil, and 13th dimension slice, sample by sample."""
    array = arrays["kspace"]
    slices, coils, rows, columns = array.shape
    sizes = [rows, columns, 1, coils, *[1] * 9, slices, 1, 1]
    path.with_suffix(".hdr").write_text(
        f"# Dimensions\n{' '.join(map(str, sizes))} \n# Command\nphantom out\n# Files\n >out\n# Creator\nBART v0.8\n"
    )
    samples = [array[s, c, y, x] for s in range(slices) for c in range(coils) for x in range(columns)
               for y in range(rows)]
    path.with_suffix(".cfl").write_bytes(np.array(samples, dtype="<c8").tobytes())
    return path.with_suffix(".cfl")


WRITERS = {
    "npz": _npz,
    "npz-compressed": _npz_compressed,
    "npz-fortran": _npz_fortran,
    "npy": _npy,
    "mat5": _mat5,
    "mat7": _mat7,
    "fastmri": _fastmri,
    "cfl": _cfl,
}
