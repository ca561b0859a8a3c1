"""BART's ecalib and pics as the judges of our sensitivity maps, and of the SENSE images that they make."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from phantoms import HEAD_SLICE
from voxprior.operators.espirit import espirit
from voxprior.operators.fourier import Fourier
from voxprior.operators.masks import make_mask

pytestmark = pytest.mark.external

Complex = NDArray[np.complex64]
SHAPE = (128, 120)
NOISE = 0.003
HEAD = np.abs(HEAD_SLICE.pixels(SHAPE)) > 0.05


@cache
def _kspace(order: int) -> Complex:
    rng = np.random.default_rng(0)
    kspace = HEAD_SLICE.coils(SHAPE, order)
    noise = rng.normal(size=kspace.shape) + 1j * rng.normal(size=kspace.shape)
    return np.asarray(kspace + NOISE * noise, np.complex64)


def _write(path: Path, array: Complex) -> Path:
    """BART's pair of files: (coil, y, x) or (set, coil, y, x) as its axes y, x, 1, coil, set."""
    axes = np.moveaxis(array if array.ndim == 4 else array[None], (2, 3, 1, 0), (0, 1, 2, 3))[:, :, None]
    path.with_suffix(".hdr").write_text("# Dimensions\n" + " ".join(map(str, (*axes.shape, *[1] * 11))) + "\n")
    path.with_suffix(".cfl").write_bytes(axes.astype(np.complex64).tobytes(order="F"))
    return path


def _read(path: Path) -> Complex:
    """(set, coil, y, x) from BART's pair of files."""
    sizes = [int(word) for word in path.with_suffix(".hdr").read_text().splitlines()[1].split()]
    array = np.fromfile(path.with_suffix(".cfl"), np.complex64).reshape(sizes[:5], order="F")
    return np.ascontiguousarray(np.moveaxis(array[:, :, 0], (0, 1, 2, 3), (2, 3, 1, 0)))


def _cosine(a: Complex, b: Complex) -> NDArray[np.float32]:
    return np.asarray(np.abs((a.conj() * b).sum(0)))


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("acs", [None, 24])
def test_maps_agree_with_ecalib(order: int, acs: int | None, ask: Callable[..., str], tmp_path: Path) -> None:
    """Four and nine coils, all of k-space or uniform lines: median |cos| in the head at least .999, and the same crop.

    BART's threshold is that of the squared singular values, 0.001.
    """
    kspace = _kspace(order).copy()
    if acs is not None:
        kspace[:, ~make_mask("uniform", SHAPE, 4, acs).keep] = 0
    ask("bart", "ecalib", "-m", "1", _write(tmp_path / "kspace", kspace), tmp_path / "maps")
    theirs = _read(tmp_path / "maps")[0]
    ours = espirit(torch.from_numpy(kspace)[None], threshold=0.001**0.5)[0].numpy()
    cosine = _cosine(theirs, ours)[HEAD]
    assert np.median(cosine) >= 0.999 and np.quantile(cosine, 0.01) >= 0.999
    assert np.mean((np.abs(theirs).sum(0) > 0) == (np.abs(ours).sum(0) > 0)) > 0.99


def test_default_maps_agree_with_ecalib_too(ask: Callable[..., str], tmp_path: Path) -> None:
    """With the defaults of both, which cut the singular values at different places."""
    ask("bart", "ecalib", "-m", "1", _write(tmp_path / "kspace", _kspace(2)), tmp_path / "maps")
    ours = espirit(torch.from_numpy(_kspace(2))[None])[0].numpy()
    assert np.median(_cosine(_read(tmp_path / "maps")[0], ours)[HEAD]) >= 0.999


def test_two_sets_agree_with_ecalib_where_the_object_folds(ask: Callable[..., str], tmp_path: Path) -> None:
    """Half the field of view: both sets of both programs span the same mixes of coils, in nine of ten pixels to .99."""
    kspace = np.ascontiguousarray(_kspace(2)[..., ::2])
    ask("bart", "ecalib", "-m", "2", _write(tmp_path / "kspace", kspace), tmp_path / "maps")
    theirs = _read(tmp_path / "maps")
    ours = espirit(torch.from_numpy(kspace)[None], threshold=0.001**0.5, sets=2)[0].numpy()
    both = (np.abs(theirs[1]).sum(0) > 0) & (np.abs(ours[1]).sum(0) > 0)
    assert both.mean() > 0.1
    # Singular values of the 2 x 2 overlaps: the cosines of the angles between the two planes.
    overlap = np.einsum("scp,tcp->pst", theirs[:, :, both].conj(), ours[:, :, both])
    angles = np.linalg.svd(overlap, compute_uv=False)
    assert np.quantile(angles[:, 1], 0.1) > 0.99
    kept = np.abs(theirs[1]).sum(0) > 0
    assert np.mean(kept == (np.abs(ours[1]).sum(0) > 0)) > 0.97


def test_sense_image_agrees_with_pics(ask: Callable[..., str], tmp_path: Path) -> None:
    """Every fourth line and 24 in the middle: our maps and solver against BART's, 2 % of the image in the head.

    Magnitudes, since the phase of the maps is a convention; and the part that is due to the maps alone below 1 %.
    """
    mask = make_mask("uniform", SHAPE, 4, 24).keep
    kspace = np.where(mask, _kspace(2), 0).astype(np.complex64)
    ask("bart", "ecalib", "-m", "1", _write(tmp_path / "kspace", kspace), tmp_path / "maps")
    files = [tmp_path / name for name in ("kspace", "maps", "out")]
    ask("bart", "pics", "-S", "-l2", "-r", "0.001", "-i", "100", *files)
    theirs = np.abs(_read(tmp_path / "out")[0, 0])

    def sense(maps: Complex) -> NDArray[np.float32]:
        operator = Fourier(torch.from_numpy(mask), torch.from_numpy(maps))
        y = torch.from_numpy(kspace)[None]
        return operator.prox(torch.zeros(1, *SHAPE, dtype=torch.complex64), y, 1e-3)[0].abs().numpy()

    ours = sense(espirit(torch.from_numpy(kspace)[None])[0].numpy())
    same_solver = sense(_read(tmp_path / "maps")[0])

    def difference(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
        return float(np.linalg.norm((a - b)[HEAD]) / np.linalg.norm(b[HEAD]))

    assert difference(ours, theirs) < 0.02
    assert difference(ours, same_solver) < 0.01
    # And it is the head: within the noise of so few samples, the truth.
    truth = np.abs(HEAD_SLICE.pixels(SHAPE))
    smooth = HEAD & (np.abs(np.gradient(truth)[0]) + np.abs(np.gradient(truth)[1]) == 0)
    assert float(np.mean(np.abs(ours - truth)[smooth])) < 0.06
