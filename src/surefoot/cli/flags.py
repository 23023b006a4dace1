"""Fields of options and hyper-parameters as flags: faults are found in all of the arguments before anything is made of
them, and called by their flags."""

import dataclasses
import math
import types
import typing
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import tyro
from tyro.constructors import ConstructorRegistry, StructConstructorSpec, StructFieldSpec, StructTypeInfo

from surefoot.errors import ConfigError, Fault, flag
from surefoot.ranges import Declared, declared_fields, fault_of, shown


class Numeric(typing.NamedTuple):
    """A flag that takes numbers."""

    owner: Any
    """The dataclass that the field is of."""
    name: str
    """The field's name there."""
    path: str
    """As the flag has it: "guide.cost_weight"."""
    declared: Declared


def numeric_flags(kind: Any, *, prefix: str = "") -> dict[str, Numeric]:
    """The flags of an options dataclass that take numbers, those of nested hyper-parameters too: "--guide.steps" -> its
    field."""
    return {flag(found.path): found for found in _fields(kind, prefix) if found.declared.numeric}


def _fields(kind: Any, prefix: str) -> Iterator[Numeric]:
    """All fields of a dataclass and of the dataclasses in it; of each of several subcommands' options."""
    if typing.get_origin(kind) is typing.Annotated:
        kind = kind.__origin__
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        for option in typing.get_args(kind):
            yield from _fields(option, prefix)
        return
    if not dataclasses.is_dataclass(typing.get_origin(kind) or kind):
        return
    origin = typing.get_origin(kind) or kind
    filled: dict[Any, Any] = dict(zip(getattr(origin, "__parameters__", ()), typing.get_args(kind), strict=False))
    unprefixed = {name for name, hint in typing.get_type_hints(origin, include_extras=True).items() if _unnamed(hint)}
    for name, declared in declared_fields(origin).items():
        yield Numeric(origin, name, f"{prefix}{name}", declared)
        for part in declared.kinds:
            inner = filled.get(part, part)
            if dataclasses.is_dataclass(inner):
                yield from _fields(inner, prefix if name in unprefixed else f"{prefix}{name}.")


def _unnamed(hint: Any) -> bool:
    """Whether a nested dataclass' flags carry no prefix: `Annotated[..., tyro.conf.arg(name="")]`."""
    return any(note == tyro.conf.arg(name="") for note in getattr(hint, "__metadata__", ()))


def ranges_in_help() -> ConstructorRegistry:
    """Let the help of a flag end with the range of its numbers, where that says more than its type."""
    registry, inside = ConstructorRegistry(), []

    @registry.struct_rule
    def rule(info: StructTypeInfo) -> StructConstructorSpec | None:
        if inside or not dataclasses.is_dataclass(info.type):
            return None
        inside.append(info)  # what follows asks this rule again
        try:
            spec = ConstructorRegistry.get_struct_spec(info)
        finally:
            inside.pop()
        if not isinstance(spec, StructConstructorSpec):
            return None
        declared = declared_fields(info.type)
        return dataclasses.replace(spec, fields=tuple(_with_range(one, declared.get(one.name)) for one in spec.fields))

    return registry


def _with_range(field: StructFieldSpec, declared: Declared | None) -> StructFieldSpec:
    if declared is None or declared.range is None:
        return field
    text, words = field.helptext, declared.range.words(whole=float not in declared.kinds)

    def with_words() -> str:  # later: texts are parsed where help is asked for
        return f"{(text() if callable(text) else text) or ''} {words}".strip()

    return dataclasses.replace(field, helptext=with_words)


def check_arguments(kind: Any, arguments: Sequence[str]) -> None:
    """Raise `ConfigError`, which names all of them by their flags, where numbers in the arguments lie outside of the
    ranges that the fields of `kind` declare."""
    if found := argument_faults(kind, arguments):
        raise ConfigError("; ".join(f"{name}: {sentence}" for name, sentence in found) + ".")


def argument_faults(kind: Any, arguments: Sequence[str]) -> list[tuple[str, str]]:
    """The flags whose values in the arguments are no numbers or lie outside of the ranges that the fields of `kind`
    declare, with what is wrong. Flags without a value, or with another number of them, are left to the parser."""
    known = numeric_flags(kind)
    found: list[tuple[str, str]] = []
    for name, words in _given(arguments, known):
        declared = known[name].declared
        assert declared.range is not None, f"{name} declares no range"
        whole = float not in declared.kinds
        for word in words[: None if declared.variadic else 1]:  # others are not the flag's
            value = _number(word, whole=whole)
            if value is None:
                known_word = not {int, float}.issuperset(declared.kinds) or (declared.optional and word == "None")
                sentence = None if known_word else f"expected a {'whole ' if whole else ''}number, found {shown(word)}"
            else:
                sentence = fault_of(value, declared.range, whole=whole)
            if sentence is not None:
                found.append((name, sentence))
                break
    return found


def without_flags(kind: Any, arguments: Sequence[str], names: Collection[str]) -> list[str]:
    """The arguments of a command without some of its flags and their values."""
    values = {flag(found.path): _words(found.declared) for found in _fields(kind, "")}
    kept, skipped = [], 0.0
    for argument in arguments:
        if argument.startswith("--"):
            name, equals, _ = argument.partition("=")
            name = _plain(name)
            dropped = name in names and name in values
            skipped = 0.0 if equals or not dropped else values[name]
            kept += [] if dropped else [argument]
        elif skipped > 0:
            skipped -= 1
        else:
            kept.append(argument)
    return kept


def given_flags(arguments: Sequence[str]) -> set[str]:
    """The flags that a command line names, --no-x as --x."""
    return {_plain(argument.partition("=")[0]) for argument in arguments if argument.startswith("--")}


def _plain(name: str) -> str:
    """A flag as its field calls it: --a.no-x is --a.x."""
    head, dot, last = name.replace("_", "-").removeprefix("--").rpartition(".")
    return f"--{head}{dot}{last.removeprefix('no-')}"


def _words(declared: Declared) -> float:
    """How many words follow a flag; infinity where any number may."""
    if declared.kinds == (bool,):
        return 0
    if declared.variadic is None:
        return 1
    return math.inf if declared.length is None else declared.length


def _given(arguments: Sequence[str], known: dict[str, Any]) -> Iterator[tuple[str, list[str]]]:
    """The known flags among the arguments, each with the words after it."""
    name, words = "", []
    for argument in [*arguments, "--"]:
        if not argument.startswith("--"):
            words.append(argument)
            continue
        if name in known:
            yield name, words
        name, equals, value = argument.partition("=")
        name, words = name.replace("_", "-"), [value] if equals else []


def _number(word: str, *, whole: bool) -> int | float | None:
    try:
        return int(word) if whole else float(word)
    except ValueError:
        return None


def flags_of(fault: Fault, kind: Any, arguments: Sequence[str]) -> tuple[list[str], set[str]]:
    """The flags of the field that a fault is of, those that were given where a class is there more than once; and the
    flags of the fields that it does not go with."""
    places = [one for one in _fields(kind, "") if one.name == fault.field and issubclass(fault.kind, one.owner)]
    given = given_flags(arguments)
    names = [flag(place.path) for place in places]
    return [name for name in names if name in given] or names or [flag(fault.name)], {flag(one) for one in fault.others}
