"""Headings of ``--help``: what everyone needs comes first, then what belongs to one method or one occasion."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from cyclopts import App, Group, Parameter
from pydantic import BaseModel

from voxprior import registry

OCCASIONS = {"With --simulate": "Simulation", "ESPIRiT": "Coil sensitivities (ESPIRiT)"}
"""How the text of an option begins, and its heading."""
MACHINE = "Machine and messages"
NAMED = {
    **dict.fromkeys(("--dicom", "--series", "--uids"), "DICOM"),
    "--simulate": OCCASIONS["With --simulate"],
    **dict.fromkeys(("--device", "--threads", "--memory", "--precision", "--quiet", "--verbose"), MACHINE),
}
"""Options whose heading is not in their text."""
READER = "extract_docstring_help"
"""The library's function that reads texts from source code."""
_FIRST_WORDS = re.compile(r"(With --simulate|[\w-]+(?:, [\w-]+)*)[ :]")


class Headed(App):
    """A command whose help has headings; what it understands is the same."""

    def assemble_argument_collection(self, *, parse_docstring: bool = False, **rest: Any) -> Any:
        """As cyclopts does it, each option under its heading where texts are read, which is for help alone."""
        with _texts_of_fields():
            found = super().assemble_argument_collection(parse_docstring=parse_docstring, **rest)
        if parse_docstring:
            for argument in found:
                title = heading(_long(argument.names), str(argument.parameter.help or ""))
                if title is not None:
                    own = Parameter(group=(Group(title, sort_key=_rank(title)),))
                    argument.parameter = Parameter.combine(argument.parameter, own)
        return found


@contextmanager
def _texts_of_fields() -> Iterator[None]:
    """Options have their texts in their fields: looking for more in the source of the classes takes half of the time.

    Where the library keeps its reader elsewhere, nothing happens but that.
    """
    from cyclopts.argument import _collection

    read = getattr(_collection, READER, None)
    if read is None:
        yield
        return
    setattr(_collection, READER, lambda f: {} if isinstance(f, type) and issubclass(f, BaseModel) else read(f))
    try:
        yield
    finally:
        setattr(_collection, READER, read)


def heading(name: str, text: str) -> str | None:
    """The heading of option ``name`` whose help is ``text``; None for what stands among the common ones."""
    if name in NAMED:
        return NAMED[name]
    match = _FIRST_WORDS.match(text)
    words = match[1] if match is not None else ""
    if words in OCCASIONS:
        return OCCASIONS[words]
    methods = words.split(", ") if match is not None and text[match.end(1)] == ":" else []
    known = {method for job in registry.METHODS.values() for method in job}
    if methods and known.issuperset(methods):
        return f"Method {' or '.join(methods)}"
    return None


def _long(names: Sequence[str]) -> str:
    """The name in words, not the letter and not its negation."""
    return next((n for n in names if n.startswith("--") and not n.startswith("--no-")), names[0])


def _rank(title: str) -> int:
    """Occasions, then methods, then the machine."""
    return 3 if title == MACHINE else 2 if title.startswith("Method ") else 1
