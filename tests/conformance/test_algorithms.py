"""One suite over every algorithm, and over FISOR's variants: what training, checkpoints and rollouts rely on."""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import pytest
from tests.conformance.baselines import BASELINES, DETERMINISTIC, MAY_CHANGE_OF_BASELINES, TRAINED_IN_FULL

from surefoot.algorithms import ALGORITHMS
from surefoot.algorithms.bc import BC
from surefoot.algorithms.bcrl import BCRL
from surefoot.algorithms.fisor import FISOR
from surefoot.algorithms.fisor.groups import ReturnsConfig, ScalingConfig
from surefoot.algorithms.fosp import FOSP
from surefoot.algorithms.one_step_flow import OneStepFlow
from surefoot.algorithms.safedreamer import SafeDreamer
from surefoot.algorithms.trebi import TREBI
from surefoot.diffusion.policy import DiffusionPolicyConfig
from surefoot.errors import ConfigError
from surefoot.hyperparameters import change, flat
from surefoot.nn import DenoiserConfig, TemporalConfig
from surefoot.planning import CrossEntropyConfig, GuideConfig, SamplerConfig
from surefoot.protocols import HasFeasibleValue
from surefoot.testing import checks
from surefoot.testing.checks import SPEC, Case, batch_of, bits, build_case, train
from surefoot.world_model import WorldModelConfig

NETWORK = DenoiserConfig(width=8, blocks=1, expansion=2, frequencies=4, time_width=8)
DIFFUSION = DiffusionPolicyConfig(network=NETWORK, diffusion_steps=2)
TINY = change(
    FISOR(),
    constraint_updates=5,
    reward_updates=5,
    policy_updates=10,
    joint_updates=20,
    value_batch_size=8,
    policy_batch_size=8,
    value_hidden=(8,),
    num_candidates=3,
    diffusion=DIFFUSION,
)
JOINT = change(TINY, schedule="joint")

WORLD_MODEL = WorldModelConfig(
    encoder="mlp", channels=(8,), deterministic=8, hidden=8, groups=2, classes=4, head_hidden=(8,), bins=11
)
DREAMING: dict[str, Any] = {
    "joint_updates": 20,
    "model_updates": 10,
    "policy_updates": 10,
    "batch_size": 2,
    "window": 4,
    "world_model": WORLD_MODEL,
    "horizon": 2,
    "hidden": (8,),
    "actor_hidden": (8,),
}
NO_SIGN: dict[str, Any] = {"expectile": 0.5, "cost_expectile": 0.5}
"""At first Q and V say 0 of everything, and which of them is the larger is rounding: at other expectiles their losses
differ by its sign, so that seeds side by side and alone part. At 0.5 they do not ask."""
SEGMENTS = TemporalConfig(width=64, multipliers=(1,), kernel=3)
"""One level, which takes half as long to compile as two; a variant has two.

A group normalisation of a single channel, or of two numbers, takes out all that a bias before it does: its gradient is
rounding, which Adam makes a step of. So the narrowest layer has 16 channels, two a group, over at least two steps.
"""
TWO_LEVELS = replace(SEGMENTS, width=8, multipliers=(1, 2))
TINY_TREBI = change(
    TREBI(), plan_horizon=8, model_updates=10, value_updates=10, batch_size=8, diffusion_steps=4, network=SEGMENTS,
    value_network=SEGMENTS, ema_start=2, ema_interval=2, num_candidates=3, calibration_segments=16,
    margin_level=0.1,
)  # fmt: skip
"""10 + 10 + 1 updates."""

