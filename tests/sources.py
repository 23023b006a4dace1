"""Syntax of our files, parsed once for all rules that look at it."""

import ast
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

TOP = Path(__file__).parents[1]
SOURCE = TOP / "src" / "surefoot"
FOLDERS = (SOURCE, TOP / "tests", TOP / "benchmarks")


@cache
def trees() -> Mapping[Path, ast.Module]:
    """Syntax of every file of ours."""
    return {path: ast.parse(path.read_text(encoding="utf-8")) for folder in FOLDERS for path in folder.rglob("*.py")}


def of_source(below: str = "", *, without: str = "-") -> Iterator[tuple[str, ast.Module]]:
    """(name below src/surefoot, syntax) of the package's files, of those in the folder `below` and not in `without`."""
    for path, tree in sorted(trees().items()):
        if path.is_relative_to(SOURCE / below) and not path.is_relative_to(SOURCE / without):
            yield path.relative_to(SOURCE).as_posix(), tree
