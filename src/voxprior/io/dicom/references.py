"""Which images of which series a derived slice was made from, as references in its header."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from voxprior.io.dicom.derived import coded
from voxprior.io.dicom.geometry import Vector, dot
from voxprior.io.dicom.images import Image
from voxprior.io.dicom.loading import Source

if TYPE_CHECKING:
    from pydicom.dataset import Dataset


def source_images(sources: Sequence[Source], normal: Vector, height: float, reach: float) -> list[Dataset]:
    """References to the images of ``sources`` that the slice at ``height`` mm along its ``normal`` (LPS) comes from.

    Of each series those that come within ``reach`` mm of it, or within the distance of their own slices where that is
    more, and at least the nearest; slices in another direction reach it where they cross it.
    """
    return [_reference(image) for source in sources for image in _near(source.images, normal, height, reach)]


def _near(images: Sequence[Image], normal: Vector, height: float, reach: float) -> list[Image]:
    if not images:
        return []
    far = [_gap(image, normal, height) for image in images]
    limit = max(reach, _distance(images), min(far))
    return [image for image, gap in zip(images, far, strict=True) if gap <= limit]


def _distance(images: Sequence[Image]) -> float:
    """Of the slices of a series, mm."""
    if len(images) < 2:
        return 0.0
    first, second = (image.place for image in images[:2])
    return abs(dot(first.normal, second.position) - dot(first.normal, first.position))


def _gap(image: Image, normal: Vector, height: float) -> float:
    """How far the plane at ``height`` along ``normal`` is from the rectangle of an image, mm; 0 where it crosses it."""
    start = dot(normal, image.place.position)
    rows, columns = image.size
    along = dot(normal, image.place.along_row) * image.spacing[1] * (columns - 1)
    down = dot(normal, image.place.along_column) * image.spacing[0] * (rows - 1)
    corners = (start, start + along, start + down, start + along + down)
    return max(min(corners) - height, height - max(corners), 0.0)


def _reference(image: Image) -> Dataset:
    from pydicom.dataset import Dataset

    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = image.sop_class, image.uid
    if image.frame is not None:
        item.ReferencedFrameNumber = image.frame + 1
    item.PurposeOfReferenceCodeSequence = [coded("121322", "Source image for image processing operation")]
    return item
