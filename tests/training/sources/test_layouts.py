"""Layouts: each download is understood as it unpacks, and nothing else in it is taken for a scan."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from voxprior.errors import InputError
from voxprior.training.sources import bids, brats, hcp, ixi
from voxprior.training.sources.bids import licence
from voxprior.training.sources.detect import Found, find
from voxprior.training.sources.scan import Scan


def _modalities(found: list[Found]) -> Counter[str]:
    return Counter(f.scan.modality for f in found)


def _known(module: object, *parts: str) -> Scan | None:
    return module.recognise(Path(*parts), ("data", *parts))  # type: ignore[attr-defined,no-any-return]


def test_ixi(trees: dict[str, Path]) -> None:
    """T1, T2 and PD of three hospitals; neither angiograms nor diffusion; one subject's sequences are together."""
    found = find(trees["ixi"])
    assert _modalities(found) == {"T1w": 3, "T2w": 3, "PDw": 3}
    assert {(f.scan.subject, f.scan.site) for f in found} == {
        ("IXI002", "Guys"), ("IXI012", "HH"), ("IXI035", "IOP"),
    }
    assert [f.scan.name for f in find(trees["ixi"] / "IXI-T1")] == [
        "IXI002-Guys-0828-T1", "IXI012-HH-1211-T1", "IXI035-IOP-0873-T1",
    ]


def test_brats(trees: dict[str, Path]) -> None:
    """All four sequences and no segmentation; the time points of a patient are one subject."""
    found = find(trees["brats"])
    assert _modalities(found) == {"T1w": 4, "T1w+Gd": 4, "T2w": 4, "FLAIR": 4}
    assert {f.scan.subject for f in found} == {"BraTS-GLI-00005", "BraTS-GLI-00006", "BraTS-MET-00012"}


@pytest.mark.parametrize(
    ("name", "subject", "modality"),
    [
        ("BraTS-GoAT-00123-t1c.nii.gz", "BraTS-GoAT-00123", "T1w+Gd"),
        ("BraTS-MEN-RT-0000-1_t1c.nii.gz", "BraTS-MEN-RT-0000", "T1w+Gd"),
        ("BraTS-SSA-00002-000-t2f.nii", "BraTS-SSA-00002", "FLAIR"),
        ("BraTS2021_00000_t1ce.nii.gz", "BraTS2021_00000", "T1w+Gd"),
        ("BraTS20_Training_001_flair.nii", "BraTS20_Training_001", "FLAIR"),
        ("Brats18_CBICA_AAB_1_t1.nii.gz", "Brats18_CBICA_AAB_1", "T1w"),
        ("BraTS-MEN-RT-0000-1_gtv.nii.gz", None, None),
        ("BraTS-GLI-00000-000-t1n-voided.nii.gz", None, None),
        ("BraTS2021_00000_seg.nii.gz", None, None),
    ],
)
def test_names_of_other_years(name: str, subject: str | None, modality: str | None) -> None:
    """Names of every year since 2018; masks and images with holes are no scans."""
    scan = _known(brats, name.split("_t", maxsplit=1)[0], name)
    assert (None if scan is None else (scan.subject, scan.modality)) == (subject and (subject, modality))


def test_hcp_takes_the_least_interpolated_version(trees: dict[str, Path]) -> None:
    """Unprocessed runs where there are any, else AC-PC space; neither labels nor coarser versions of the same."""
    found = {f.scan.name: f.scan for f in find(trees["hcp"])}
    assert set(found) == {
        "100307_3T_T1w_MPR1", "100307_3T_T1w_MPR2", "100307_T2w_acpc_dc_restore",
        *(f"{s}_{m}_acpc_dc_restore" for s in ("100408", "101107") for m in ("T1w", "T2w")),
    }
    assert {s.subject for s in found.values()} == {"100307", "100408", "101107"}


def test_hcp_of_coarse_files_alone(tmp_path: Path, write: Callable[..., Path]) -> None:
    """The 1.6 mm volumes in template space that were published on are taken where nothing finer was fetched."""
    for name in ("100307", "100408"):
        write(tmp_path / name / "MNINonLinear" / "T1w_restore.1.60.nii.gz", voxel=1.6)
        write(tmp_path / name / "MNINonLinear" / "T1w_restore.2.nii.gz", voxel=2.0)
    found = find(tmp_path)
    assert [f.scan.name for f in found] == ["100307_T1w_restore.1.60", "100408_T1w_restore.1.60"]


