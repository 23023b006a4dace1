"""Tiny variants of the baselines for the conformance suite."""

from typing import Any

from surefoot.algorithms.bc import BC
from surefoot.algorithms.bc_multi_task import MultiTaskBC
from surefoot.algorithms.bcq_lag import BCQLag
from surefoot.algorithms.bcrl import BCRL
from surefoot.algorithms.bear_lag import BEARLag, SupportConfig
from surefoot.algorithms.cdt import CDT
from surefoot.algorithms.coptidice import COptiDICE
from surefoot.algorithms.cpq import CPQ
from surefoot.algorithms.one_step_flow import OneStepFlow, StudentConfig
from surefoot.hyperparameters import change
from surefoot.nn import VAEConfig
from surefoot.nn.transformer import TransformerConfig
from surefoot.presets.baselines import BEAR_LAG_PRESETS, CPQ_PRESETS

_SIZES: dict[str, Any] = {
    "updates": 20, "batch_size": 8, "hidden": (8,), "vae": VAEConfig(hidden=8), "cost_limit": 1.0, "horizon": 10,
}  # fmt: skip
_SUPPORT = SupportConfig(num_samples=3)
_CLONING: dict[str, Any] = {
    "policy_network": "deterministic", "policy_updates": 20, "policy_batch_size": 8, "hidden": (8,),
}  # fmt: skip
_SEQUENCES: dict[str, Any] = {
    "policy_updates": 20, "policy_batch_size": 8, "window": 4,
    "network": TransformerConfig(width=8, blocks=1, heads=2, dropout=0.1),
}  # fmt: skip
_FEW: dict[str, Any] = {"updates": 20, "batch_size": 8, "hidden": (8,)}

BASELINES: dict[str, Any] = {
    "bcrl": BCRL(**_FEW),
    "bcrl-stochastic": change(BCRL(**_FEW), form="stochastic", budget_margin=0.5),
    "cdt": CDT(**_SEQUENCES),
    "cdt-legacy": change(
        CDT(**_SEQUENCES, state_weight=0.1),
        return_unit=10.0,
        cost_token="remainder",
        cost_class="truncated",
        entropy_over="mean",
        draw="inverse",
        warm_up=0,
        augment_share=0.5,
    ),
    "coptidice": change(COptiDICE(**_FEW), cost_limit=2.0, horizon=10),
    "coptidice-legacy": change(
        COptiDICE(**_FEW),
        cost_limit=2.0,
        horizon=10,
        divergence="chi2",
        cost_divergence=0.0,
        squash="executed",
        limit_per="episode",
        first_states="share",
        timeouts_terminal=True,
    ),
    "bc-deterministic": BC(**_CLONING),
    "bc_multi_task": change(MultiTaskBC(), **_CLONING),
    "cpq": change(CPQ(), **_SIZES, num_actions=4, stranded=True),
    "cpq-legacy": change(CPQ(), **CPQ_PRESETS["legacy"], **_SIZES, num_actions=4),
    "bcq_lag": change(BCQLag(), **_SIZES, num_candidates=3),
    "bear_lag": change(BEARLag(), **_SIZES, num_candidates=3, support=_SUPPORT, cost_reduction="mean"),
    "one_step_flow": change(
        OneStepFlow(),
        constraint_updates=5,
        reward_updates=5,
        policy_updates=10,
        value_batch_size=8,
        policy_batch_size=8,
        value_hidden=(8,),
        student=StudentConfig(hidden=(8,), flow_steps=2),
    ),
    "bear_lag-legacy": change(BEARLag(), **BEAR_LAG_PRESETS["legacy"], **_SIZES, num_candidates=3, support=_SUPPORT),
}
_NETWORKS = {"actor", "critics", "vae"}
MAY_CHANGE_OF_BASELINES = {
    "bcrl": {"joint": {"cost_value", "cost_critic", "reward_value", "reward_critic", "reward_head", "safe_head"}},
    "cdt": {"policy": {"network", "optimizer", "log_temperature", "temperature_optimizer"}},
    "coptidice": {"joint": {"actor", "nu", "chi", "raw_multiplier", "raw_temperature"}},
    "bc_multi_task": {"policy": {"network", "optimizer"}},
    "cpq": {"joint": {*_NETWORKS, "log_alpha"}},
    "bcq_lag": {"joint": {*_NETWORKS, "multiplier"}},
    "one_step_flow": {"constraint": {"fisor"}, "reward": {"fisor"}, "policy": {"teacher", "student", "log_alpha"}},
    "bear_lag": {"joint": {*_NETWORKS, "multiplier", "log_alpha", "updates"}},
}
DETERMINISTIC = {
    "bc-deterministic", "bc_multi_task", "cpq", "cpq-legacy", "bear_lag", "bear_lag-legacy", "bcrl", "bcrl-stochastic",
    "cdt", "cdt-legacy", "coptidice", "coptidice-legacy",
}  # fmt: skip
"""They act alike, whatever the key."""
TRAINED_IN_FULL = (
    "fisor-joint",
    "fisor-ensemble-feasible_first",
    "trebi",
    "fosp-joint-expansion-data_branch",
    "bear_lag-legacy",
    "bcrl-stochastic",
    "cdt",
    "coptidice",
)
"""The variants whose training differs in kind; each compiles up to nine chunks.

TREBI's calibration comes after the 20."""
