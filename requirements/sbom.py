"""Write the bill of materials of what a user installs: the project, what its base dependencies bring, and the weights.

The file is CycloneDX 1.6 in JSON, made by cyclonedx-py of the environment this runs in, without the packages that only
development needs.
"""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import distribution, requires
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

SPEC = "1.6"
ROOT = Path(__file__).parents[1]
WEIGHTS = ROOT / "src" / "voxprior" / "weights"


def needed(name: str) -> set[str]:
    """Normalised names of what ``name`` brings with it here, without extras that nobody asked for."""
    found: set[str] = set()
    waiting = [(name, frozenset[str]())]
    seen = set(waiting)
    while waiting:
        package, extras = waiting.pop()
        for text in requires(package) or []:
            one = Requirement(text)
            if one.marker and not any(one.marker.evaluate({"extra": e}) for e in (*extras, "")):
                continue
            found.add(canonicalize_name(one.name))
            entry = one.name, frozenset(one.extras)
            if entry not in seen:
                seen.add(entry)
                waiting.append(entry)
    return found


def reduced(bom: dict[str, Any], names: set[str]) -> dict[str, Any]:
    """``bom`` with the components of ``names`` alone, and what they and the project depend on among them."""
    components = [c for c in bom["components"] if canonicalize_name(c["name"]) in names]
    root = bom["metadata"]["component"]["bom-ref"]
    kept = {c["bom-ref"] for c in components} | {root}
    dependencies = []
    for entry in bom.get("dependencies", []):
        if entry["ref"] in kept:
            on = [ref for ref in entry.get("dependsOn", []) if ref in kept]
            dependencies.append({"ref": entry["ref"], **({"dependsOn": on} if on else {})})
    return {**bom, "components": components, "dependencies": dependencies}


def weights() -> list[dict[str, Any]]:
    """The weights in the package as components: licence and digest of each, from its card."""
    cards = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(WEIGHTS.glob("*.json"))]
    return [
        {
            "type": "machine-learning-model",
            "bom-ref": f"weights/{card['name']}",
            "name": card["name"],
            "description": f"{card['kind']} of {card['parameters']} parameters",
            "hashes": [{"alg": "SHA-256", "content": card["sha256"]}],
            "licenses": [{"license": {"id": card["licence"]}}],
        }
        for card in cards
    ]


def main(target: Path) -> None:
    """Write the bill of this environment to ``target``."""
    command = ["-m", "cyclonedx_py", "environment", "--pyproject", str(ROOT / "pyproject.toml"), "--sv", SPEC]
    made = subprocess.run(
        [sys.executable, *command, "--output-reproducible", "--of", "JSON", "-o", "-", sys.executable],
        check=True, capture_output=True, text=True,
    )
    bom = reduced(json.loads(made.stdout), needed(distribution("voxprior").metadata["Name"]))
    bom["components"] += weights()
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(bom, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    print(f"{target.name}: CycloneDX {bom['specVersion']}, {len(bom['components'])} components")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "dist" / "voxprior.cdx.json")
