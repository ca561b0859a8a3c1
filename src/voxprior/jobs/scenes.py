"""What the report of each job shows of a result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from voxprior.volume import Volume

if TYPE_CHECKING:
    from voxprior.jobs.ct import Reconstructed
    from voxprior.jobs.enhance import Enhanced
    from voxprior.jobs.sr import Restored
    from voxprior.report.scene import Colours, Scene

PROFILE = "Along one line through the steepest edge in the middle: {}; the band holds 90 %."
SAMPLES = 4
"""Samples that a report shows of those that were made."""
RESIDUAL = "How far the result, measured again, is from each {}, as a part of its norm."


def slices_scene(restored: Restored, cubic: Volume, truth: Volume | None, residuals: Sequence[float]) -> Scene:
    """Thick slices: measured, cubic, the truth if there is one, restored; std and what the slices do not determine."""
    from voxprior.report.figures import edge_profile, residual_bars
    from voxprior.report.scene import volumes_scene

    images = {"measured": restored.measurement, "cubic": cubic}
    images |= {} if truth is None else {"truth": truth}
    images["restored"] = restored.image
    figures = {
        PROFILE.format("slices as steps"): edge_profile(images, restored.std, restored.geometry.axis),
        RESIDUAL.format("slice"): residual_bars(residuals, "slice"),
    }
    maps: dict[str, tuple[Volume | None, Colours]]
    maps = {"uncertainty": (restored.std, "spread"), "invented": (restored.invented, "signed")}
    return volumes_scene(images, maps, None, figures)


def voxels_scene(restored: Enhanced, cubic: Volume, truth: Volume | None, residuals: Sequence[float] | None) -> Scene:
    """Coarse voxels: measured, cubic, the truth if there is one, restored; std and what the data do not determine."""
    from voxprior.report.figures import edge_profile, residual_bars
    from voxprior.report.scene import volumes_scene

    images = {"measured": restored.measurement, "cubic": cubic}
    images |= {} if truth is None else {"truth": truth}
    images["restored"] = restored.image
    figures = {PROFILE.format("voxels as steps"): edge_profile(images, restored.std, restored.axes[0].axis)}
    if residuals is not None:
        figures[RESIDUAL.format("slice")] = residual_bars(residuals, "slice")
    maps: dict[str, tuple[Volume | None, Colours]]
    maps = {"uncertainty": (restored.std, "spread"), "invented": (restored.invented, "signed")}
    return volumes_scene(images, maps, None, figures)


def several_scene(images: Mapping[str, Volume], restored: Restored, residuals: Sequence[float]) -> Scene:
    """Several scans: each as it lies on the grid, cubic of the first, restored; std, what no scan determines."""
    from voxprior.report.figures import edge_profile, residual_bars
    from voxprior.report.scene import volumes_scene

    figures = {
        PROFILE.format("scans as steps"): edge_profile(images, restored.std, restored.geometry.axis),
        RESIDUAL.format("scan"): residual_bars(residuals, "scan"),
    }
    maps: dict[str, tuple[Volume | None, Colours]]
    maps = {"uncertainty": (restored.std, "spread"), "invented": (restored.invented, "signed")}
    return volumes_scene(images, maps, None, figures)


def views_scene(
    found: Reconstructed, truth: Volume | None, residuals: Sequence[float], window: tuple[float, float]
) -> Scene:
    """X-ray views: back-projected, the truth if there is one, reconstructed; std, what the views do not determine."""
    from voxprior.report.figures import edge_profile, residual_bars
    from voxprior.report.scene import volumes_scene

    images = {"back-projected": found.plain}
    images |= {} if truth is None else {"truth": truth}
    images["reconstructed"] = found.image
    figures = {
        PROFILE.format("in HU"): edge_profile(images, found.std),
        RESIDUAL.format("slice"): residual_bars(residuals, "slice"),
    }
    maps: dict[str, tuple[Volume | None, Colours]]
    maps = {"uncertainty": (found.std, "spread"), "invented": (found.invented, "signed")}
    return volumes_scene(images, maps, window, figures)


def kspace_scene(
    pictures: tuple[NDArray[Any], NDArray[Any], NDArray[np.float32], NDArray[np.float32] | None],
    invented: NDArray[Any],
    residuals: Sequence[float],
) -> Scene:
    """A slice of k-space: zero-filled and reconstructed, std, what was not measured, and what is not explained."""
    from voxprior.report.figures import residual_bars, slice_profile
    from voxprior.report.scene import slice_scene

    plain, image, unexplained, std = pictures
    images = {"zero-filled": _magnitude(plain), "reconstructed": _magnitude(image)}
    figures = {
        PROFILE.format("magnitudes"): slice_profile(images, std),
        RESIDUAL.format("coil"): residual_bars(residuals, "coil"),
    }
    maps: dict[str, tuple[NDArray[np.float32] | None, Colours]] = {
        "uncertainty": (std, "spread"),
        "invented": (_magnitude(invented), "spread"),
        "not explained": (np.asarray(unexplained, np.float32), "spread"),
    }
    return slice_scene(images, maps, figures)


def made_scene(volumes: Sequence[Volume]) -> Scene:
    """Volumes of a prior alone, the first ones."""
    from voxprior.report.scene import volumes_scene

    return volumes_scene({f"sample {k}": volume for k, volume in enumerate(volumes[:SAMPLES], 1)}, {})


def _magnitude(image: NDArray[Any]) -> NDArray[np.float32]:
    return np.asarray(np.abs(image), np.float32)
