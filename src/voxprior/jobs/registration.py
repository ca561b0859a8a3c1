"""Rigid registration of one scan to another, by SimpleITK."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voxprior.errors import InputError
from voxprior.volume import Volume

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""Between the world of NIfTI (right, anterior, superior) and that of ITK."""
BINS = 50
SAMPLES = 200_000
"""Voxels at most whose intensities are compared, drawn by a fixed seed."""
SEED = 1


def require_library() -> None:
    """Raise :class:`InputError` unless SimpleITK is there."""
    if find_spec("SimpleITK") is None:
        raise InputError("--register needs the extra 'register'; pip install 'voxprior[register]'")


def rigid(fixed: Volume, moving: Volume) -> NDArray[np.float64]:
    """The rigid 4 x 4 (mm, RAS) that brings ``moving`` onto ``fixed``, by Mattes mutual information at three scales."""
    require_library()
    itk: Any = import_module("SimpleITK")
    method = itk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(BINS)
    method.SetMetricSamplingStrategy(method.RANDOM)
    method.SetMetricSamplingPercentage(min(1.0, SAMPLES / fixed.data.size), SEED)
    method.SetInterpolator(itk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(1.0, 1e-4, 300, relaxationFactor=0.6)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetShrinkFactorsPerLevel([4, 2, 1])
    method.SetSmoothingSigmasPerLevel([4.0, 2.0, 1.0])
    method.SmoothingSigmasAreSpecifiedInPhysicalUnitsOn()
    still, moved = _image(fixed), _image(moving)
    centre = (fixed.affine @ np.append((np.array(fixed.data.shape) - 1) / 2, 1.0))[:3] * np.array([-1.0, -1.0, 1.0])
    start = itk.Euler3DTransform()
    start.SetCenter(centre.tolist())
    method.SetInitialTransform(start, inPlace=False)
    found = method.Execute(still, moved)
    # ITK's transform takes points of the fixed image to the moving one: ours is the way back.
    corners = np.vstack([np.zeros(3), np.eye(3)])
    images = np.array([found.TransformPoint(point.tolist()) for point in corners])
    forward = np.eye(4)
    forward[:3, :3] = (images[1:] - images[0]).T
    forward[:3, 3] = images[0]
    return np.asarray(LPS @ np.linalg.inv(forward) @ LPS)


def _image(volume: Volume) -> Any:
    itk: Any = import_module("SimpleITK")
    image = itk.GetImageFromArray(np.ascontiguousarray(volume.data.transpose(2, 1, 0)))
    affine = LPS @ volume.affine
    image.SetSpacing(volume.spacing)
    image.SetDirection((affine[:3, :3] / volume.spacing).ravel().tolist())
    image.SetOrigin(affine[:3, 3].tolist())
    return image
