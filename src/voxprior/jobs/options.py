"""The options of a restoration: one class from which command line, YAML and documentation derive."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from voxprior import registry
from voxprior.errors import InputError

METHOD_OPTIONS = ("mode", "steps", "samples", "weights", "precision", "memory")
"""Options of every job that go to the method."""
DEFAULT_METHOD = "voxprior"


class SharedOptions(BaseModel):
    """Options that every job has; ``for_method`` names those that go to the method, the others are the job's."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)
    for_method: ClassVar[tuple[str, ...]] = METHOD_OPTIONS

    method: str = Field(default=DEFAULT_METHOD, description="Restoration method; `voxprior info` lists the names.")
    mode: Literal["mean", "sample", "one-step"] | None = Field(
        default=None,
        description="What method voxprior gives: the mean estimate (its default), posterior samples, or (sr) samples "
        "of one network call each.",
    )
    steps: int | None = Field(
        default=None, ge=2, le=100_000, description="Network calls a sample; each method has its own default."
    )
    samples: int = Field(default=1, ge=1, le=64, description="Posterior samples to draw (modes sample, one-step).")
    seed: int = Field(default=0, ge=0, description="Seed of all randomness; same seed, same output.")
    weights: str | None = Field(default=None, description="Bundled name, a .safetensors file, or hf://OWNER/REPO/FILE.")
    precision: Literal["float32", "bf16"] = Field(default="float32", description="Number format of the network.")
    memory: int | None = Field(default=None, ge=64, description="Megabytes that one network call may take.")
    device: Literal["auto", "cpu", "cuda", "mps"] = Field(default="auto", description="Where the network runs.")
    threads: int | None = Field(default=None, ge=1, le=1024, description="Processor threads; all by default.")