# Every option appears at least once; options that do not meet share a variant, because each costs a compilation.
VARIANTS: dict[str, Any] = {
    "bc": BC(policy_updates=20, policy_batch_size=8, diffusion=DIFFUSION),
    **BASELINES,
    "fisor": TINY,
    "fisor-joint": JOINT,
    "fisor-qc-maxq-imitation-cosine": change(
        TINY,
        critic="qc",
        cost_limit=2.0,
        horizon=10,
        extraction="maxq",
        weighting="imitation",
        diffusion=replace(DIFFUSION, beta_schedule="cosine", extra_last_steps=1),
    ),
    "fisor-ensemble-feasible_first": change(
        TINY,
        constraint_value_ensemble=2,
        extraction="feasible_first",
        margin=0.1,
        weight_margin=0.2,
        safer_step=0.5,
        escape_slack=0.01,
        scaled_advantages=True,
        constraint_discount=0.999,
        value_final_learning_rate=1e-5,
        scaling=ScalingConfig(observations=True, constraint=True, weight_quantile=0.9, margin_quantile=0.5),
    ),
    "fisor-returns-recovery": change(
        TINY,
        value_targets="returns",
        value_updates=5,
        critic_updates=5,
        returns=ReturnsConfig(refresh_interval=4),
        recovery="cost",
        advantage="return",
        extraction="first_feasible",
    ),
    "fisor-legacy-joint-dpm_solver": change(
        JOINT,
        count_state_left=False,
        timeouts_terminal=True,
        weighting="behaviour_cloning",
        diffusion=replace(DIFFUSION, sampler="dpm_solver", start_temperature=0.5),
    ),
    "fosp": change(
        FOSP(),
        **DREAMING,
        schedule="decoupled",
        actor_mode="backprop",
        imagination_stride=2,
        reachability="hj",
        scale_observations=True,
    ),
    "fosp-joint-expansion-data_branch": change(
        FOSP(), **DREAMING, constrain=False, imagined_branch=False, act_with="mean", expansion=True, **NO_SIGN
    ),
    "fosp-joint-released": change(
        FOSP(),
        **DREAMING,
        reference_code=True,
        reachability="released",
        data_branch=False,
        actor_mode="backprop",
        pessimistic=False,
    ),
    "safedreamer": change(SafeDreamer(), **DREAMING),
    "safedreamer-osrp_lag": change(
        SafeDreamer(),
        **DREAMING,
        scale_observations=True,
        form="osrp-lag",
        planner=CrossEntropyConfig(num_samples=6, num_policy_samples=2, iterations=2, num_elites=3),
    ),
    "trebi": TINY_TREBI,
    "trebi-shared-ensemble-dpm_solver-warm-interval": change(
        TINY_TREBI,
        network=TWO_LEVELS,
        value_network=TWO_LEVELS,
        value_heads="shared",
        value_ensemble=2,
        final_learning_rate=1e-5,
        sampler=SamplerConfig(kind="dpm_solver", steps=3, warm_steps=2),
        guide=GuideConfig(units="spread", steps=1, scale=1.0, stop=1, start=2, actions_only=True),
        control_interval=2,
        cost_margin=0.5,
    ),
    "trebi-legacy": change(
        TINY_TREBI,
        cost_discount=0.99,
        termination_reward=-1.0,
        termination_cost=1.0,
        know_time_left=False,
        normalize_targets=False,
        chosen_by="last_guide",
        guide=GuideConfig(kind="exponential", cost_weight=5.0),
        margin_level=0.0,
        calibration_segments=0,
    ),
}
# What each phase may change; the rest stays as it is, bit for bit.
MODEL_PARTS = {"model", "model_optimizer"}
POLICY_PARTS = {"critics", "slow", "critics_optimizer", "actor", "actor_optimizer", "lagrangian", "reward_spread"}
MAY_CHANGE = {
    **MAY_CHANGE_OF_BASELINES,
    "bc": {"policy": {"network", "network_ema", "optimizer"}},
    "fisor": {
        "constraint": {"constraint"},
        "reward": {"reward"},
        "values": {"constraint", "recovery", "reward"},
        "critics": {"constraint", "recovery", "reward"},
        "policy": {"policy"},
        "joint": {"constraint", "reward", "policy"},
    },
    "fosp": {
        "model": MODEL_PARTS,
        "policy": {*POLICY_PARTS, "cost_spread"},
        "joint": {*MODEL_PARTS, *POLICY_PARTS, "cost_spread"},
    },
    "safedreamer": {"joint": {*MODEL_PARTS, *POLICY_PARTS}},
    "trebi": {"model": {"model"}, "values": {"values"}, "calibration": {"residuals"}},
}
MAY_STAY = {"reward_spread", "cost_spread", "lagrangian", "chi", "raw_temperature"}
"""What the first update leaves as it is where critics that start at 0 say the same of everything."""


@dataclass(frozen=True)
class Variant(Case):
    """A case, and which variant it is."""

    name: str

    @property
    def may_change(self) -> dict[str, set[str]]:
        fields = set(self.state._fields)  # a form of an algorithm may lack some
        return {phase: names & fields for phase, names in MAY_CHANGE[self.name.split("-")[0]].items()}


def build(name: str) -> Variant:
    return Variant(**vars(build_case(VARIANTS[name])), name=name)


@pytest.fixture(scope="module", params=list(VARIANTS))
def case(request: pytest.FixtureRequest) -> Variant:
    return build(request.param)


def test_every_algorithm_has_a_variant() -> None:
    assert {type(algorithm) for algorithm in VARIANTS.values()} == set(ALGORITHMS.values())
    assert MAY_CHANGE.keys() == ALGORITHMS.keys()


