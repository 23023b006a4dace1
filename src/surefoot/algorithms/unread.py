"""Hyper-parameters that training and acting do not read because of other ones, and learning that is left out.

Left out here are sizes and numbers of updates, whose parts another schedule or form lacks, and what an evaluation may
change (`extraction`, `margin` and the like); their own descriptions say when they are read.
"""

from surefoot.algorithms.bc import BC
from surefoot.algorithms.bc_multi_task import MultiTaskBC
from surefoot.algorithms.bcq_lag import BCQLag
from surefoot.algorithms.bear_lag import BEARLag
from surefoot.algorithms.fisor import FISOR
from surefoot.algorithms.fosp import FOSP
from surefoot.algorithms.one_step_flow import OneStepFlow
from surefoot.algorithms.safedreamer import SafeDreamer
from surefoot.algorithms.trebi import TREBI
from surefoot.diffusion.policy import DiffusionPolicyConfig
from surefoot.hyperparameters import flat
from surefoot.protocols import Algorithm

Reasons = dict[str, str]
"""Field, as "guide.scale" -> what it is not read with, in words. A whole nested configuration by its own name."""


def unread(algorithm: Algorithm) -> Reasons:
    """The hyper-parameters of an algorithm that nothing reads, and why.

    Args:
        algorithm: Algorithm with its hyper-parameters.

    Returns:
        Field -> reason in words; empty for an algorithm that is not known here.
    """
    match algorithm:
        case FISOR():
            return _fisor(algorithm) | _diffusion(algorithm.diffusion)
        case OneStepFlow():
            named = _all("a student in place of a diffusion policy", "diffusion", "safer_step")
            return _fisor(algorithm.fisor) | named
        case MultiTaskBC():
            return unread(algorithm.cloning)
        case BC(policy_network="deterministic"):
            return _all("policy_network deterministic", "diffusion")
        case BC():
            return _all("policy_network diffusion", "hidden", "learning_rate") | _diffusion(algorithm.diffusion)
        case FOSP():
            return _fosp(algorithm)
        case SafeDreamer():
            return _safedreamer(algorithm)
        case TREBI():
            return _trebi(algorithm)
        case BCQLag() | BEARLag() if algorithm.training.reference_code:
            return _all("reference_code True", "gains.smoothing", "gains.most")
    return {}


def _fisor(config: FISOR) -> Reasons:
    found: Reasons = {}
    constraint, returns, scaling = config.constraint, config.by_returns, config.scaling
    if config.schedule == "joint":
        found |= _all("schedule joint", "constraint_discount_start", "value_final_learning_rate")
    else:
        found |= _all("schedule decoupled", "policy_steps")
    if returns.value_targets == "returns":
        found |= _all("value_targets returns", "trajectory_bound", "value_bound")
    else:
        found |= _all("value_targets backup", "returns.refresh_interval", "returns.cost_expectile")
        if returns.advantage == "critic":
            found |= _all("value_targets backup and advantage critic", "returns.mixing")
    if returns.advantage == "critic":
        found |= _all("advantage critic", "returns.largest_weight")
    else:
        found |= _all("advantage return", "scaled_advantages")
    if returns.recovery == "none":
        found |= _all("recovery none", "returns.cost_expectile")
    if constraint.critic == "qc":
        names = ("constraint_discount", "constraint_discount_start", "trajectory_bound", "value_bound")
        found |= _all("critic qc", *names, "count_state_left", "scaling.constraint")
    else:
        found |= _all("critic hj", "horizon")
        if config.beyond.margin_over == "safe":
            found |= _all("critic hj and margin_over safe", "cost_limit")
    if scaling.margin_quantile == 0:
        found |= _all("scaling.margin_quantile 0", "margin_over")
    if config.weighting == "behaviour_cloning":
        names = ("reward_temperature", "constraint_temperature", "weight_margin", "scaled_advantages", "advantage")
        found |= _all("weighting behaviour_cloning", *names, "scaling.weight_quantile")
    if not config.values.reward_values:
        found |= _all("reward_values False", "expectile")
    return found


def _diffusion(config: DiffusionPolicyConfig) -> Reasons:
    if config.sampler == "ddpm":
        return {}
    names = ("beta_schedule", "extra_last_steps", "noise_temperature")
    return _all("diffusion.sampler dpm_solver", *(f"diffusion.{name}" for name in names))


def _fosp(config: FOSP) -> Reasons:
    found: Reasons = {}
    if config.reach.reachability != "hj":
        found |= _all(f"reachability {config.reach.reachability}", "reach_expectile")
    if config.extraction.actor_mode == "backprop":
        found |= _all("actor_mode backprop", "reward_temperature", "cost_temperature")
        if config.critics.reference_code:
            found |= _all("reference_code and actor_mode backprop", "weighting")
    elif config.extraction.weighting != "feasibility":
        found |= _all(f"weighting {config.extraction.weighting}", "cost_temperature")
        if config.extraction.weighting == "cloning":
            found |= _all("weighting cloning", "reward_temperature")
    if not config.extraction.constrain:
        found |= _all("constrain False", "cost_limit", "pessimistic", "lagrangian")
    return found


def _safedreamer(config: SafeDreamer) -> Reasons:
    if config.form == "bsrp-lag":
        return _all("form bsrp-lag", "episode_cost_limit", "episode_steps", "pid")
    found = _all(f"form {config.form}", "lagrangian", "cost_limit", "pessimistic", "act_with")
    return found | (_all("form osrp", "pid") if config.form == "osrp" else {})


def _trebi(config: TREBI) -> Reasons:
    found: Reasons = {}
    if config.guide.steps == 0:
        names = ("kind", "cost_weight", "units", "scale", "actions_only")
        found |= _all("guide.steps 0", *(f"guide.{name}" for name in names))
    if config.sampler.kind != "ancestral":
        found |= _all(f"sampler.kind {config.sampler.kind}", "sampler.temperature")
    if config.margins.calibration_segments == 0:
        found |= _all("calibration_segments 0", "held_out_share")
    return found


def untrained(algorithm: Algorithm) -> Reasons:
    """Updates and calibrations that are left out although safety rests on them.

    Args:
        algorithm: Algorithm with its hyper-parameters.

    Returns:
        Field with no updates -> what that means, in words.
    """
    match algorithm:
        case FISOR(schedule="decoupled"):
            returns = algorithm.by_returns.value_targets == "returns"
            names = ("value_updates", "critic_updates") if returns else ("constraint_updates",)
            found = _all("nothing learns where the policy is safe", *(n for n in names if not flat(algorithm)[n]))
        case FOSP(schedule="decoupled") | SafeDreamer(schedule="decoupled"):
            found = (
                {} if algorithm.training.model_updates else _all("the world model stays as it began", "model_updates")
            )
        case TREBI():
            found = (
                {}
                if algorithm.training.value_updates
                else _all("plans are judged by untrained values", "value_updates")
            )
            if algorithm.margins.margin_level > 0 and not algorithm.margins.calibration_segments:
                found |= _all("margin_level has nothing to take a margin from", "calibration_segments")
            return found
        case _:
            return {}
    return (
        found if flat(algorithm)["policy_updates"] else found | _all("the policy stays as it began", "policy_updates")
    )


def _all(reason: str, *names: str) -> Reasons:
    return dict.fromkeys(names, reason)
