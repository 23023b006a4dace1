"""Fields of options and hyper-parameters as flags: faults are found in all of the arguments before anything is made of
them, and called by their flags."""

import dataclasses
import typing
from collections.abc import Collection, Iterator, Sequence
from typing import Annotated, Any

import tyro
from tyro.constructors import ConstructorRegistry, StructConstructorSpec, StructFieldSpec, StructTypeInfo

from surefoot.cli.config_file import negated, without_negation
from surefoot.cli.terminal import warn
from surefoot.errors import Fault, flag
from surefoot.hyperparameters import is_renamed
from surefoot.ranges import Declared, declared_fields
from surefoot.routes import POSITIONAL, SWITCH
from surefoot.types import FORMERLY, GROUP
from surefoot.words import known_words, number_of, word_fault, words_after


class Option(typing.NamedTuple):
    """A field of options or hyper-parameters as the command line has it."""

    owner: Any
    """The dataclass that the field is of."""
    field: str
    """The field's name there."""
    path: str
    """As the flag has it: "guide.cost_weight"."""
    declared: Declared
    positional: bool
    """Whether it is given by its place, without a flag."""
    pairs: bool
    """Whether `--no-x` is there beside `--x`, where it is a truth value."""
    former: str
    """Its path under the field's former name; empty where it had none."""

    @property
    def flag(self) -> str:
        """Its flag."""
        return flag(self.path)

    @property
    def name(self) -> str:
        """As sentences call it."""
        return self.path if self.positional else self.flag

    def value(self, default: Any) -> Any:
        """What it is where it is not given: as in `default`, where that is of its dataclass."""
        if isinstance(default, self.owner):
            return vars(default)[self.field]
        (found,) = (field for field in dataclasses.fields(self.owner) if field.name == self.field)
        return found.default if found.default_factory is dataclasses.MISSING else found.default_factory

    def fewest(self, default: Any) -> int:
        """How many words the flag of a list takes at least: none only where the list is not empty by default."""
        return int(not self.value(default))

    def required(self, default: Any) -> bool:
        """Whether it must be given."""
        lacking = self.value(default) in (dataclasses.MISSING, tyro.MISSING)
        return lacking and (self.declared.variadic is None or self.declared.length is not None or not self.positional)


def leaves(kind: Any) -> Iterator[Option]:
    """All options of a dataclass and of the dataclasses in it."""
    for found in _fields(kind, ""):
        if not any(isinstance(part, typing.TypeVar) or dataclasses.is_dataclass(part) for part in found.declared.kinds):
            yield found


def _fields(kind: Any, prefix: str) -> Iterator[Option]:
    """All fields of a dataclass and of the dataclasses in it, those themselves as well."""
    origin = typing.get_origin(kind) or kind
    filled: dict[Any, Any] = dict(zip(getattr(origin, "__parameters__", ()), typing.get_args(kind), strict=False))
    hints = typing.get_type_hints(origin, include_extras=True)
    metadata = {field.name: field.metadata for field in dataclasses.fields(origin)}
    for name, declared in declared_fields(origin).items():
        notes = getattr(hints[name], "__metadata__", ())
        called = next(filter(None, map(_renamed, notes)), name)
        pairs = tyro.conf.FlagCreatePairsOff not in notes and SWITCH not in notes
        positional = tyro.conf.Positional in notes or POSITIONAL in notes
        former = f"{prefix}{metadata[name][FORMERLY]}" if FORMERLY in metadata[name] else ""
        yield Option(origin, name, f"{prefix}{called}", declared, positional, pairs, former)
        for part in declared.kinds:
            inner = filled.get(part, part)
            if dataclasses.is_dataclass(typing.get_origin(inner) or inner):
                unprefixed = tyro.conf.arg(name="") in notes or GROUP in metadata[name]
                yield from _fields(inner, prefix if unprefixed else f"{prefix}{called}.")


def _renamed(note: Any) -> str:
    """The name that `tyro.conf.arg(name=...)` gives a field; empty for another note."""
    kind: Any = type(tyro.conf.arg())
    return note.name or "" if isinstance(note, kind) else ""


