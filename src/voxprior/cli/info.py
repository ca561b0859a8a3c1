"""``voxprior info``: what this installation can do."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from voxprior.cli.show import say


def info(*, json: Annotated[bool, Parameter(negative="", show_default=False)] = False) -> int:
    """List jobs, methods and weights with their cards.

    Parameters
    ----------
    json
        Print one JSON object.
    """
    import json as text

    import voxprior
    from voxprior import registry

    cards = {name: text.loads((registry.WEIGHTS / f"{name}.json").read_bytes()) for name in registry.weight_names()}
    if json:
        methods = {job: list(names) for job, names in registry.METHODS.items()}
        values = {
            "version": voxprior.__version__,
            "jobs": dict(registry.JOBS),
            "methods": methods,
            "weights": cards,
        }
        say(text.dumps(values, indent=2, sort_keys=True))
        return 0
    say(f"voxprior {voxprior.__version__}")
    for job, what in registry.JOBS.items():
        say(f"job {job}: {what}\n  methods: {', '.join(registry.METHODS[job])}")
    for name, card in cards.items():
        say(f"weights {name}: {card['kind']}, {card['parameters'] / 1e6:.2f} M parameters, {card['licence']}")
        say(f"  sha256 {card['sha256']}")
        for key, value in _lines(card.get("figures", {})):
            say(f"  {key}: {value}")
    return 0


def _lines(values: object, prefix: str = "") -> list[tuple[str, str]]:
    """The leaves of nested ``values``, each with its path."""
    if not isinstance(values, dict):
        return [(prefix, f"{values:.4g}" if isinstance(values, float) else str(values))]
    return [line for key, value in values.items() for line in _lines(value, f"{prefix}{' ' if prefix else ''}{key}")]
