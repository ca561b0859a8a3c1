"""What each way of working takes, as measured: a row of coefficients for each job, method, mode and network."""

from __future__ import annotations

from typing import NamedTuple

from voxprior.priors.portion import FORWARD_BYTES, GRADIENT_BYTES, VOLUME_BYTES


class Row(NamedTuple):
    """What a way of working takes.

    Peak memory of the process, bytes: ``base``, and for each voxel of the image, voxel of a sample, measured number,
    number of the operator, entry of its matrices, slice voxel of the largest network call up to ``VOXELS_AT_ONCE``, and
    beyond (the blocks are then so large that the system takes them back at once); of a volume prior a call counts all
    places of its cells. Work, in multiply-adds of a bare convolution: for each multiply-add of the network, voxel,
    measured number, and measured number in each call. ``calls``: of the network for each step of a sample, for each
    step, and once. ``tile``: bytes that a slice voxel of a call counts in ``--memory``; 0: calls cannot be made
    smaller.
    """

    base: float
    voxel: float = 0.0
    sample: float = 0.0
    datum: float = 0.0
    held: float = 0.0
    solved: float = 0.0
    call: float = 0.0
    beyond: float = 0.0
    network: float = 0.0
    once: float = 0.0
    start: float = 0.0
    product: float = 0.0
    calls: tuple[int, int, int] = (0, 0, 0)
    tile: int = 0


Key = tuple[str, str, str | None, str | None]
"""Job, method, mode, and ``volume`` for the 3-D network where the method has another by default."""
_MB = 2**20
_HEAD = Row(259 * _MB, voxel=15.9, sample=6.7, call=404, beyond=232, network=1.63, tile=FORWARD_BYTES)
_CELLS = Row(302 * _MB, voxel=34.9, call=284, network=10.1, tile=VOLUME_BYTES)
_FINE = Row(236 * _MB, voxel=26.2, sample=2.2, call=359, beyond=235, network=1.63, tile=FORWARD_BYTES)
_VOXELS = Row(274 * _MB, voxel=44.5, sample=5.0, call=224, network=4.7, tile=VOLUME_BYTES)
_SPLINE = Row(236 * _MB, voxel=27.0, once=900)
_COILS = Row(233 * _MB, voxel=51, held=17, solved=12.7, start=1.7e3)
_WALK = Row(228 * _MB, voxel=154, held=159, solved=13.4, network=1.63, start=1.5e5, product=4e4)
_DIFFUSED = Row(
    278 * _MB, sample=20, solved=12.1, network=1.63, start=1.5e5, product=4e4, calls=(2, 0, 0)
)
_RAYS = Row(223 * _MB, voxel=104, held=47)
_THORAX = Row(
    233 * _MB, voxel=157, sample=21, held=29, call=256, beyond=256, network=1.63, start=1.5e6, product=1.3e5,
    tile=GRADIENT_BYTES,
)
TABLE: dict[Key, Row] = {
    ("sr", "voxprior", "mean", None): _HEAD._replace(calls=(0, 0, 2)),
    ("sr", "voxprior", "sample", None): _HEAD._replace(calls=(1, 0, 2)),
    ("sr", "voxprior", "one-step", None): _CELLS._replace(calls=(0, 0, 1)),
    ("sr", "os-ddpm", None, None): _CELLS._replace(calls=(1, 0, 0)),
    ("sr", "tpdm", None, None): Row(
        292 * _MB, voxel=32.4, sample=7.3, call=760, beyond=347, network=4.7, calls=(2, 0, 0), tile=GRADIENT_BYTES
    ),
    ("sr", "nearest", None, None): _SPLINE,
    ("sr", "linear", None, None): _SPLINE,
    ("sr", "cubic", None, None): _SPLINE,
    ("sr", "cubic-projected", None, None): _SPLINE._replace(once=6200),
    ("enhance", "voxprior", "mean", None): _FINE._replace(calls=(0, 0, 1)),
    ("enhance", "voxprior", "sample", None): _FINE._replace(calls=(1, 0, 1)),
    ("enhance", "voxprior", "mean", "volume"): _VOXELS._replace(calls=(0, 0, 1)),
    ("enhance", "voxprior", "sample", "volume"): _VOXELS._replace(calls=(1, 0, 1)),
    ("enhance", "mri-sr", None, None): Row(
        200 * _MB, voxel=40.0, sample=1.1, call=546, beyond=213, network=1.85, calls=(3, 0, 0), tile=FORWARD_BYTES
    ),
    ("enhance", "mri-sr", None, "volume"): _VOXELS._replace(calls=(1, 0, 0)),
    ("enhance", "nearest", None, None): _SPLINE,
    ("enhance", "linear", None, None): _SPLINE,
    ("enhance", "cubic", None, None): _SPLINE,
    ("enhance", "cubic-projected", None, None): _SPLINE._replace(once=6200),
    ("recon", "voxprior", "mean", None): _WALK._replace(calls=(0, 1, 0)),
    ("recon", "voxprior", "sample", None): _WALK._replace(sample=8, calls=(1, 0, 1)),
    ("recon", "tpdm", None, None): Row(
        239 * _MB, voxel=64, sample=16, datum=244, solved=7.8, call=300, beyond=300, network=4.7, product=8e4,
        calls=(2, 0, 0), tile=GRADIENT_BYTES,
    ),
    ("recon", "hfs-sde", None, None): _DIFFUSED,
    ("recon", "ve-sde", None, None): _DIFFUSED,
    ("recon", "vp-sde", None, None): _DIFFUSED,
    ("recon", "zero-filled", None, None): _COILS,
    ("recon", "sense", None, None): _COILS._replace(start=1.5e5),
    ("recon", "tv", None, None): _COILS._replace(start=4e5),
    ("ct", "voxprior", "mean", None): _THORAX._replace(calls=(0, 1, 0)),
    ("ct", "voxprior", "sample", None): _THORAX._replace(calls=(1, 1, 1)),
    ("ct", "tpdm", None, None): Row(
        252 * _MB, voxel=66, sample=8, held=36, call=690, beyond=690, network=4.7, product=1e5, calls=(2, 0, 0),
        tile=GRADIENT_BYTES,
    ),
    ("ct", "fbp", None, None): _RAYS._replace(start=5e4),
    ("ct", "cgls", None, None): _RAYS._replace(start=7.5e5),
    ("ct", "tv", None, None): _RAYS._replace(start=1.5e6),
    ("generate", "voxprior", None, None): Row(
        219 * _MB, voxel=36.4, sample=1.0, call=418, beyond=378, network=1.63, calls=(1, 0, 0), tile=FORWARD_BYTES
    ),
    ("generate", "tpdm", None, None): Row(
        233 * _MB, voxel=61.5, sample=2.2, call=289, beyond=257, network=1.63, calls=(2, 0, 0), tile=GRADIENT_BYTES
    ),
}
"""What each way takes; ``python benchmarks/memory.py`` measures these rows and prints them."""
