"""ISMRMRD: lines with their counters become Cartesian k-space of slices or of a volume, with its place in space."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voxprior.errors import InputError
from voxprior.io.kspace.acquisitions import REVERSE, STEPS, Heads, imaging_lines, read_heads, read_lines
from voxprior.io.kspace.file import SAMPLE_CAP, Bool, Complex, KspaceFile
from voxprior.io.kspace.hdf5 import text
from voxprior.io.kspace.header import HEADER_CAP, Encoding, parse_encoding, shown_matrix
from voxprior.io.kspace.placement import place_slices
from voxprior.io.kspace.readout import remove_oversampling
from voxprior.io.names import shown

PARTIAL = 0.05
"""Part of an axis by which sampling may end earlier on one side without being called partial."""
NOISE_SAMPLES = 1 << 18
"""Samples a coil of the noise scan that are read: the standard deviation is then known to 0.1 %."""


def open_ismrmrd(file: Any, group: Any, path: Path) -> KspaceFile:
    """The acquisitions of ``group`` in an open HDF5 ``file``: (z, y, x) for 3-D encodings, else slices (y, x).

    y is the read-out without its oversampling, x the first phase encoding, z the second. Averages are averaged; noise
    is scaled to them and to the dwell time. Raises :class:`InputError` for trajectories that are not Cartesian and
    counters that do not fit the header.
    """
    name = shown(path)
    encoding, _ = parse_encoding(text(group["xml"], HEADER_CAP, name), name)
    if encoding.trajectory != "cartesian":
        raise InputError(f"{name}: a {encoding.trajectory} trajectory; only Cartesian k-space is read, grid it first")
    heads = read_heads(group["data"], name)
    image, noise, warnings = imaging_lines(heads, encoding.calibration, name)
    grid = _grid(encoding, image, name)
    placement = place_slices(image, grid.encoding, grid.space)
    masks = [grid.coverage(image.where(image["slice"] == s)) for s in placement.slices]
    same = all(np.array_equal(mask, masks[0]) for mask in masks)
    if not same:
        warnings.append("the slices were sampled differently: what was measured is read from each")
    warnings += partial_fourier(masks[0], grid.readout)
    samples, word = _noise(group["data"], noise, image, encoding)
    crop = (min(s, c) for s, c in zip(grid.space, grid.crop, strict=True))

    def fetch(index: int) -> Complex:
        return grid.fill(group["data"], image.where(image["slice"] == placement.slices[index]), name)

    return KspaceFile(
        "ismrmrd",
        path,
        len(placement.slices),
        grid.coils,
        grid.space,
        fetch,
        affine=placement.affine,
        crop=tuple(crop),
        noise=samples,
        mask=masks[0] if same else None,
        warnings=(*warnings, *word, *placement.warnings),
        release=file.close,
    )


@dataclass(frozen=True)
class Grid:
    """Where the samples of a line go: ``full`` (z, read-out, x) as encoded, ``size`` read-out samples kept."""

    encoding: Encoding
    full: tuple[int, int, int]
    size: int
    coils: int
    volume: bool
    center: tuple[int, int]
    """Counters of the second and first phase encoding at the centre of k-space."""

    @property
    def space(self) -> tuple[int, ...]:
        """Shape of the k-space that is handed out."""
        shape = (self.full[0], self.size, self.full[2])
        return shape if self.volume else shape[1:]

    @property
    def crop(self) -> tuple[int, ...]:
        """What the scanner would show."""
        x, y, z = shown_matrix(self.encoding)
        return (z, x, y) if self.volume else (x, y)

    @property
    def readout(self) -> int:
        """Axis of the read-out."""
        return 1 if self.volume else 0

    def lines(self, heads: Heads) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Where lines lie along z and x."""
        z = heads["kspace_encode_step_2"] - self.center[0] + self.full[0] // 2
        x = heads["kspace_encode_step_1"] - self.center[1] + self.full[2] // 2
        return z, x

    def spans(self, heads: Heads) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """First and one past the last encoded read-out position of lines, without the samples to be discarded."""
        count = heads["number_of_samples"].astype(np.int64)
        pre, post = heads["discard_pre"].astype(np.int64), heads["discard_post"].astype(np.int64)
        center = heads["center_sample"].astype(np.int64)
        back = heads.flagged(REVERSE)
        center = np.where(back, count - 1 - center, center)
        pre, post = np.where(back, post, pre), np.where(back, pre, post)
        start = self.full[1] // 2 - center
        return start + pre, start + count - post

    def coverage(self, heads: Heads) -> Bool:
        """What ``heads`` measured, as a mask of :attr:`space`."""
        covered = np.zeros((self.full[0], self.size, self.full[2]), dtype=bool)
        z, x = self.lines(heads)
        first, last = self.spans(heads)
        for a, b in {*zip(first.tolist(), last.tolist(), strict=True)}:
            chosen = (first == a) & (last == b)
            covered[z[chosen], :, x[chosen]] |= self._kept(a, b)
        return covered.reshape(self.space)

    def _kept(self, first: int, last: int) -> NDArray[np.bool_]:
        """Which of the kept read-out positions lie between encoded positions ``first`` and ``last`` - 1."""
        n = self.full[1]
        encoded = (np.arange(self.size) - self.size // 2) * n / self.size + n // 2
        kept: NDArray[np.bool_] = np.ones(self.size, dtype=bool)
        if first > 0:
            kept &= encoded >= first
        if last < n:
            kept &= encoded <= last - 1
        return kept

    def fill(self, data_set: Any, heads: Heads, name: str) -> Complex:
        """K-space (coil, *space) of ``heads``: what was measured more than once is averaged.

        Cutting the image spreads an asymmetric echo a little beyond where it was measured; that is set to zero.
        """
        total = np.zeros((self.coils, self.full[0], self.size, self.full[2]), dtype=np.complex64)
        count = np.zeros(total.shape[1:], dtype=np.float32)
        z, x = self.lines(heads)
        first, last = self.spans(heads)
        back = heads.flagged(REVERSE)
        for i, line in enumerate(read_lines(data_set, heads.row)):
            samples = int(heads["number_of_samples"][i])
            if line.size != self.coils * samples:
                raise InputError(f"{name}: line {heads.row[i]} holds {line.size} samples, not {self.coils} x {samples}")
            line = line.reshape(self.coils, samples)[:, :: -1 if back[i] else 1]
            a, b = int(first[i]), int(last[i])
            skipped = int(heads["discard_post" if back[i] else "discard_pre"][i])
            encoded = np.zeros((self.coils, self.full[1]), dtype=np.complex64)
            encoded[:, a:b] = line[:, skipped : skipped + b - a]
            kept = self._kept(a, b)
            total[:, z[i], :, x[i]] += remove_oversampling(encoded, self.size, axis=1) * kept
            count[z[i], :, x[i]] += kept
        total /= np.maximum(count, 1)
        return total.reshape(self.coils, *self.space)


def _grid(encoding: Encoding, image: Heads, name: str) -> Grid:
    readout, first, second = encoding.encoded.matrix
    volume = second > 1 and bool(image["kspace_encode_step_2"].any())
    second = second if volume else 1  # there are headers that count slices there
    centers = []
    for counter, n in (("kspace_encoding_step_2", second), ("kspace_encoding_step_1", first)):
        limit = encoding.limits.get(counter)
        centers.append(n // 2 if limit is None or n == 1 else limit.center)
    grid = Grid(
        encoding,
        (second, readout, first),
        shown_matrix(encoding)[0],
        int(image["active_channels"][0]),
        volume,
        (centers[0], centers[1]),
    )
    if grid.coils < 1 or grid.coils * readout * first * second > SAMPLE_CAP:
        raise InputError(f"{name}: {grid.coils} coils of {readout} x {first} x {second} samples are none or too many")
    for what, places, n in zip(("second", "first"), grid.lines(image), (second, first), strict=True):
        if places.min() < 0 or places.max() >= n:
            raise InputError(
                f"{name}: {what} phase encodings from {places.min()} to {places.max()} do not fit the encoded matrix "
                f"of {n}; repair the header's matrixSize or encodingLimits"
            )
    start, stop = grid.spans(image)
    if start.min() < 0 or stop.max() > readout or (stop <= start).any():
        raise InputError(
            f"{name}: read-outs from {start.min()} to {stop.max()} do not fit the encoded matrix of {readout}; "
            "repair the header's matrixSize or the lines' center_sample"
        )
    return grid


def partial_fourier(mask: Bool, readout: int) -> list[str]:
    """One sentence for each axis on which the sampling ends much earlier on one side of the centre."""
    sentences = []
    for axis, n in enumerate(mask.shape):
        places = np.flatnonzero(mask.any(axis=tuple(a for a in range(mask.ndim) if a != axis)))
        before, after = n // 2 - places[0], places[-1] - n // 2 + 1
        gap = np.diff(places).max(initial=1)
        if abs(int(before) - int(after)) <= max(round(PARTIAL * n), 2 * int(gap)):
            continue
        what = "asymmetric echo: read-out positions" if axis == readout else "partial Fourier: lines"
        sentences.append(f"{what} {places[0]} to {places[-1]} of {n} were measured")
    return sentences


def _noise(
    data_set: Any, noise: Heads, image: Heads, encoding: Encoding
) -> tuple[Complex | None, list[str]]:
    """Samples (coil, n) of the noise scan, as strong as the noise of the averaged image; None where there are none.

    The variance of a sample goes with 1 / dwell time; the receiver's filter lowers that of the noise scan, which fills
    the whole band, by its relative bandwidth, but not that of the middle of the band, where the image is.
    """
    coils = int(image["active_channels"][0])
    fitting = noise.where(noise["active_channels"] == coils)
    if not len(noise):
        return None, []
    if not len(fitting):
        other = int(noise["active_channels"][0])
        return None, [f"the noise scan has {other} coils, the image {coils}: it is not used"]
    needed = int(np.searchsorted(np.cumsum(fitting["number_of_samples"].astype(np.int64)), NOISE_SAMPLES)) + 1
    fitting = fitting.where(np.arange(len(fitting)) < needed)
    samples = np.concatenate([line.reshape(coils, -1) for line in read_lines(data_set, fitting.row)], axis=1)
    dwell = float(np.median(image["sample_time_us"])), float(np.median(fitting["sample_time_us"]))
    longer = dwell[0] / dwell[1] if min(dwell) > 0 else 1.0  # sampled for longer, less noise
    averages = image_averages(image)
    scaled = (samples / np.sqrt(longer * averages * encoding.noise_bandwidth)).astype(np.complex64)
    if not np.isfinite(scaled).all() or not scaled.any():
        return None, ["the noise scan is zero or not finite: it is not used"]
    return scaled, []


def image_averages(image: Heads) -> float:
    """How often a line was measured, in the mean."""
    keys = np.stack([image[c] for c in ("slice", *STEPS)])
    return len(image) / int(np.unique(keys, axis=1).shape[1])