class DicomOptions(BaseModel):
    """Options of images that come from DICOM, and go there."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    dicom: bool = Field(
        default=False,
        description="Write a DICOM series into the folder OUT, derived from the one that was given, or in a new study.",
    )
    series: str | None = Field(
        default=None, description="Which series of a DICOM folder or zip: its number or UID; needed if it has several."
    )
    uids: Literal["new", "content"] = Field(
        default="new",
        description="UIDs of what is written as DICOM: new ones, or the same for the same input, settings and result.",
    )


class PlaneOptions(SharedOptions):
    """Options of jobs whose images are volumes, for TPDM."""

    for_method: ClassVar[tuple[str, ...]] = (
        *METHOD_OPTIONS,
        *("k", "dps_weight", "snr", "primary", "auxiliary", "snapshots"),
    )

    k: int | float | None = Field(
        default=None,
        gt=1,
        description="tpdm: every k-th step asks the auxiliary plane; with a decimal point, one step in k by chance.",
    )
    dps_weight: float | None = Field(
        default=None, ge=0, description="tpdm: length of a data step; by default the published one."
    )
    snr: float | None = Field(default=None, gt=0, description="tpdm: Langevin step.")
    primary: Literal["auto", "axial", "coronal", "sagittal"] = Field(
        default="auto", description="tpdm: the plane whose steps see the data."
    )
    auxiliary: Literal["auto", "axial", "coronal", "sagittal"] = Field(
        default="auto", description="tpdm: the other plane."
    )
    snapshots: int | None = Field(
        default=None, ge=1, description="Write a picture of the estimate every so many network calls."
    )


class SliceOptions(SharedOptions):
    """What thick slices are and what is made of them; lengths are in millimetres."""

    spacing: float | None = Field(
        default=None,
        description="Output spacing along the slice axis, mm; the smaller in-plane spacing by default.",
    )
    thickness: float | None = Field(
        default=None,
        description="Slice thickness, mm; by default that of the DICOM header, or the distance of the slices.",
    )
    gap: float | None = Field(default=None, description="Gap between slices, mm, negative where they overlap.")
    profile: str = Field(default="box", description="Slice profile: box, gaussian, slr, or a text file of samples.")
    axis: str = Field(default="auto", description="Slice axis of the array: i, j or k; the coarsest by default.")


class ImageOptions(SharedOptions):
    """What holds for every scan that comes as an image."""

    noise: float | None = Field(
        default=None,
        ge=0,
        description="Standard deviation of the noise, in image units; measured in the air by default.",
    )
    strength: float = Field(
        default=1.0,
        ge=0,
        le=1,
        description="How much of what the method adds is shown: 0 is cubic interpolation on the data, 1 all of it.",
    )
    force_input: bool = Field(
        default=False, description="Restore what does not look like a scan: a label map, or a volume all but empty."
    )


class SlabOptions(SharedOptions):
    """Options of jobs that OS-DDPM restores for."""

    sampler: Literal["ancestral", "ddim", "heun"] | None = Field(
        default=None, description="os-ddpm: with --steps, ancestral (the default), ddim or heun."
    )
    project: Literal["none", "exact"] | None = Field(
        default=None, description="os-ddpm: none (the default, as published), or exact: onto the measured slices."
    )
    slab: int | None = Field(
        default=None, ge=1, description="os-ddpm: fine slices of one network call; by default those of the weights."
    )
    overlap: int | None = Field(
        default=None, ge=0, description="os-ddpm: fine slices that slabs share; half a slab by default."
    )


class SrOptions(SlabOptions, PlaneOptions, ImageOptions, SliceOptions):
    """Options of ``sr``; of the bases the last comes first in --help: slices matter to more people than TPDM."""

    for_method: ClassVar[tuple[str, ...]] = (*PlaneOptions.for_method, "sampler", "project", "slab", "overlap")

    steps: int = Field(default=20, ge=2, le=100_000, description="Network calls a sample (mode sample).")


class CoarseOptions(SharedOptions):
    """Which axes of a volume are coarse, and why."""

    axes: str = Field(
        default="auto",
        description="Array axes to refine, such as ij: by default those at least 1.5 times coarser than the finest, "
        "or, if there are none or just one, the two finest.",
    )
    factor: float = Field(
        default=2.0, ge=1, le=16, allow_inf_nan=False, description="How many times finer; any number above 1."
    )
    degradation: Literal["box", "kspace", "1.5t"] = Field(
        default="box",
        description="What made them coarse: averages over voxels, the edge of k-space, or also a scanner of 1.5 T.",
    )


class EnhanceOptions(ImageOptions, CoarseOptions):
    """Options of ``enhance``."""

    for_method: ClassVar[tuple[str, ...]] = (*METHOD_OPTIONS, "planes", "network", "project", "table", "snapshots")

    planes: Literal["one", "three", "volume"] | None = Field(
        default=None,
        description="voxprior: slices of one direction (its default), of three, combined (after 1.5t), or the volume.",
    )
    network: Literal["planes", "volume"] | None = Field(
        default=None, description="mri-sr: three networks of slices, combined (its default), or one of the volume."
    )
    project: Literal["none", "exact"] | None = Field(
        default=None, description="mri-sr: none (the default, as published), or exact: onto the measured voxels."
    )
    table: int | None = Field(
        default=None, ge=20, le=100_000, description="mri-sr: steps of the published process; 1000 by default."
    )
    snapshots: int | None = Field(
        default=None, ge=1, description="Write a picture of the estimate every so many network calls."
    )


class GenerateOptions(PlaneOptions):
    """Options of ``generate``."""

    shape: tuple[int, int, int] = Field(default=(128, 128, 128), description="Voxels to the right, front and top.")
    spacing: float = Field(default=1.0, gt=0, le=10, description="Voxel size, mm.")


class XrayOptions(SharedOptions):
    """What X-ray views are, and the methods that are made for them."""

    mu_water: float | None = Field(
        default=None,
        gt=0,
        description="Attenuation of water, 1/mm, that HU are told from; that of the file, or .0193, by default.",
    )
    filter: Literal["ram-lak", "shepp-logan", "cosine", "hann"] | None = Field(
        default=None, description="fbp: window of the ramp filter; hann by default."
    )
    iterations: int | None = Field(default=None, ge=1, le=10_000, description="cgls, tv: iterations at most.")
    strength: float | None = Field(
        default=None, gt=0, description="tv: total variation in units of the noise; .4 by default."
    )


class CtOptions(PlaneOptions, XrayOptions):
    """Options of ``ct``."""

    for_method: ClassVar[tuple[str, ...]] = (*PlaneOptions.for_method, "filter", "iterations", "strength")


class ScannerOptions(BaseModel):
    """The scanner of ``ct --simulate``; lengths are in millimetres."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    views: int | None = Field(default=None, description="With --simulate: how many, evenly; 36 by default.")
    range_deg: float | None = Field(
        default=None, description="With --simulate: degrees that the views cover; 180 by default, in a fan 360."
    )
    photons: float | None = Field(
        default=None, description="With --simulate: how many reach a bin without a patient; no noise by default."
    )
    axis: str = Field(
        default="auto", description="With --simulate: array axis i, j or k of the slices; the patient's by default."
    )
    beam: str | None = Field(
        default=None,
        description="With --simulate: parallel (the default), fan-flat (a straight detector), or fan-arc (a bent one).",
    )
    source_mm: float | None = Field(
        default=None, description="With --simulate and a fan: from its source to the centre; 541 by default."
    )
    detector_mm: float | None = Field(
        default=None, description="With --simulate and a fan: from its source to the detector; 949 by default."
    )


