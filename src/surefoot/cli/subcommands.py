"""Commands that hold further ones, as `surefoot data convert`: finding the one that is named, and what --help says."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from surefoot.cli.options import gathering, parse
from surefoot.cli.terminal import say_lines
from surefoot.errors import check_name


class Subcommand(NamedTuple):
    """One command in a command."""

    options: Any
    """The dataclass of its options, whose docstring begins with what it does; None where it reads its words itself."""
    work: Callable[..., None]
    """What it does with the options; with its words, where it reads them itself."""
    gathers: bool = False
    """Whether `work` also takes the names of the options `given`, and the `faults` so far."""
    description: str = ""
    """What it does, where that does not stand in its options' docstring."""

    @property
    def summary(self) -> str:
        """What it does, in a sentence or two."""
        return self.description or " ".join(self.options.__doc__.split("\n\n")[0].split())


def run_subcommand(
    group: str,
    commands: Mapping[str, Subcommand],
    arguments: Sequence[str],
    *,
    about: str = "",
    kind: str = "",
    noun: str = "command",
    usage: str = "",
) -> None:
    """Run the command of `surefoot GROUP` that the words name, or say which there are.

    Args:
        group: The command that holds them.
        commands: Name -> command.
        arguments: The words after the group's.
        about: What the commands are about, a sentence.
        kind: What an unknown name is called; by default a command of the group.
        noun: What one of them is.
        usage: Words between its name and its options.
    """
    name, rest = (arguments[0], list(arguments[1:])) if arguments else ("--help", [])
    if name in ("-h", "--help"):
        width = max(map(len, commands))
        lines = [f"usage: surefoot {group} {noun.upper()} {usage}[options]", ""]
        lines += [about, ""] if about else []
        lines += [f"{noun}s:", *(f"  {one:<{width}}  {command.summary}" for one, command in commands.items())]
        say_lines("\n".join([*lines, "", f"  surefoot {group} {noun.upper()} --help  shows a {noun}'s options"]))
        return
    command, words = commands[check_name(kind or f"{group} command", name, commands)], f"{group} {name}"
    if command.options is None:
        command.work(rest)
    elif not command.gathers:
        command.work(parse(command.options, rest, command=words))
    else:
        with gathering(command.options, rest, command=words) as (options, given, faults):
            command.work(options, given=given, faults=faults)
