"""`--config FILE`: options out of a TOML file, by the names of their flags. What the command line names wins.

The file's options take the place of the words `--config FILE`, so that whatever reads the command line reads them, too;
which options there are is only known later, and then the file is checked (`config_options`).
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from surefoot.errors import ConfigError, flag
from surefoot.tasks.toml_lines import line_of, read_toml

FLAG = "--config"


class FileOption(NamedTuple):
    """A key of the file, and the words that it stands for."""

    key: tuple[str, ...]
    value: Any
    words: tuple[str, ...]

    @property
    def path(self) -> str:
        """As options are called: "guide.cost-weight"."""
        return ".".join(self.key).replace("_", "-")


@dataclass(frozen=True)
class ConfigFile:
    """The options of a file that the command line does not name."""

    path: Path
    text: str
    settings: tuple[FileOption, ...]

    def sentence(self, setting: FileOption, fault: str) -> str:
        """A fault with file, line and key."""
        return f"{self.path}: line {line_of(self.text, setting.key) or 1}: {'.'.join(setting.key)}: {fault}"


_ACTIVE: ContextVar[ConfigFile | None] = ContextVar("config_file", default=None)


def active_config() -> ConfigFile | None:
    """The file of the command at work; None where there is none."""
    return _ACTIVE.get()


@contextmanager
def expanded(arguments: Sequence[str]) -> Iterator[list[str]]:
    """The words of a command with the options of its file among them. Raises `ConfigError`."""
    words, file = _split(list(arguments))
    if file is None:
        yield words
        return
    place, path = file
    given = {without_negation(word.partition("=")[0]) for word in words if word.startswith("--")}
    values, text = read_toml(path, what="options")
    settings = tuple(one for one in _settings(values, ()) if without_negation(flag(one.path)) not in given)
    token = _ACTIVE.set(ConfigFile(path, text, settings))
    try:
        yield [*words[:place], *(word for one in settings for word in one.words), *words[place:]]
    finally:
        _ACTIVE.reset(token)


def _split(words: list[str]) -> tuple[list[str], tuple[int, Path] | None]:
    """The words without `--config FILE`, and where they stood."""
    places = [place for place, word in enumerate(words) if word == FLAG or word.startswith(f"{FLAG}=")]
    if not places:
        return words, None
    if len(places) > 1:
        raise ConfigError(f"{FLAG}: expected one file, found {len(places)}.")
    (place,) = places
    _, equals, name = words[place].partition("=")
    rest = words[place + 1 :]
    if not equals:
        if not rest or rest[0].startswith("--"):
            raise ConfigError(f"{FLAG}: expected a TOML file of options, found none.")
        name, rest = rest[0], rest[1:]
    return [*words[:place], *rest], (place, Path(name))


def _settings(table: dict[str, Any], prefix: tuple[str, ...]) -> Iterator[FileOption]:
    for name, value in table.items():
        key = (*prefix, name)
        if isinstance(value, dict):
            yield from _settings(value, key)
        else:
            yield FileOption(key, value, tuple(_words(key, value)))


def _words(key: tuple[str, ...], value: Any) -> list[str]:
    called = flag(".".join(key))
    if isinstance(value, bool):
        return [called if value else negated(called)]
    return [called, *(map(_word, value) if isinstance(value, list) else [_word(value)])]


def _word(value: Any) -> str:
    return value if isinstance(value, str) else repr(value)


def negated(called: str) -> str:
    """The flag that turns a truth value back: --a.no-x for --a.x."""
    head, dot, last = called.removeprefix("--").rpartition(".")
    return f"--{head}{dot}no-{last}"


def without_negation(called: str) -> str:
    """A flag as its field calls it: --a.no-x is --a.x."""
    head, dot, last = called.replace("_", "-").removeprefix("--").rpartition(".")
    return f"--{head}{dot}{last.removeprefix('no-')}"