class KspaceOptions(SharedOptions):
    """What was measured of k-space, with which coils and noise."""

    mask: str | None = Field(
        default=None,
        description="Undersample full data first: NAME:R:ACS such as uniform:8:24, or a file; by default the lines "
        "that are zero are missing.",
    )
    mask_seed: int = Field(default=0, ge=0, description="Seed of a random --mask.")
    maps: str | None = Field(
        default=None, description="File of coil sensitivities; ESPIRiT finds them in the data by default."
    )
    calibration: int | None = Field(default=None, ge=4, description="ESPIRiT: side of the central region used.")
    kernel: int | None = Field(default=None, ge=2, le=16, description="ESPIRiT: side of the kernel.")
    threshold: float | None = Field(
        default=None, gt=0, lt=1, description="ESPIRiT: singular values below this part of the largest are noise."
    )
    crop: float | None = Field(
        default=None, ge=0, le=1, description="ESPIRiT: maps are zero where the eigenvalue is smaller."
    )
    coils: int | None = Field(default=None, ge=1, description="Compress to so many virtual coils first.")
    noise: float | None = Field(
        default=None,
        ge=0,
        description="Standard deviation of the noise, of the real part of a k-space sample; by default from the "
        "noise scan, or from the corners of k-space.",
    )


class ReconOptions(PlaneOptions, KspaceOptions):
    """Options of ``recon``."""

    for_method: ClassVar[tuple[str, ...]] = (*PlaneOptions.for_method, "mse", "corrector_mse", "solver", "acs")

    snr: float | None = Field(default=None, gt=0, description="hfs-sde, ve-sde, vp-sde, tpdm: Langevin step.")
    mse: float | None = Field(default=None, ge=0, description="hfs-sde, ve-sde, vp-sde: data weight of the predictor.")
    corrector_mse: float | None = Field(
        default=None, ge=0, description="hfs-sde, ve-sde, vp-sde: data weight of the corrector."
    )
    solver: Literal["sde", "ode"] | None = Field(
        default=None, description="hfs-sde, ve-sde, vp-sde: reverse SDE, or probability-flow ODE."
    )
    acs: int | None = Field(default=None, ge=1, description="hfs-sde: central lines that do not diffuse.")


def require_method(job: str, options: SharedOptions) -> None:
    """Raise :class:`InputError` unless ``job`` has the method, and ``--mode`` may be given with it; imports nothing."""
    registry.require(options.method, job)
    if options.mode is not None and options.method != DEFAULT_METHOD:
        raise InputError(f"--mode belongs to --method {DEFAULT_METHOD}; leave it out with --method {options.method}")
