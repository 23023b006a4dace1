"""Key figures against their targets, and a sentence on those that are met."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from surefoot.text import listed

FEWEST_EPISODES = 20
"""Episodes below which a target on episodes cannot count as met."""


@dataclass(frozen=True)
class KeyFigure:
    """One line of the table of key figures, ready to print."""

    name: str
    reached: str
    target: str
    """Target in words; empty where there is none."""
    met: bool | None
    """None without a target, or where too few episodes support a met one."""
    is_return: bool = False
    """Whether it measures what the agent achieves; a target on costs is met by standing still."""
    seeds: str = ""
    """Range over the training seeds; empty for a single one."""


def verdict(figures: Sequence[KeyFigure]) -> str:
    """Sentence on the targets that are met, and those that are not.

    There is no verdict with few episodes, nor where no target is on the return.
    """
    judged = [figure for figure in figures if figure.met is not None]
    open_ones = [figure for figure in figures if figure.met is None and figure.target]
    missed = [figure for figure in judged if not figure.met]
    count = len(judged) + len(open_ones)
    if not count:
        return "This run holds no figure that has a target."
    needed = f"{len(open_ones)} of {count} targets can be judged from {FEWEST_EPISODES} episodes on"
    if missed:
        named = [
            f"{figure.name[:1].lower()}{figure.name[1:]} ({figure.reached}, target {figure.target})"
            for figure in missed
        ]
        rest = f"; {needed}" if open_ones else ""
        return f"{len(judged) - len(missed)} of {count} targets are met; not met: {listed(named)}{rest}."
    if open_ones:
        return f"No verdict: {needed}."
    if not any(figure.is_return for figure in judged):
        returns = [f" ({figure.name[:1].lower()}{figure.name[1:]} {figure.reached})" for figure in figures
                   if figure.is_return]  # fmt: skip
        kept = "its only target" if count == 1 else f"its {count} targets"
        return f"No verdict: the run keeps {kept}, but none is on the return{''.join(returns)}."
    return f"All {count} targets are met." if count > 1 else "The only target of this run is met."


def all_are_met(figures: Sequence[KeyFigure]) -> bool | None:
    """Whether all targets are met; None where there is no verdict."""
    if any(figure.met is False for figure in figures):
        return False
    return True if verdict(figures).endswith(("are met.", "is met.")) else None


def judged_by(figure: KeyFigure, episodes: object, *, is_return: bool = False) -> KeyFigure:
    """A key figure by its number of episodes: met from `FEWEST_EPISODES` on, missed with any number.

    Args:
        figure: The figure.
        episodes: Number of episodes.
        is_return: Whether it measures the return.

    Returns:
        The figure.
    """
    few = isinstance(episodes, int) and episodes < FEWEST_EPISODES
    return replace(figure, is_return=is_return, met=None if few and figure.met else figure.met)
