"""Which of FISOR's options go together, and which go without rewards."""

import dataclasses
from typing import Any

from surefoot.errors import ConfigError
from surefoot.ranges import Relations

EXTRACTIONS = {"maxq": "minqc", "feasible_first": "first_feasible"}
"""Choices by Q_r -> what takes their place without it."""


def check_combinations(config: Any) -> None:
    """Raise `FieldError` with all faults where fields of a `FISOR` do not go with each other."""
    with Relations() as relations:
        _check_combinations(config, relations)


def _check_combinations(config: Any, relations: Relations) -> None:
    drawn = config.policy_batch_size * config.policy_steps
    sentence = (
        f"expected at most policy_steps * policy_batch_size = {drawn} in joint training, "
        f"found {config.value_batch_size}"
    )
    joint = config.schedule == "joint"
    others = ("policy_batch_size", "policy_steps", "schedule")
    relations.check(config, not joint or config.value_batch_size <= drawn, "value_batch_size", sentence, others=others)
    if not config.reward_values:
        ways = {"weighting": ("imitation", "behaviour_cloning"), "extraction": ("minqc", "first_feasible")}
        for name, known in ways.items():
            found = getattr(config, name)
            sentence = f"expected {' or '.join(known)} without reward values, found {found}"
            relations.check(config, found in known, name, sentence, others=["reward_values"])
    for name in ("weight_quantile", "margin_quantile"):
        share = getattr(config.scaling, name)
        sentence = f"expected 0 in joint training, where V_h is never finished before the policy, found {share:g}"
        good = not joint or share == 0
        relations.check(config.scaling, good, name, sentence, part="scaling", others=["schedule"])
    plain = {"value_targets": "backup", "recovery": "none", "advantage": "critic"}
    for name, wanted in plain.items():
        found = getattr(config, name)
        good = found == wanted or not joint
        sentence = f"expected {wanted} in joint training, found {found}"
        relations.check(config, good, name, sentence, others=["schedule"])
        good = found == wanted or name == "recovery" or config.critic == "hj"
        sentence = f"expected {wanted} with critics of costs (qc), found {found}"
        relations.check(config, good, name, sentence, others=["critic"])


def without_rewards(config: Any) -> tuple[Any, list[str]]:
    """A `FISOR` for data without rewards, and, a sentence each, which options cannot be kept.

    Raises `ConfigError` where the weights need rewards.
    """
    if config.weighting == "feasibility":
        raise ConfigError(
            "weighting: expected imitation or behaviour_cloning for data without rewards, found feasibility."
        )
    extraction = EXTRACTIONS.get(config.extraction, config.extraction)
    told = f"extraction {config.extraction} chooses by reward values, of which there are none; {extraction} is taken"
    changed = dataclasses.replace(config, reward_values=False, extraction=extraction)
    return changed, [told] if extraction != config.extraction else []
