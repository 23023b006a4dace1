"""Expressions over the columns of a log, such as "abs(level - 0.5) - 0.3", which are never run as Python.

The text is parsed into a syntax tree, in which only these are allowed: numbers, columns, arithmetic, comparisons,
`and`, `or`, `not`, and the functions of `FUNCTIONS`. The tree is evaluated on whole columns at once.

Columns are written by their names, with dots and numbers in brackets where they have some (`observation.state[0]`); a
name with other characters is written column("valve position"). prev(x) is x in the row before, and x itself in the
first row of an episode.
"""

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
from jaxtyping import Bool, Float

from surefoot.errors import ConfigError
from surefoot.tasks.units import Unit

MOST_CHARACTERS, MOST_NESTED = 2_000, 60
FUNCTIONS: dict[str, tuple[int, int]] = {
    "abs": (1, 1), "min": (2, 20), "max": (2, 20), "clip": (3, 3), "sqrt": (1, 1), "hypot": (2, 2), "where": (3, 3),
    "sin": (1, 1), "cos": (1, 1), "prev": (1, 1), "column": (1, 1),
}  # fmt: skip
"""Name -> fewest and most arguments."""
_BINARY: dict[type[ast.operator], tuple[str, Callable[[Any, Any], Any]]] = {
    ast.Add: ("+", np.add),
    ast.Sub: ("-", np.subtract),
    ast.Mult: ("*", np.multiply),
    ast.Div: ("/", np.divide),
    ast.Mod: ("%", np.mod),
    ast.Pow: ("**", np.power),
}
_COMPARED: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Lt: np.less,
    ast.LtE: np.less_equal,
    ast.Gt: np.greater,
    ast.GtE: np.greater_equal,
    ast.Eq: np.equal,
    ast.NotEq: np.not_equal,
}
_ELEMENTWISE: dict[str, Callable[..., Any]] = {
    "abs": np.abs,
    "clip": np.clip,
    "sqrt": np.sqrt,
    "hypot": np.hypot,
    "sin": np.sin,
    "cos": np.cos,
    "where": lambda condition, yes, no: np.where(np.asarray(condition) != 0, yes, no),
    "min": lambda *values: _fold(np.minimum, values),
    "max": lambda *values: _fold(np.maximum, values),
}


