"""What is suspicious but plausible: a warning on stderr, or an error where the user asked for strictness."""

from collections.abc import Iterable

from surefoot.cli.terminal import warn
from surefoot.errors import ConfigError


def remark(sentences: Iterable[str], *, strict: bool) -> None:
    """Print each sentence as a warning on stderr.

    Raises:
        ConfigError: Where `strict` is set and there is at least one; it names all.
    """
    found = [sentence.rstrip(".") for sentence in sentences]
    if strict and found:
        raise ConfigError(f"{'; '.join(found)} (an error because of --strict).")
    for sentence in found:
        warn(f"{sentence}.")
