"""Makes of the cross-reference roles in docstrings what a reader wants to see: the name."""

import re
from typing import Any

ROLE = re.compile(r":(?:class|func|meth|data|attr|mod):<code>~?(?:voxprior\.)?")


def on_page_content(html: str, **_: Any) -> str:
    """Drop the role in front of a name, in the finished HTML of a page."""
    return ROLE.sub("<code>", html)
