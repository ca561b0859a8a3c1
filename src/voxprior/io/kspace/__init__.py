"""Raw data of MR scanners: fastMRI, ISMRMRD, BART, numpy and MATLAB files, read slice by slice."""

from voxprior.io.kspace.file import KspaceFile
from voxprior.io.kspace.index import SliceIndex, index_folder
from voxprior.io.kspace.maps import read_maps
from voxprior.io.kspace.reading import READERS, open_kspace

__all__ = ["READERS", "KspaceFile", "SliceIndex", "index_folder", "open_kspace", "read_maps"]
