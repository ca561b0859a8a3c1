"""What a derived image says of patient, study, scanner and sequence: what still holds of it, and no more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from voxprior.io.dicom.datasets import ENHANCED
from voxprior.io.dicom.images import functional_groups
from voxprior.io.dicom.quantise import decimal

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

KEPT = (
    "SpecificCharacterSet TimezoneOffsetFromUTC "
    # patient, and whether identity was removed
    "PatientName PatientID IssuerOfPatientID PatientBirthDate PatientSex OtherPatientIDsSequence EthnicGroup "
    "PatientSpeciesDescription PatientSpeciesCodeSequence ResponsiblePerson ResponsibleOrganization "
    "PatientIdentityRemoved DeidentificationMethod DeidentificationMethodCodeSequence "
    "LongitudinalTemporalInformationModified ClinicalTrialSponsorName ClinicalTrialProtocolID "
    "ClinicalTrialSubjectID ClinicalTrialTimePointID "
    "PatientAge PatientSize PatientWeight "
    # study
    "StudyInstanceUID StudyDate StudyTime StudyID StudyDescription AccessionNumber IssuerOfAccessionNumberSequence "
    "ReferringPhysicianName ProcedureCodeSequence "
    # where and how the patient lay
    "FrameOfReferenceUID PositionReferenceIndicator PatientPosition BodyPartExamined Laterality AnatomicRegionSequence "
    "PatientOrientationCodeSequence "
    # what the picture means
    "ProtocolName ContrastBolusAgent ContrastBolusRoute LossyImageCompression LossyImageCompressionRatio "
    "LossyImageCompressionMethod BurnedInAnnotation RecognizableVisualFeatures PhotometricInterpretation "
    "AcquisitionDate InstitutionName"
).split()
MR_KEPT = (
    "ScanningSequence SequenceVariant ScanOptions MRAcquisitionType SequenceName AngioFlag RepetitionTime EchoTime "
    "InversionTime EchoTrainLength EchoNumbers FlipAngle MagneticFieldStrength ImagedNucleus ImagingFrequency"
).split()
CT_KEPT = "KVP ScanOptions ConvolutionKernel FilterType ReconstructionDiameter".split()
"""Sequence parameters that give the contrast. Left out is what counts a dose or an energy twice, or is of the grid."""
EQUIPMENT = (
    "Manufacturer InstitutionName InstitutionAddress StationName InstitutionalDepartmentName ManufacturerModelName "
    "DeviceSerialNumber SoftwareVersions"
).split()
"""Of the scanner: kept as a contributing equipment."""
ENHANCED_NUMBERS = {
    "EchoTime": "EffectiveEchoTime",
    "InversionTime": "InversionTimes",
    "ImagingFrequency": "TransmitterFrequency",
}


def kept(template: Dataset, modality: str) -> Dataset:
    """A new data set with what of ``template``, the first image of a series, holds of images derived from it."""
    from pydicom.dataset import Dataset

    classic = _classic(template)
    derived = Dataset()
    for keyword in (*KEPT, *(MR_KEPT if modality == "MR" else CT_KEPT)):
        if keyword in classic:
            derived[keyword] = classic[keyword]
    derived.remove_private_tags()
    return derived


def scanner(template: Dataset) -> Dataset:
    """The equipment that acquired the source, as an item of a sequence."""
    from pydicom.dataset import Dataset

    item = Dataset()
    for keyword in EQUIPMENT:
        if keyword in template and template[keyword].value not in (None, ""):
            item[keyword] = template[keyword]
    if "Manufacturer" not in item:
        item.Manufacturer = "unknown"
    return item


def _classic(template: Dataset) -> Dataset:
    """``template`` with the elements of its first frame as a classic image has them."""
    if template.SOPClassUID not in ENHANCED:
        return template
    from pydicom.dataset import Dataset

    flat = Dataset()
    for part in [*reversed(functional_groups(template, 0)), template]:
        for element in part:
            if element.VR != "SQ" or element.keyword in KEPT:
                flat[element.tag] = element
    _translate(flat)
    return flat


def _translate(flat: Dataset) -> None:
    """Sequence attributes of an enhanced image by the words of a classic one."""
    for classic, enhanced in ENHANCED_NUMBERS.items():
        if classic not in flat and flat.get(enhanced) is not None:
            value = flat[enhanced].value
            setattr(flat, classic, decimal(float(value if isinstance(value, float | int) else value[0])))
    if "ScanningSequence" not in flat:
        pulse = {"SPIN": ["SE"], "GRADIENT": ["GR"], "BOTH": ["GR", "SE"]}.get(str(flat.get("EchoPulseSequence")), [])
        pulse += ["IR"] if flat.get("InversionRecovery") == "YES" else []
        pulse += ["EP"] if flat.get("EchoPlanarPulseSequence") == "YES" else []
        flat.ScanningSequence = pulse or ["RM"]
    if "SequenceVariant" not in flat:
        spoiled = flat.get("Spoiling") not in (None, "NONE")
        flat.SequenceVariant = "SP" if spoiled else "NONE"
    if "SequenceName" not in flat and flat.get("PulseSequenceName"):
        flat.SequenceName = str(flat.PulseSequenceName)[:16]
    if "ImagedNucleus" not in flat and flat.get("ResonantNucleus"):
        flat.ImagedNucleus = str(flat.ResonantNucleus)