def test_the_configuration_is_hashable_and_survives_json(case: Variant) -> None:
    algorithm = case.algorithm
    checks.check_configuration(algorithm)
    values = flat(algorithm)
    first = next(name for name in ("policy_updates", "model_updates", "updates") if name in values)
    assert change(algorithm, **{first: values[first] + 1}) != algorithm


def test_init_depends_on_the_key_alone(case: Variant) -> None:
    checks.check_init(case)


@pytest.mark.parametrize("name", ["bc", "fisor-ensemble-feasible_first", "fosp", "safedreamer"])
def test_no_two_arrays_of_the_first_state_share_a_buffer(name: str) -> None:
    """A state whose arrays alias each other cannot be donated."""
    state = VARIANTS[name].init(SPEC, jax.random.key(1))  # not compiled, which would copy
    pointers = [leaf.unsafe_buffer_pointer() for leaf in jax.tree.leaves(state) if leaf.size]
    assert len(set(pointers)) == len(pointers)


def test_an_update_changes_what_its_phase_is_for_and_nothing_else(case: Variant) -> None:
    for phase in case.algorithm.phases:
        changed = checks.check_update(case, phase)
        assert case.may_change[phase.name] - MAY_STAY <= changed <= case.may_change[phase.name]


def test_an_update_is_a_function_of_its_arguments(case: Variant) -> None:
    checks.check_updates_are_pure(case)


def test_an_unknown_phase_is_refused_or_there_is_only_one(case: Variant) -> None:
    if len(case.algorithm.phases) == 1 and not isinstance(case.algorithm, FISOR):
        return
    with pytest.raises(ConfigError, match="unknown phase 'sleep'"):
        case.algorithm.update(
            case.state, batch_of(case.algorithm, case.algorithm.phases[0]), jax.random.key(0), phase="sleep"
        )


def test_sample_weights_are_one_finite_number_a_row(case: Variant) -> None:
    assert checks.check_sample_weights(case) <= {"policy"}


@pytest.mark.parametrize("count", [1, 5])
def test_actions_have_their_shape_and_range_and_depend_on_the_key(case: Variant, count: int) -> None:
    checks.check_actions(case, count)
    # A lone action of an untrained policy may be clipped to the same corner twice.
    if count > 1 and case.name not in DETERMINISTIC:
        observation = 3.0 * jax.random.normal(jax.random.key(7), (count, SPEC.observation_dim))
        actions = (case.act(case.state, observation, jax.random.key(number)) for number in (8, 9))
        assert bits(next(actions)) != bits(next(actions))


def test_feasible_value_is_one_number_an_observation(case: Variant) -> None:
    assert isinstance(case.algorithm, HasFeasibleValue) == isinstance(case.algorithm, FISOR | BCRL | OneStepFlow)
    checks.check_feasible_value(case)


def test_a_checkpoint_continues_identically(case: Variant, tmp_path: Path) -> None:
    checks.check_checkpoint(case, tmp_path / "c")


# --- through training.fit: resuming and seeds. 20 updates, chunks of 5. ---


@pytest.fixture(scope="module", params=TRAINED_IN_FULL)
def whole(request: pytest.FixtureRequest) -> tuple[Variant, Any]:
    """20 updates of two seeds without a stop; every state donated on the way."""
    case = build(request.param)
    assert sum(phase.updates for phase in case.algorithm.phases if phase.name != "calibration") == 20
    return case, train(case.algorithm, (0, 4))


def test_10_updates_and_10_more_are_20_bit_by_bit(whole: tuple[Variant, Any], tmp_path: Path) -> None:
    case, state = whole
    checks.check_resuming(case.algorithm, state, (0, 4), tmp_path, stop_at=10)


def test_seeds_side_by_side_learn_what_each_learns_alone(whole: tuple[Variant, Any]) -> None:
    case, together = whole
    checks.check_seeds(case.algorithm, together, (0, 4))


@pytest.mark.parametrize("name", ["bc", "fisor-joint"])
def test_a_donated_state_is_gone_and_the_result_is_the_same(name: str) -> None:
    algorithm = VARIANTS[name]
    phase = algorithm.phases[0]
    update = jax.jit(partial(algorithm.update, phase=phase.name))
    donating = jax.jit(partial(algorithm.update, phase=phase.name), donate_argnums=0)
    state = jax.jit(lambda key: algorithm.init(SPEC, key))(jax.random.key(1))
    batch, key = batch_of(algorithm, phase), jax.random.key(3)
    expected, _ = update(state, batch, key)
    after, _ = donating(state, batch, key)
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(state) if leaf.size > 1)
    assert bits(after) == bits(expected)