def test_hcp_visits_are_one_subject() -> None:
    """Lifespan studies have the visit in the folder's name, and no folder for the field."""
    parts = ("HCA6002236_V1_MR", "unprocessed", "T1w_MPR_vNav_4e_RMS", "HCA6002236_V1_MR_T1w_MPR_vNav_4e_RMS.nii.gz")
    scan = _known(hcp, *parts)
    assert scan is not None and scan.subject == "HCA6002236" and scan.modality == "T1w"


def test_bids(trees: dict[str, Path]) -> None:
    """Anatomical scans of every session, compressed or not; neither functional ones nor derivatives."""
    found = find(trees["bids"])
    assert _modalities(found) == {"T1w": 3, "FLAIR": 3}
    assert {f.scan.subject for f in found} == {"sub-01", "sub-02", "sub-CON03"}
    assert "sub-01_ses-pre_acq-mprage_run-1_T1w" in {f.scan.name for f in found}


@pytest.mark.parametrize(
    ("parts", "modality"),
    [
        (("sub-01", "anat", "sub-01_T1w.nii.gz"), "T1w"),
        (("a study", "sub-x y", "ses-1", "anat", "sub-x y_ses-1_PD.nii"), "PDw"),
        (("sub-01", "anat", "sub-01_ce-gadolinium_T1w.nii.gz"), "T1w+Gd"),
        (("sub-01", "anat", "sub-01_part-phase_T1w.nii.gz"), None),
        (("sub-01", "anat", "sub-01_T1w.json"), None),
        (("sub-01", "anat", "sub-02_T1w.nii.gz"), None),
        (("sub-01", "func", "sub-01_T1w.nii.gz"), None),
        (("sub-01", "anat", "sub-01_desc-brain_mask.nii.gz"), None),
    ],
)
def test_names_of_bids(parts: tuple[str, ...], modality: str | None) -> None:
    """Suffix and folder decide; a file of another subject's name is in the wrong place."""
    scan = _known(bids, *parts)
    assert (None if scan is None else scan.modality) == modality


def test_pairs(trees: dict[str, Path]) -> None:
    """The true volume is the scan, and knows the measured one under its name, compressed or not."""
    found = find(trees["pairs"])
    assert [f.scan.name for f in found] == ["case 0", "case 1", "case 2"]
    assert [f.scan.measured for f in found] == [trees["pairs"] / "low_res" / f"case {i}.nii" for i in range(3)]


def test_several_downloads_in_one_folder(trees: dict[str, Path]) -> None:
    """A folder that holds several is the sum of them, and every volume has a name of its own."""
    together = find(trees["ixi"].parent)
    assert len(together) == sum(len(find(tree)) for tree in trees.values())
    assert len({f.scan.name for f in together}) == len(together)


def test_equal_names_are_told_apart(tmp_path: Path, write: Callable[..., Path]) -> None:
    """Two data sets that both have a sub-01 keep both its volumes; its files are one subject's, and in one role."""
    for place in ("one", "two"):
        write(tmp_path / place / "sub-01" / "anat" / "sub-01_T1w.nii.gz")
    names = [f.scan.name for f in find(tmp_path)]
    assert names == ["one_sub-01_anat_sub-01_T1w", "two_sub-01_anat_sub-01_T1w"]


def test_missing_sequences_are_no_fault(tmp_path: Path, write: Callable[..., Path]) -> None:
    """A subject without some sequences has the others."""
    write(tmp_path / "BraTS-GLI-00001-000" / "BraTS-GLI-00001-000-t2f.nii.gz")
    write(tmp_path / "BraTS-GLI-00002-000" / "BraTS-GLI-00002-000-t1n.nii.gz")
    assert _modalities(find(tmp_path)) == {"FLAIR": 1, "T1w": 1}


def test_unknown_trees_say_what_is_known(tmp_path: Path, write: Callable[..., Path]) -> None:
    """An empty folder and one of other names are input errors of one line that name every layout."""
    for _ in range(2):
        with pytest.raises(InputError, match="known") as caught:
            find(tmp_path)
        text = str(caught.value)
        assert "\n" not in text and all(name in text for name in ("manifest", "IXI", "BraTS", "HCP", "BIDS", "LR/"))
        write(tmp_path / "scans" / "patient one.nii.gz")


def test_the_licence_of_a_data_set(trees: dict[str, Path], tmp_path: Path) -> None:
    """What dataset_description.json states, and nothing where it is absent or broken."""
    assert licence(trees["bids"]) == "CC0" and licence(trees["ixi"]) == ""
    (tmp_path / "dataset_description.json").write_text("[1")
    assert licence(tmp_path) == ""


def test_ixi_needs_the_whole_name() -> None:
    """A derived image beside the scans is not one."""
    assert _known(ixi, "IXI002-Guys-0828-T1.nii.gz") is not None
    assert _known(ixi, "IXI002-Guys-0828-T1_brain.nii.gz") is None
