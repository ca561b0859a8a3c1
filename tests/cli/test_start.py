"""Help is quick because it imports nothing that computes."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ["numpy", "torch", "scipy", "nibabel", "matplotlib", "voxprior.methods", "voxprior.io", "voxprior.volume"]
WORDS = ["", "sr", "recon", "ct", "train", "evaluate", "demo", "info", "describe", "verify", "doctor", "bids"]

PROBE = """
import sys
from voxprior.cli.app import main
code = main(sys.argv[1:])
heavy = [m for m in {heavy!r} if m in sys.modules]
raise SystemExit(f"imported {{heavy}}" if heavy else code)
"""


@pytest.mark.parametrize("words", WORDS)
def test_help_imports_neither_numpy_nor_torch_nor_a_method(words: str) -> None:
    """Guards the start-up time: a top-level import of anything heavy shows here, whatever the machine's speed."""
    probe = PROBE.format(heavy=HEAVY)
    done = subprocess.run(
        [sys.executable, "-c", probe, *words.split(), "--help"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Usage" in done.stdout


def test_importing_the_package_loads_neither_numpy_nor_torch() -> None:
    """Guards ``import voxprior`` and the quick commands that need only names."""
    probe = "import sys, voxprior, voxprior.registry; assert not {'numpy', 'torch', 'pydantic'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", probe], check=True, timeout=60)


def test_a_wrong_name_is_told_before_torch_is_imported() -> None:
    """Guards the order of work: a mistake must not cost the seconds that torch takes to load."""
    probe = (
        "import sys; from voxprior.cli.app import main; code = main(['sr', '-i', 'none.nii', '-o', 'x.nii']);"
        "assert 'torch' not in sys.modules; raise SystemExit(code)"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2, done.stderr
    assert done.stderr == "voxprior: error: none.nii: no such file or folder; check the name\n"


def test_every_public_word_can_be_imported() -> None:
    """Guards the table of lazy names: each must be where it says."""
    import voxprior

    for name in voxprior.__all__:
        assert getattr(voxprior, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = voxprior.nothing
