"""The options of a file against those of a command: each fault names file, line, key, expected and found."""

import difflib
import json
from collections.abc import Sequence
from typing import Any

from surefoot.cli.config_file import ConfigFile, FileOption
from surefoot.cli.flags import Option, accepted_flags, argument_faults, given_flags, leaves, with_todays_names
from surefoot.errors import flag
from surefoot.faults import Faults
from surefoot.words import expected_words, fits


def checked_config(
    kind: Any, words: list[str], config: ConfigFile, *, default: Any, elsewhere: dict[str, str], faults: Faults
) -> list[str]:
    """The words of a command without those of the file that cannot be used, which `faults` gathers; values of options
    that have no flag, by themselves. `elsewhere`: as in `check_words`."""
    options = list(leaves(kind))
    accepted = accepted_flags(options, default)
    for setting in config.settings:
        place = _place(words, setting.words)
        if place is None:
            continue
        now = setting._replace(words=tuple(with_todays_names(kind, setting.words)))
        option = next((one for one in options if setting.path in _paths(one)), None)
        sentence = _unknown(setting, options, elsewhere) if option is None else _fault(kind, now, option, default)
        kept: Sequence[str] = now.words
        if sentence is not None:
            faults.add(config.sentence(setting, sentence))
            faults.flags.add(flag(setting.path))
            kept = ()
        elif option is not None and now != setting and option.flag in given_flags(words):
            kept = ()  # the command line has it by the name of now
        elif option is not None and option.positional:
            kept = now.words[1:]
        elif now.value is False and now.words[0] not in accepted:
            kept = ()  # what is off cannot be turned off
        words = [*words[:place], *kept, *words[place + len(setting.words) :]]
    return words


def _paths(option: Option) -> set[str]:
    """The paths of an option as keys of a file name it, that of now and the former one."""
    return {path.replace("_", "-") for path in (option.path, option.former)}


def _place(words: Sequence[str], part: Sequence[str]) -> int | None:
    """Where some words stand among others."""
    starts = range(len(words) - len(part) + 1)
    return next((start for start in starts if tuple(words[start : start + len(part)]) == tuple(part)), None)


def _unknown(setting: FileOption, options: Sequence[Option], elsewhere: dict[str, str]) -> str:
    if (why := elsewhere.get(setting.path.replace("-", "_"))) is not None:
        return why
    known = [option.path.replace("-", "_") for option in options]
    near = difflib.get_close_matches(setting.path.replace("-", "_"), known, n=3, cutoff=0.6)
    return f"expected {' or '.join(near) if near else 'the name of an option'}, found a key of that name"


def _fault(kind: Any, setting: FileOption, option: Option, default: Any) -> str | None:
    """What is wrong with a value; None where nothing is."""
    declared, value = option.declared, setting.value
    values = value if isinstance(value, list) else [value]
    several = declared.variadic is not None
    counted = declared.length in (None, len(values)) if several else not isinstance(value, list)
    counted &= bool(values) or not option.fewest(default)
    if not counted or not all(fits(one, declared.kinds) for one in values):
        return f"expected {_expected(option)}, found {json.dumps(value, default=str):.60}"
    return next((sentence for _, sentence in argument_faults(kind, setting.words)), None)


def _expected(option: Option) -> str:
    if option.declared.kinds == (bool,):
        return "true or false"
    one = "text in quotes" if option.declared.kinds == (str,) else expected_words(option.declared)
    return f"a list, each {one}" if option.declared.variadic is not None and option.declared.length is None else one
