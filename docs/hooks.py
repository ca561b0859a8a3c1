"""What pages get when the site is built: names instead of cross-reference roles, and the cards of the weights."""

import re
from typing import Any

from voxprior import registry

ROLE = re.compile(r":(?:class|func|meth|data|attr|mod):<code>~?(?:voxprior\.)?")
CARDS = "<!-- model cards -->"


def on_page_content(html: str, **_: Any) -> str:
    """Drop the role in front of a name, in the finished HTML of a page."""
    return ROLE.sub("<code>", html)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put the cards of the weights where a page asks for them."""
    if CARDS not in markdown:
        return markdown
    return markdown.replace(CARDS, "\n".join(_card(entry) for entry in registry.weights_table().values()))


def _card(entry: registry.WeightsEntry) -> str:
    card = entry.card
    rows = {
        "kind": card["kind"],
        "default of": ", ".join(f"`{user}`" for user in entry.default_of) or "nothing",
        "licence": card["licence"],
        "intended use": card.get("intended_use", "not stated"),
        "parameters": f"{card['parameters']:,}".replace(",", " "),
        "size": f"{card['bytes'] / 2**20:.1f} MiB",
        "sha256": f"`{card['sha256']}`",
        "training": f"{card['training'].get('hours', '?')} h, {card['training'].get('hardware', 'not stated')}",
        **{f"data: {key}": _text(value) for key, value in card["data"].items()},
        **{f"trained range: {key}": _text(value) for key, value in card.get("trained_range", {}).items()},
    }
    lines = [f"## {entry.name}", "", "| | |", "| --- | --- |", *(f"| {name} | {text} |" for name, text in rows.items())]
    figures = dict(card["figures"])
    lines += ["", f"Figures: {figures.pop('protocol', 'protocol not stated')}.", ""]
    tables = {name: values for name, values in figures.items() if isinstance(values, dict) and values}
    for name, values in tables.items():
        lines += [f"| {name.replace('_', ' ')} | |", "| --- | --- |"]
        lines += [f"| {case} | {_text(value)} |" for case, value in values.items()] + [""]
    return "\n".join(lines)


def _text(value: Any) -> str:
    """A value of a card in one cell of a table."""
    if isinstance(value, dict):
        text = ", ".join(f"{key} {_text(part)}" for key, part in value.items())
    elif isinstance(value, list):
        text = ", ".join(_text(part) for part in value)
    else:
        text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return text.replace("|", "\\|")