def accepted_flags(options: Collection[Option], default: Any) -> dict[str, Option]:
    """Every flag that is known -> its option; `--no-x` among them where a truth value can be turned back."""
    found = {option.flag: option for option in options if not option.positional}
    for option in list(found.values()):
        if option.declared.kinds == (bool,) and (option.pairs or option.value(default) is True):
            found[negated(option.flag)] = option
    return found


def with_todays_names(kind: Any, arguments: Sequence[str], *, quietly: bool = False) -> list[str]:
    """The arguments with former names of flags replaced by those of now, and a warning for each unless `quietly`."""
    now = {flag(one.former): one.flag for one in leaves(kind) if one.former}
    found = []
    for word in arguments:
        name, equals, value = word.partition("=")
        called = now.get(without_negation(name), name) if name.startswith("--") else name
        if called != name and without_negation(name) != name.replace("_", "-"):
            called = negated(called)
        if called != name and not quietly:
            warn(is_renamed(name, called))
        found.append(f"{called}{equals}{value}")
    return found


def is_flag(word: str) -> bool:
    """Whether a word begins a flag, and is no negative number."""
    return word.startswith("--") or (
        word.startswith("-") and word[1:2].isalpha() and number_of(word, whole=False) is None
    )


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
        groups = {field.name for field in dataclasses.fields(info.type) if GROUP in field.metadata}
        fields = [_with_range(_as_noted(one, one.name in groups), declared.get(one.name)) for one in spec.fields]
        return dataclasses.replace(spec, fields=tuple(fields))

    return registry


def _as_noted(field: StructFieldSpec, group: bool) -> StructFieldSpec:
    """The field with what its notes say in tyro's words; flags in a group are called as its fields."""
    words = {POSITIONAL: tyro.conf.Positional, SWITCH: tyro.conf.FlagCreatePairsOff}
    notes = getattr(field.type, "__metadata__", ())
    found: list[Any] = [word for note, word in words.items() if note in notes]
    found += [tyro.conf.arg(name="")] if group else []
    noted: Any = field.type
    for word in found:
        noted = Annotated[noted, word]
    return dataclasses.replace(field, type=noted)


def _with_range(field: StructFieldSpec, declared: Declared | None) -> StructFieldSpec:
    if declared is None or declared.range is None:
        return field
    text, words = field.helptext, declared.range.words(whole=float not in declared.kinds)

    def with_words() -> str:  # later: texts are parsed where help is asked for
        return f"{(text() if callable(text) else text) or ''} {words}".strip()

    return dataclasses.replace(field, helptext=with_words)


def argument_faults(kind: Any, arguments: Sequence[str]) -> list[tuple[str, str]]:
    """The flags whose values in the arguments are no numbers, lie outside of the ranges or are none of the words that
    the fields of `kind` declare, with what is wrong. Flags without a value, or with another number of them, are left to
    others."""
    known = {option.flag: option for option in leaves(kind) if option.declared.numeric or known_words(option.declared)}
    found: list[tuple[str, str]] = []
    for name, words in _given(arguments, known):
        declared = known[name].declared
        taken = words[: int(min(words_after(declared), len(words)))]  # others are not the flag's
        sentences = (word_fault(word, declared) for word in taken if not (declared.optional and word == "None"))
        if (sentence := next(filter(None, sentences), None)) is not None:
            found.append((name, sentence))
    return found


def without_flags(kind: Any, arguments: Sequence[str], names: Collection[str]) -> list[str]:
    """The arguments of a command without some of its flags and their values."""
    values = {found.flag: words_after(found.declared) for found in _fields(kind, "")}
    kept, skipped = [], 0.0
    for argument in arguments:
        if argument.startswith("--"):
            name, equals, _ = argument.partition("=")
            name = without_negation(name)
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
    return {without_negation(argument.partition("=")[0]) for argument in arguments if argument.startswith("--")}


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


def flags_of(fault: Fault, kind: Any, arguments: Sequence[str]) -> tuple[list[str], set[str]]:
    """The flags of the field that a fault is of, those that were given where a class is there more than once; and the
    flags of the fields that it does not go with."""
    places = [one for one in _fields(kind, "") if one.field == fault.field and issubclass(fault.kind, one.owner)]
    given = given_flags(arguments)
    names = [place.flag for place in places]
    return [name for name in names if name in given] or names or [flag(fault.name)], {flag(one) for one in fault.others}
