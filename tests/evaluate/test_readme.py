"""The figures in the README are those of the results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from voxprior.evaluate.sr.readme import BEGIN, END, summary, write_readme
from voxprior.evaluate.sr.tables import GROUPS


def _records(gain: float) -> list[dict[str, Any]]:
    case = {"subject": "s", "crop": None, "group": GROUPS[0]}
    return [
        {"name": "s x5 box A-P", "kind": "x5 box", "label": label, "case": case, "figures": {"psnr": value}}
        for label, value in (("cubic", 27.0), ("voxprior mean", 27.0 + gain))
    ]


def test_only_the_marked_block_changes(tmp_path: Path) -> None:
    """Text around the marks stays; the block holds the gain, and the next run replaces it."""
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    write_readme(readme, _records(1.25))
    first = readme.read_text()
    assert first.startswith("before\n") and first.endswith("\nafter\n") and "+1.25" in first and "old" not in first
    write_readme(readme, _records(2.5))
    assert "+2.50" in readme.read_text() and "+1.25" not in readme.read_text()


def test_nothing_is_written_without_marks_or_results(tmp_path: Path) -> None:
    """A README without marks stays as it is, and so does one whose results have no mean mode."""
    readme = tmp_path / "README.md"
    readme.write_text("text\n")
    write_readme(readme, _records(1.0))
    assert readme.read_text() == "text\n"
    assert summary(_records(1.0)[:1]) == ""
    write_readme(tmp_path / "none.md", _records(1.0))
    assert not (tmp_path / "none.md").exists()
