"""What pages of the documentation print: programs and commands."""

import re
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"


def programs_of(page: str) -> list[str]:
    """The blocks of Python of a page below docs/."""
    return re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), re.DOTALL)
