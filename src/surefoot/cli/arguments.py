"""The words of a command line against the fields of its options: unknown options, lacking values and words too many are
all found before the parser of options, which would stop at the first of them."""

import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from surefoot.cli.flags import Option, accepted_flags, is_flag, leaves
from surefoot.ranges import shown
from surefoot.words import expected_words, words_after


class Checked(NamedTuple):
    """What is to be said of the words of a command line."""

    faults: list[str]
    """One sentence each, without its full stop."""
    words: list[str]
    """Those that the parser of options can take."""
    complete: bool
    """Whether all that must be given is among them."""


def check_words(
    kind: Any,
    arguments: Sequence[str],
    *,
    command: str,
    default: Any = None,
    elsewhere: dict[str, str] | None = None,
) -> Checked:
    """Compare the words with the fields of the options dataclass `kind`. `default`: an instance of it, where fields
    have other defaults than their own. `elsewhere`: names that are no options here, and what is to be said of each.

    What holds a bare `--`, or an option of the parser itself, is left to the parser.
    """
    if "--" in arguments or any(word.startswith("--tyro-") for word in arguments[:1]):
        return Checked([], list(arguments), complete=True)
    options = list(leaves(kind))
    scan = _Scan(options, default, command, elsewhere or {})
    scan.read(list(arguments))
    lacking = [option for option in options if option.required(default) and option.path not in scan.given]
    in_place = [option for option in options if option.positional]
    if not any(option.declared.variadic for option in in_place):
        scan.settle_bare(len(in_place))
    filled = {option.path for option in in_place[: len(scan.bare)]}
    lacking = [option for option in lacking if option.path not in filled]
    for option in lacking:
        if not (option.positional and scan.uncertain) and option.path not in scan.empty:
            scan.faults.append(f"{option.name}: expected {expected_words(option.declared)}, found none")
    return Checked(scan.faults, scan.kept, complete=not lacking)


@dataclass
class _Scan:
    """One way through the words."""

    options: Sequence[Option]
    default: Any
    command: str
    elsewhere: dict[str, str]
    faults: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    bare: list[str] = field(default_factory=list)
    """Words that no flag takes."""
    given: set[str] = field(default_factory=set)
    """Paths of options whose flags have their values."""
    empty: set[str] = field(default_factory=set)
    """Paths of options whose flags have none, or were misspelled."""
    uncertain: bool = False
    """Whether words were dropped that may have been meant for another option."""

    def read(self, rest: list[str]) -> None:
        """Place all words."""
        known = accepted_flags(self.options, self.default)
        while rest:
            word = rest.pop(0)
            if not is_flag(word):
                self.bare.append(word)
                self.kept.append(word)
                continue
            name, equals, value = word.partition("=")
            option = known.get(name.replace("_", "-"))
            if option is None:
                self._unknown(name, rest if not equals else [], known)
            elif option.declared.kinds == (bool,):
                self._switch(option, word, [value] if equals else [])
            else:
                self._values(option, word, [value] if equals else [], rest)

    def _unknown(self, name: str, rest: list[str], known: Mapping[str, Option]) -> None:
        """Say which are near, or where it belongs. The words after it are those of the option that was meant, as far as
        can be told."""
        if (why := self.elsewhere.get(name.lstrip("-").replace("-", "_"))) is not None:
            self.faults.append(f"{name}: {why}")
            _take(rest, math.inf)
            return
        bare = {flag.lstrip("-"): flag for flag in known}
        near = [bare[match] for match in difflib.get_close_matches(name.lstrip("-"), bare, n=3, cutoff=0.6)]
        hint = f"did you mean {' or '.join(near)}?" if near else f"surefoot {self.command} --help shows all"
        self.faults.append(f"unknown option {shown(name)}; {hint}")
        dropped = _take(rest, words_after(known[near[0]].declared) if near else 1)
        self.empty |= {known[flag].path for flag in near[:1]}
        self.uncertain |= bool(dropped) or not near

    def _switch(self, option: Option, word: str, values: list[str]) -> None:
        """A truth value, which takes no word."""
        if values:
            self.faults.append(f"{word.partition('=')[0]}: expected no value, found {shown(values[0])}")
        elif not (option.value(self.default) is True and not option.pairs and word == option.flag):
            self.kept.append(word)  # else it has been said already, and the parser knows the contrary only

    def _values(self, option: Option, word: str, values: list[str], rest: list[str]) -> None:
        attached = len(values)
        values += _take(rest, words_after(option.declared) - attached)
        listing = option.declared.variadic and option.declared.length is None
        needed = option.fewest(self.default) if listing else words_after(option.declared)
        if len(values) < needed:
            found, expected = f"{len(values)}" if values else "none", expected_words(option.declared)
            expected = f"at least one {expected.removeprefix('a ')}" if listing else expected
            self.faults.append(f"{option.flag}: expected {expected}, found {found}")
            self.empty.add(option.path)
            return
        self.given.add(option.path)
        self.kept += [word, *values[attached:]]

    def settle_bare(self, most: int) -> None:
        """Refuse the words that are more than the options without a flag."""
        for word in reversed(self.bare[most:]):
            if not self.uncertain:
                self.faults.append(f"expected no further word, found {shown(word)}")
            last = len(self.kept) - 1 - self.kept[::-1].index(word)
            del self.kept[last]


def _take(rest: list[str], most: float) -> list[str]:
    """The words before the next flag, at most so many; they are taken away."""
    taken: list[str] = []
    while rest and len(taken) < most and not is_flag(rest[0]):
        taken.append(rest.pop(0))
    return taken
