"""Figures of merit with explicit ranges: numpy and scipy alone, no torch."""

from voxprior.metrics.foreground import data_range, foreground
from voxprior.metrics.nmse import nmse
from voxprior.metrics.psnr import psnr
from voxprior.metrics.ssim import ssim

__all__ = ["data_range", "foreground", "nmse", "psnr", "ssim"]
