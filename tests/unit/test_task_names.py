"""No code outside of `surefoot.tasks` decides by a task's name: what differs between tasks, a task carries."""

import ast
from collections.abc import Iterator

import pytest
from tests.sources import of_source

from surefoot.tasks import TASKS

ASKING = frozenset(("startswith", "endswith", "removeprefix", "removesuffix", "partition", "split"))


def is_name(node: ast.AST) -> bool:
    """`task.name`, and that of any other variable that holds a task."""
    holder = node.value if isinstance(node, ast.Attribute) and node.attr == "name" else None
    word = holder.attr if isinstance(holder, ast.Attribute) else holder.id if isinstance(holder, ast.Name) else ""
    return word in ("task", "_task", "trained", "known")


def is_constant(node: ast.AST) -> bool:
    """A literal, or a table of the module or of another."""
    if isinstance(node, ast.Tuple | ast.Set | ast.List):
        return any(map(is_constant, node.elts))
    word = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
    return isinstance(node, ast.Constant) or word.isupper()


def is_question(node: ast.AST) -> bool:
    """Whether code compares a task's name with literals or tables, takes it apart, or compares anything with one. What
    is left: that data and runs are of a task, which compares two names that are read."""
    if isinstance(node, ast.Compare):
        parts = [node.left, *node.comparators]
        named = any(isinstance(part, ast.Constant) and part.value in TASKS for part in parts)
        return named or (any(map(is_name, parts)) and any(map(is_constant, parts)))
    called = node.func if isinstance(node, ast.Call) else None
    return isinstance(called, ast.Attribute) and called.attr in ASKING and is_name(called.value)


def questions(tree: ast.AST) -> Iterator[int]:
    """Lines on which code decides by a task's name."""
    return (node.lineno for node in ast.walk(tree) if isinstance(node, ast.expr) and is_question(node))


def test_no_module_asks_for_the_name_of_a_task() -> None:
    found = {name: list(questions(tree)) for name, tree in of_source(without="tasks")}
    assert {name: lines for name, lines in found.items() if lines} == {}


@pytest.mark.parametrize(
    ("code", "lines"),
    [
        ("if task.name == 'x': pass", [1]),
        ("if task.name in ('a', 'b'): pass", [1]),
        ("if task.name in tables.TABLE: pass", [1]),
        ("robot = self.task.name.removeprefix('Car')", [1]),
        ("if name == 'HazardRun': pass", [1]),
        ("if task.name != trained.name: pass", []),
        ("if data.task != task.name: pass", []),
        ("row = TABLE.get(task.name)", []),
    ],
)
def test_questions_are_found(code: str, lines: list[int]) -> None:
    assert list(questions(ast.parse(code))) == lines
