"""Figures of merit with explicit ranges: numpy and scipy alone, no torch."""

from voxprior.metrics.foreground import data_range, foreground
from voxprior.metrics.nmse import nmse
from voxprior.metrics.protocols import Scores, fastmri, fastmri_masked, hfs_sde
from voxprior.metrics.psnr import psnr
from voxprior.metrics.ssim import ssim

__all__ = ["Scores", "data_range", "fastmri", "fastmri_masked", "foreground", "hfs_sde", "nmse", "psnr", "ssim"]
