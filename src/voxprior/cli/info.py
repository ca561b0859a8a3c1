"""``voxprior info``: what this installation can do."""

from __future__ import annotations

from typing import Annotated, Any

from cyclopts import Parameter

from voxprior.cli.show import say


def info(*, json: Annotated[bool, Parameter(negative="", show_default=False)] = False) -> int:
    """List jobs, methods and weights with their cards.

    Parameters
    ----------
    json
        Print one JSON object.
    """
    if json:
        from json import dumps

        say(dumps(everything(), indent=2, sort_keys=True))
        return 0
    values = everything()
    say(f"voxprior {values['version']}")
    for job, what in values["jobs"].items():
        say(f"job {job}: {what}\n  methods: {', '.join(values['methods'][job])}")
    for name, card in values["weights"].items():
        say(f"weights {name}: {card['kind']}, {card['parameters'] / 1e6:.2f} M parameters, {card['licence']}")
        say(f"  default of: {', '.join(card['default_of']) or 'nothing'}")
        say(f"  sha256 {card['sha256']}")
        for key, value in _lines(card.get("figures", {})):
            say(f"  {key}: {value}")
    return 0


def everything() -> dict[str, Any]:
    """The registry as plain values; each card of weights with where they are and which methods take them by default."""
    import voxprior
    from voxprior import registry

    table = registry.weights_table()
    return {
        "version": voxprior.__version__,
        "jobs": dict(registry.JOBS),
        "methods": {job: list(names) for job, names in registry.METHODS.items()},
        "default_weights": {job: dict(names) for job, names in registry.DEFAULT_WEIGHTS.items()},
        "option_weights": dict(registry.OPTION_WEIGHTS),
        "weights": {
            name: {**entry.card, "origin": "bundled", "default_of": list(entry.default_of)}
            for name, entry in table.items()
        },
    }


def _lines(values: object, prefix: str = "") -> list[tuple[str, str]]:
    """The leaves of nested ``values``, each with its path."""
    if not isinstance(values, dict):
        return [(prefix, f"{values:.4g}" if isinstance(values, float) else str(values))]
    return [line for key, value in values.items() for line in _lines(value, f"{prefix}{' ' if prefix else ''}{key}")]
