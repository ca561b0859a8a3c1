"""Texts that lie beside the derivatives of a cohort."""

README = """# Thin slices restored from thick ones

Made with voxprior, with a learned prior: detail finer than the measured slices is inferred, not measured. Compare with
the scans. Not a medical device; not for diagnosis.

Each `*_desc-restored_*.nii.gz` has a sidecar with its settings, the residual of its fit to the measured slices, and
digests (`voxprior verify FILE` checks them). `desc-restoredStd` is the standard deviation, `desc-restoredLower` and
`desc-restoredUpper` the bounds of 90 %, `desc-restoredInvented` what the slices do not determine.
Pages: `sub-*/figures`, and `group.html`.
"""

CITATION = """# How to describe and cite this

Thick-slice scans were restored to thin slices with voxprior {0} (method {1}), a restoration whose result, measured
again in thick slices, equals the scan to the residual stated in each sidecar.

Method: {2}
"""
