"""What every test shares: threads, hypothesis profiles, a time limit, and small scans on disk."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

# Set before numpy and torch are imported: the limits in the tests are stated for two threads, and plots need no screen.
os.environ.setdefault("OMP_NUM_THREADS", "2")
os.environ["MPLBACKEND"] = "Agg"

import nibabel
import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from numpy.typing import NDArray

from phantoms import HEAD, Phantom

# The runs that judge a change draw the same examples every time; a developer's draw new ones.
settings.register_profile(
    "ci", derandomize=True, database=None, deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("explore", deadline=None, max_examples=40)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "explore"))

# A run in the background of a script is started with Ctrl-C ignored, and its children too: the tests of Ctrl-C would
# then wait in vain.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

STARTED = time.monotonic()
SKIPPED = pytest.StashKey[list[str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("voxprior")
    group.addoption("--time-limit", type=float, default=None, help="fail the run once it has taken so many seconds")
    group.addoption("--no-skips", action="store_true", help="a skipped test fails the run")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[SKIPPED] = []
    config.pluginmanager.register(_Watch(config), "voxprior-watch")


class _Watch:
    """Ends a run that takes too long, and one that leaves something out where nothing may be left out."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        result = yield
        limit = self.config.getoption("--time-limit")
        if limit is not None and time.monotonic() - STARTED > limit:
            item.session.shouldfail = f"the tests have taken more than {limit:g} s; make some faster or mark them slow"
        return result

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.skipped and not hasattr(report, "wasxfail"):
            self.config.stash[SKIPPED].append(report.nodeid)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.skipped:
            self.config.stash[SKIPPED].append(report.nodeid)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.config.getoption("--no-skips") and self.config.stash[SKIPPED]:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.config.getoption("--no-skips"):
            for name in self.config.stash[SKIPPED]:
                terminalreporter.write_line(f"SKIPPED, and nothing may be here: {name}", red=True)


@pytest.fixture(autouse=True)
def _same_numbers() -> None:
    """No test draws other numbers because another ran before it; torch is not imported for those that do without."""
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


@pytest.fixture(scope="session")
def head() -> Phantom:
    """A head of ellipsoids, whose slices are known in closed form."""
    return HEAD


@pytest.fixture
def oblique_affine() -> NDArray[np.float64]:
    """Affine of 20 x 24 x 7 thick slices (2 x 2 x 5 mm), turned about two axes and away from the origin."""
    a, b = np.deg2rad([20.0, -12.0])
    about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_z = np.array([[np.cos(b), -np.sin(b), 0], [np.sin(b), np.cos(b), 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = about_x @ about_z @ np.diag([-2.0, 2.0, 5.0])
    affine[:3, 3] = [17.0, -31.0, 8.0] - affine[:3, :3] @ [9.5, 11.5, 3.0]
    return affine


@pytest.fixture
def thick_scan(tmp_path: Path, head: Phantom, oblique_affine: NDArray[np.float64]) -> Path:
    """The head as seven 5 mm slices without gap, float32, oblique, in a folder of its own."""
    data = head.slices((20, 24), (2.0, 2.0), np.arange(-15.0, 16.0, 5.0), 5.0)
    path = tmp_path / "thick.nii.gz"
    image = nibabel.Nifti1Image(data.astype(np.float32), oblique_affine)
    image.set_qform(oblique_affine, 1)
    image.set_sform(oblique_affine, 1)
    image.header.set_xyzt_units("mm")
    image.to_filename(path)
    return path
