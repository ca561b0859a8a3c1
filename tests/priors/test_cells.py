"""Cells: a change of basis that loses nothing and keeps noise white."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from voxprior.priors.cells import from_cells, to_cells


def _volume(cells: int, fine: int, seed: int) -> torch.Tensor:
    return torch.randn(2, cells * fine, 3, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@given(st.integers(1, 4), st.integers(1, 8), st.integers(0, 3), st.integers(0, 99))
def test_there_and_back(cells: int, fine: int, more: int, seed: int) -> None:
    """Nothing is lost, lengths are kept (so white noise stays white), and unused cosines are zero."""
    x = _volume(cells, fine, seed)
    c = to_cells(x, fine, fine + more)
    assert c.shape == (2, fine + more, cells, 3, 2)
    assert torch.allclose(from_cells(c, fine), x, atol=1e-12)
    assert float(c.norm()) == pytest.approx(float(x.norm()), rel=1e-12)
    assert not c[:, fine:].any()


def test_the_basis_is_the_one_stated() -> None:
    """cos(pi j (i + 1/2) / q), orthonormal, written out."""
    q = 5
    for j in range(q):
        c = torch.zeros(1, 8, 1, 1, 1, dtype=torch.float64)
        c[0, j] = 1
        wave = np.cos(np.pi * j * (np.arange(q) + 0.5) / q)
        wave /= np.linalg.norm(wave)
        np.testing.assert_allclose(from_cells(c, q)[0, :, 0, 0].numpy(), wave, atol=1e-12)


def test_the_first_cosine_is_the_mean_of_the_thick_slice() -> None:
    """So a box slice is the first cosine over sqrt(q), and constants have no other."""
    x = _volume(3, 4, 0)
    c = to_cells(x, 4, 8)
    assert torch.allclose(c[:, 0] / 2, x.reshape(2, 3, 4, 3, 2).mean(2))
    assert float(to_cells(torch.ones(1, 8, 2, 2, dtype=torch.float64), 4, 8)[:, 1:].abs().max()) < 1e-12


def test_fewer_cosines_smooth() -> None:
    """With two cosines a cell has a mean and one slow change: the least-squares fit by both."""
    x = _volume(2, 6, 1)
    c = to_cells(x, 6, 6)
    smooth = from_cells(c[:, :2], 6)
    again = to_cells(smooth, 6, 6)
    assert torch.allclose(again[:, :2], c[:, :2]) and float(again[:, 2:].abs().max()) < 1e-12


def test_what_makes_no_cells_is_refused() -> None:
    """Depths that are no whole cells, and cells with more slices than cosines."""
    for depth, fine, cosines in ((7, 2, 8), (9, 9, 8)):
        with pytest.raises(ValueError, match="cells"):
            to_cells(torch.zeros(1, depth, 2, 2), fine, cosines)
