"""Help has headings: what belongs to one method or occasion does not stand among what everyone needs."""

from __future__ import annotations

import re

import pytest

from voxprior.cli.app import app, main
from voxprior.cli.headings import heading

COMMANDS = ("sr", "recon", "ct", "enhance", "generate", "bids", "serve", "train", "distill")


@pytest.mark.parametrize(
    ("name", "text", "title"),
    [
        ("--k", "tpdm: every k-th step", "Method tpdm"),
        ("--iterations", "cgls, tv: iterations at most.", "Method cgls or tv"),
        ("--views", "With --simulate: how many.", "Simulation"),
        ("--kernel", "ESPIRiT: side of the kernel.", "Coil sensitivities (ESPIRiT)"),
        ("--device", "Where the network runs.", "Machine and messages"),
        ("--spacing", "Output spacing along the slice axis, mm.", None),
        ("--axes", "Note: what is no method has no heading.", None),
        ("--report", "", None),
    ],
)
def test_heading_of_an_option(name: str, text: str, title: str | None) -> None:
    """By how its text begins, or by its name."""
    assert heading(name, text) == title


def test_common_options_come_first(capsys: pytest.CaptureFixture[str]) -> None:
    """Of ``sr``: TPDM's own stand under their heading, after all that others need; every option is there once."""
    assert main(["sr", "--help"]) == 0
    text = capsys.readouterr().out
    titles = ["Parameters", "DICOM", "Simulation", "Method os-ddpm", "Method tpdm", "Machine and messages"]
    places = [text.index(f"╭─ {title} ─") for title in titles]
    assert places == sorted(places)
    assert places[4] < text.index("--dps-weight") < places[5] < text.index("--verbose")
    every = [argument.names for argument in app["sr"].assemble_argument_collection()]
    names = {next(n for n in own if n.startswith("--") and not n.startswith("--no-")) for own in every if own != ("*",)}
    shown = re.findall(r"^│[ *]+(--[a-z-]+) ", text, re.MULTILINE)
    assert names <= set(shown) and len(shown) == len(set(shown))


@pytest.mark.parametrize("command", COMMANDS)
def test_help_begins_with_an_example_and_shows_no_empty_default(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A newcomer reads what to type before what may be typed."""
    assert main([command, "--help"]) == 0
    text = capsys.readouterr().out
    assert 0 < text.index(f"Example: voxprior {command} ") < text.index("╭")
    assert "[default: ()]" not in text