@dataclass(frozen=True)
class Expression:
    """A parsed expression."""

    text: str
    """Text that the user wrote."""
    tree: ast.expr
    columns: tuple[str, ...]
    """Columns that it reads, in the order of their first use."""

    def evaluate(self, columns: Mapping[str, np.ndarray], starts: Bool[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        """Value in each of n rows; NaN where it cannot be computed, such as the root of a negative number.

        Args:
            columns: Columns [n] by name.
            starts: Whether an episode begins with each row [n].

        Returns:
            float64 values [n].
        """
        with np.errstate(all="ignore"):
            value = _value(self.tree, columns, starts)
        return np.broadcast_to(np.asarray(value, np.float64), starts.shape)

    def check_constants(self) -> None:
        """Raise `ConfigError` where a part without columns, as 9**9**9, is no finite number."""
        for node in _largest_constants(self.tree):
            with np.errstate(all="ignore"):
                value = np.asarray(_value(node, {}, np.ones(1, bool)), np.float64)
            if not np.isfinite(value).all():
                raise ConfigError(f"expected finite numbers, found {ast.unparse(node):.60}, which is {value.item():g}")

    def unit(self, units: Mapping[str, Unit]) -> Unit | None:
        """Unit of the expression's value by the units of its columns; None where it is not known."""
        return _unit(self.tree, units)


def parse_expression(text: str) -> Expression:
    """Read an expression. Raises `ConfigError`, "expected ..., found ...", without the place."""
    if len(text) > MOST_CHARACTERS:
        raise ConfigError(f"expected an expression of at most {MOST_CHARACTERS:,} characters, found {len(text):,}")
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        reason = f" ({error.msg.split('. ')[0].rstrip('.')})" if isinstance(error, SyntaxError) else ""
        raise ConfigError(f"expected an expression over columns, found {text!r:.100}{reason}") from error
    columns: dict[str, None] = {}
    _check(tree, columns, 0)
    return Expression(text, tree, tuple(columns))


def column_name(node: ast.expr) -> str | None:
    """The column that a part of a tree names; None where it is no name."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        front = column_name(node.value)
        return None if front is None else f"{front}.{node.attr}"
    if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant) and type(node.slice.value) is int:
        front = column_name(node.value)
        return None if front is None else f"{front}[{node.slice.value}]"
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "column":
        argument = node.args[0] if len(node.args) == 1 and not node.keywords else None
        if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
            return argument.value
    return None


# --- what is let through ---------------------------------------------------------------------------------------------


def _check(node: ast.expr, columns: dict[str, None], depth: int) -> None:
    """Refuse every part of a tree that is not of the grammar; gather the columns."""
    if depth > MOST_NESTED:
        raise ConfigError(f"expected an expression nested at most {MOST_NESTED} deep, found a deeper one")
    if (name := column_name(node)) is not None:
        columns[name] = None
        return
    for part in _parts(node):
        _check(part, columns, depth + 1)


def _largest_constants(node: ast.expr) -> list[ast.expr]:
    """The parts of a checked tree that read no column, and lie in no larger one."""
    columns: dict[str, None] = {}
    _check(node, columns, 0)
    if not columns:
        return [node]
    parts = [] if column_name(node) is not None else _parts(node)
    return [one for part in parts for one in _largest_constants(part)]


def _parts(node: ast.expr) -> list[ast.expr]:
    """The parts of a node that is let through."""
    if isinstance(node, ast.Constant) and type(node.value) in (int, float, bool):
        return []
    if isinstance(node, ast.BinOp) and type(node.op) in _BINARY:
        return [node.left, node.right]
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd | ast.Not):
        return [node.operand]
    if isinstance(node, ast.Compare) and all(type(one) in _COMPARED for one in node.ops):
        return [node.left, *node.comparators]
    if isinstance(node, ast.BoolOp):
        return node.values
    if isinstance(node, ast.Call):
        return _arguments(node)
    _refuse(node)


def _arguments(node: ast.Call) -> list[ast.expr]:
    name = ast.unparse(node.func)
    if name not in FUNCTIONS:
        raise ConfigError(f"expected no call but of {', '.join(FUNCTIONS)}, found {name:.60}()")
    fewest, most = FUNCTIONS[name]
    if node.keywords or any(isinstance(one, ast.Starred) for one in node.args) or not fewest <= len(node.args) <= most:
        count = str(fewest) if fewest == most else f"{fewest} to {most}"
        found = f"{len(node.args)}" if not node.keywords else "names for them"
        raise ConfigError(f"expected {count} argument{'s' * (most > 1)} of {name}(), found {found}")
    if name == "column":
        raise ConfigError(f"expected column() with a name in quotes, found {ast.unparse(node):.60}")
    return node.args


def _refuse(node: ast.expr) -> NoReturn:
    words = ast.unparse(node)
    raise ConfigError(
        f"expected numbers, columns, arithmetic, comparisons and {', '.join(FUNCTIONS)}, found {words!r:.80}"
    )


# --- values ----------------------------------------------------------------------------------------------------------


def _value(node: ast.expr, columns: Mapping[str, np.ndarray], starts: np.ndarray) -> Any:
    def of(part: ast.expr) -> Any:
        return _value(part, columns, starts)

    if (name := column_name(node)) is not None:
        return columns[name]
    if isinstance(node, ast.Constant):
        assert isinstance(node.value, int | float)
        return _number(node.value)
    if isinstance(node, ast.BinOp):
        return _BINARY[type(node.op)][1](of(node.left), of(node.right))
    if isinstance(node, ast.UnaryOp):
        value = of(node.operand)
        return np.asarray(value) == 0 if isinstance(node.op, ast.Not) else _signed(node.op, value)
    if isinstance(node, ast.Compare):
        return _compared(node, [of(one) for one in (node.left, *node.comparators)])
    if isinstance(node, ast.BoolOp):
        fold = np.logical_and if isinstance(node.op, ast.And) else np.logical_or
        return _fold(fold, [np.asarray(of(one)) != 0 for one in node.values])
    assert isinstance(node, ast.Call)
    assert isinstance(node.func, ast.Name)
    values = [of(one) for one in node.args]
    if node.func.id == "prev":
        return _previous(values[0], starts)
    return _ELEMENTWISE[node.func.id](*values)


def _number(value: int | float) -> np.float64:
    """A number as numpy computes with it: powers of large ones become infinite, and never take a day."""
    try:
        return np.float64(value)
    except OverflowError:
        return np.float64(np.inf)


def _signed(operator: ast.unaryop, value: Any) -> Any:
    number = np.asarray(value, np.float64)
    return -number if isinstance(operator, ast.USub) else number


def _compared(node: ast.Compare, values: list[Any]) -> Any:
    pairs = zip(node.ops, values, values[1:], strict=False)
    return _fold(np.logical_and, [_COMPARED[type(operator)](one, other) for operator, one, other in pairs])


def _fold(function: Callable[[Any, Any], Any], values: Any) -> Any:
    first, *rest = values
    for value in rest:
        first = function(first, value)
    return first


def _previous(value: Any, starts: np.ndarray) -> np.ndarray:
    rows = np.broadcast_to(np.asarray(value, np.float64), starts.shape)
    return np.where(starts, rows, np.concatenate([rows[:1], rows[:-1]]))


# --- units -----------------------------------------------------------------------------------------------------------


def _unit(node: ast.expr, units: Mapping[str, Unit]) -> Unit | None:
    if (name := column_name(node)) is not None:
        return units.get(name)
    if isinstance(node, ast.BinOp):
        return _unit_of_operation(node, units)
    if isinstance(node, ast.UnaryOp):
        found = _unit(node.operand, units)
        return None if isinstance(node.op, ast.Not) else found
    if isinstance(node, ast.Compare):
        _same([node.left, *node.comparators], units)
        return None
    if isinstance(node, ast.BoolOp):
        for one in node.values:
            _unit(one, units)
        return None
    return _unit_of_call(node, units) if isinstance(node, ast.Call) else None


def _unit_of_operation(node: ast.BinOp, units: Mapping[str, Unit]) -> Unit | None:
    if isinstance(node.op, ast.Add | ast.Sub | ast.Mod):
        return _same([node.left, node.right], units)
    left, right = _unit(node.left, units), _unit(node.right, units)
    if isinstance(node.op, ast.Pow):
        whole = isinstance(node.right, ast.Constant) and isinstance(node.right.value, int) and node.right.value < 10
        return left.power(int(ast.literal_eval(node.right))) if left is not None and whole else None
    if left is None or right is None:  # a number may carry a unit of its own, as seconds in 0.1 * speed
        return None
    return left * right if isinstance(node.op, ast.Mult) else left / right


def _unit_of_call(node: ast.Call, units: Mapping[str, Unit]) -> Unit | None:
    name = ast.unparse(node.func)
    if name in ("min", "max", "clip", "hypot"):
        return _same(node.args, units)
    if name == "where":
        _unit(node.args[0], units)
        return _same(node.args[1:], units)
    found = _unit(node.args[0], units)
    if name == "sqrt":
        return None if found is None else found.root()
    return None if name in ("sin", "cos") else found


def _same(nodes: list[ast.expr], units: Mapping[str, Unit]) -> Unit | None:
    """The one unit of parts that are added, compared or chosen from."""
    known = [(node, found) for node in nodes if (found := _unit(node, units)) is not None]
    for node, found in known[1:]:
        first, unit = known[0]
        if not unit.equals(found):
            what = "one unit" if unit.is_kind_of(found) else "units of one kind"
            raise ConfigError(
                f"expected {what}, found {ast.unparse(first):.60} in {unit.text} and {ast.unparse(node):.60} in "
                f"{found.text}"
            )
    return known[0][1] if known else None
