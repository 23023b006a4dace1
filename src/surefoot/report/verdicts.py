"""Key figures against their targets, and the sentence that says which of them are met."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from surefoot.text import listed

FEWEST_EPISODES = 20
"""Fewer do not show that a target on episodes is met."""


@dataclass(frozen=True)
class KeyFigure:
    """One line of the table of key figures, ready to print."""

    name: str
    reached: str
    target: str
    """Empty where there is none."""
    met: bool | None
    """None where there is no target, or where too few episodes speak for one that would be met."""
    is_return: bool = False
    """Whether it says what the agent achieves; a target on costs is met by standing still."""
    seeds: str = ""
    """From the lowest to the highest of the training seeds; empty where it is not of several."""


def verdict(figures: Sequence[KeyFigure]) -> str:
    """One sentence: how many of the targets are met, and which are not. No agent is judged good by few episodes, nor
    where no target is on its return."""
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
    """Whether the verdict is that all targets are met; None where there is no verdict."""
    if any(figure.met is False for figure in figures):
        return False
    return True if verdict(figures).endswith(("are met.", "is met.")) else None


def judged_by(figure: KeyFigure, episodes: object, *, is_return: bool = False) -> KeyFigure:
    """A figure that so many episodes speak for: met from `FEWEST_EPISODES` on, missed by however few."""
    few = isinstance(episodes, int) and episodes < FEWEST_EPISODES
    return replace(figure, is_return=is_return, met=None if few and figure.met else figure.met)
