"""One suite over every algorithm, and over FISOR's variants: what training, checkpoints and rollouts rely on."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.conformance.baselines import BASELINES, DETERMINISTIC, MAY_CHANGE_OF_BASELINES, TRAINED_IN_FULL

from surefoot import checkpoint
from surefoot.algorithms import ALGORITHMS
from surefoot.algorithms.bc import BC
from surefoot.algorithms.fisor import FISOR
from surefoot.algorithms.fisor.groups import ReturnsConfig, ScalingConfig
from surefoot.algorithms.fisor.returns import Triple
from surefoot.algorithms.fosp import FOSP
from surefoot.algorithms.safedreamer import SafeDreamer
from surefoot.algorithms.trebi import TREBI
from surefoot.data import Dataset
from surefoot.diffusion.policy import DiffusionPolicyConfig
from surefoot.errors import ConfigError
from surefoot.hyperparameters import change, flat
from surefoot.nn import DenoiserConfig, TemporalConfig
from surefoot.planning import CrossEntropyConfig, GuideConfig, SamplerConfig
from surefoot.protocols import HasFeasibleValue, relabel_interval
from surefoot.tasks import CostLimit, Task
from surefoot.training import RunDirectory, fit, from_hyperparameters, hyperparameters, make_config
from surefoot.types import DataSpec, Labeled, PolicyInputs, Transition
from surefoot.world_model import WorldModelConfig

SPEC = DataSpec(observation_dim=5, action_dim=2, horizon=10)
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
    value_network=SEGMENTS, average_start=2, average_interval=2, candidates=3, calibration_segments=16,
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
    "fosp": change(FOSP(), **DREAMING, schedule="decoupled", actor_mode="backprop", dream_stride=2, reachability="hj"),
    "fosp-joint-expansion-data_branch": change(
        FOSP(), **DREAMING, constrain=False, dream_branch=False, act_with="mean", expansion=True, **NO_SIGN
    ),
    "fosp-joint-released": change(
        FOSP(),
        **DREAMING,
        released=True,
        reachability="released",
        data_branch=False,
        actor_mode="backprop",
        pessimistic=False,
    ),
    "safedreamer": change(SafeDreamer(), **DREAMING),
    "safedreamer-osrp_lag": change(
        SafeDreamer(),
        **DREAMING,
        form="osrp-lag",
        planner=CrossEntropyConfig(samples=6, policy_samples=2, iterations=2, elites=3),
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
MAY_STAY = {"reward_spread", "cost_spread", "lagrangian"}
"""What the first update leaves as it is where critics that start at 0 say the same of everything."""


def make_data(rows: int = 64) -> Transition:
    """Noise with the ranges that data have: actions in [-1, 1], flags 0 or 1, h of both signs."""
    rng = np.random.default_rng(0)
    flag = lambda share: (rng.random(rows) < share).astype(np.float32)  # noqa: E731
    h = rng.normal(-0.3, 0.5, rows).astype(np.float32)
    columns: dict[str, Any] = {
        "observation": rng.normal(size=(rows, SPEC.observation_dim)).astype(np.float32),
        "action": rng.uniform(-1, 1, (rows, SPEC.action_dim)).astype(np.float32),
        "reward": rng.normal(size=rows).astype(np.float32),
        "cost": (h > 0).astype(np.float32),
        "next_observation": rng.normal(size=(rows, SPEC.observation_dim)).astype(np.float32),
        "terminated": flag(0.1),
        "truncated": flag(0.1),
        "constraint": h,
        "constraint_before": rng.normal(-0.3, 0.5, rows).astype(np.float32),
        "constraint_ahead": h + rng.exponential(0.5, rows).astype(np.float32),
        "episode_violations": flag(0.5),
        "episode_cost": flag(0.5),
    }
    return Transition(**columns)


DATA = make_data()
TASK = Task("Noise", 5, 2, 10, return_min=0.0, return_max=1.0, constraints=(CostLimit(0.0),))


def data_of(algorithm: Any) -> Any:
    """The data as the algorithm trains on them: those transitions, or segments of eight episodes made of them."""
    if not algorithm.inputs.windows:
        return DATA
    rows = DATA.reward.shape[0]
    terminated, truncated = np.zeros(rows, bool), np.zeros(rows, bool)
    terminated[7::16] = truncated[15::16] = True
    named = (DATA.observation, DATA.action, DATA.reward, DATA.cost, DATA.next_observation)
    arrays = [np.asarray(values) for values in named]
    return algorithm.prepare(Dataset("Noise", *arrays, terminated=terminated, truncated=truncated), TASK)


def bits(tree: Any) -> list[bytes]:
    return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(tree)]


def batch_of(algorithm: Any, phase: Any, start: int = 0) -> Any:
    """`batch_size` rows of the data, from row `start` on, around its end."""
    data = data_of(algorithm)
    index = (start + np.arange(phase.batch_size)) % data.num_rows
    batch = data.take(jnp.asarray(index))
    if relabel_interval(algorithm, phase.name):
        batch = Labeled(batch, Triple(*[jnp.linspace(-1.0, 1.0, phase.batch_size)] * 3))
    return batch


@dataclass(frozen=True)
class Case:
    """An algorithm with what was compiled for it once: init, an update per phase, acting."""

    name: str
    algorithm: Any
    init: Callable[..., Any]
    updates: dict[str, Callable[..., Any]]
    act: Callable[..., Any]
    state: Any

    @property
    def may_change(self) -> dict[str, set[str]]:
        fields = set(self.state._fields)  # a form of an algorithm may lack some
        return {phase: names & fields for phase, names in MAY_CHANGE[self.name.split("-")[0]].items()}

    def trained(self, *, start: int = 0) -> Any:
        """The state after one update of every phase; `start` picks other data and noise."""
        state = self.state
        for number, phase in enumerate(self.algorithm.phases):
            state, _ = self.updates[phase.name](
                state, batch_of(self.algorithm, phase, start), jax.random.key(start + number)
            )
        return state


def build(name: str) -> Case:
    algorithm = VARIANTS[name]

    def act(state: Any, observation: Any, key: Any) -> Any:
        policy, count = algorithm.policy(state), observation.shape[0]
        budget = jnp.linspace(-1.0, 5.0, count) if algorithm.inputs.budget else None
        return policy.act(policy.initial(count), PolicyInputs(observation, budget), key)[1]

    init = jax.jit(lambda key: algorithm.init(SPEC, key))
    update = jax.jit(algorithm.update, static_argnames="phase")
    updates = {phase.name: partial(update, phase=phase.name) for phase in algorithm.phases}
    return Case(name, algorithm, init, updates, jax.jit(act), init(jax.random.key(1)))


@pytest.fixture(scope="module", params=list(VARIANTS))
def case(request: pytest.FixtureRequest) -> Case:
    return build(request.param)


def test_every_algorithm_has_a_variant() -> None:
    assert {type(algorithm) for algorithm in VARIANTS.values()} == set(ALGORITHMS.values())
    assert MAY_CHANGE.keys() == ALGORITHMS.keys()


def test_the_configuration_is_hashable_and_survives_json(case: Case) -> None:
    algorithm = case.algorithm
    again = from_hyperparameters(type(algorithm), hyperparameters(algorithm), source="test")
    assert again == algorithm
    assert hash(again) == hash(algorithm)
    values = flat(algorithm)
    first = next(name for name in ("policy_updates", "model_updates", "updates") if name in values)
    assert change(algorithm, **{first: values[first] + 1}) != algorithm


def test_init_depends_on_the_key_alone(case: Case) -> None:
    assert bits(case.init(jax.random.key(1))) == bits(case.state)
    assert bits(case.init(jax.random.key(2))) != bits(case.state)


@pytest.mark.parametrize("name", ["bc", "fisor-ensemble-feasible_first", "fosp", "safedreamer"])
def test_no_two_arrays_of_the_first_state_share_a_buffer(name: str) -> None:
    """A state whose arrays alias each other cannot be donated."""
    state = VARIANTS[name].init(SPEC, jax.random.key(1))  # not compiled, which would copy
    pointers = [leaf.unsafe_buffer_pointer() for leaf in jax.tree.leaves(state) if leaf.size]
    assert len(set(pointers)) == len(pointers)


def test_an_update_changes_what_its_phase_is_for_and_nothing_else(case: Case) -> None:
    for phase in case.algorithm.phases:
        after, metrics = case.updates[phase.name](case.state, batch_of(case.algorithm, phase), jax.random.key(3))
        assert metrics
        for name, value in metrics.items():
            assert value.shape == (), name
            assert np.isfinite(value), name
        before, moved = case.state._asdict(), after._asdict()
        changed = {name for name in before if bits(before[name]) != bits(moved[name])}
        assert case.may_change[phase.name] - MAY_STAY <= changed <= case.may_change[phase.name]
        assert jax.tree.structure(after) == jax.tree.structure(case.state)
        kinds = lambda tree: [(leaf.shape, leaf.dtype) for leaf in jax.tree.leaves(tree)]  # noqa: E731
        assert kinds(after) == kinds(case.state)


def test_an_update_is_a_function_of_its_arguments(case: Case) -> None:
    assert bits(case.trained(start=5)) == bits(case.trained(start=5))
    assert bits(case.trained(start=5)) != bits(case.trained(start=6))


def test_an_unknown_phase_is_refused_or_there_is_only_one(case: Case) -> None:
    if len(case.algorithm.phases) == 1 and not isinstance(case.algorithm, FISOR):
        return
    with pytest.raises(ConfigError, match="unknown phase 'sleep'"):
        case.algorithm.update(
            case.state, batch_of(case.algorithm, case.algorithm.phases[0]), jax.random.key(0), phase="sleep"
        )


def test_sample_weights_are_one_finite_number_a_row(case: Case) -> None:
    data = jax.tree.map(jnp.asarray, data_of(case.algorithm))
    weigh = jax.jit(case.algorithm.sample_weights, static_argnames="phase")
    for phase in case.algorithm.phases:
        weights = weigh(case.state, data, phase=phase.name)
        if weights is None:
            continue
        assert phase.name == "policy"
        assert weights.shape == DATA.reward.shape
        assert np.isfinite(weights).all()
        assert (np.asarray(weights) >= 0).all()
        assert np.asarray(weights).any()


@pytest.mark.parametrize("count", [1, 5])
def test_actions_have_their_shape_and_range_and_depend_on_the_key(case: Case, count: int) -> None:
    observation = 3.0 * jax.random.normal(jax.random.key(7), (count, SPEC.observation_dim))
    action = case.act(case.state, observation, jax.random.key(8))
    assert action.shape == (count, SPEC.action_dim)
    assert (np.abs(action) <= 1).all()
    assert bits(action) == bits(case.act(case.state, observation, jax.random.key(8)))
    # A lone action of an untrained policy may be clipped to the same corner twice.
    if count > 1 and case.name not in DETERMINISTIC:
        assert bits(action) != bits(case.act(case.state, observation, jax.random.key(9)))


def test_feasible_value_is_one_number_an_observation(case: Case) -> None:
    assert isinstance(case.algorithm, HasFeasibleValue) == isinstance(case.algorithm, FISOR)
    if not isinstance(case.algorithm, FISOR):
        return
    observation = jnp.asarray(DATA.observation[:5])
    value = case.algorithm.feasible_value(case.state, observation)
    assert value.shape == (5,)
    assert np.isfinite(value).all()


def test_a_checkpoint_continues_identically(case: Case, tmp_path: Path) -> None:
    trained = case.trained()
    checkpoint.save(tmp_path / "c", trained, {})
    loaded, _ = checkpoint.load(tmp_path / "c", jax.eval_shape(lambda: trained))
    assert bits(loaded) == bits(trained)
    phase = case.algorithm.phases[-1]
    update = case.updates[phase.name]
    batch, key = batch_of(case.algorithm, phase, 9), jax.random.key(9)
    assert bits(update(loaded, batch, key)) == bits(update(trained, batch, key))


# --- through training.fit: resuming and seeds. 20 updates, chunks of 5. ---


def train(case: Case, seeds: tuple[int, ...], path: Path | None = None, *, stop_at: int | None = None) -> Any:
    """`fit` for 20 updates. One phase of 20, or 5 + 5 + 10: the stop is in a phase or between two."""
    run = None
    if path is not None:
        run = RunDirectory(path)
        config = make_config(
            case.algorithm, name=case.name, task="Noise", spec=SPEC, seeds=seeds, data_path="none",
            data_fingerprint="abc", log_interval=5, checkpoint_interval=5,
        )  # fmt: skip
        run.start(config, resume=True)
    return fit(
        case.algorithm,
        data_of(case.algorithm),
        spec=SPEC,
        seeds=seeds,
        log_interval=5,
        checkpoint_interval=5,
        run=run,
        stop_at=stop_at,
    )


@pytest.fixture(scope="module", params=TRAINED_IN_FULL)
def whole(request: pytest.FixtureRequest) -> tuple[Case, Any]:
    """20 updates of two seeds without a stop; every state donated on the way."""
    case = build(request.param)
    assert sum(phase.updates for phase in case.algorithm.phases if phase.name != "calibration") == 20
    return case, train(case, (0, 4))


def test_10_updates_and_10_more_are_20_bit_by_bit(whole: tuple[Case, Any], tmp_path: Path) -> None:
    case, state = whole
    first = train(case, (0, 4), tmp_path, stop_at=10)
    assert bits(first) != bits(state)
    assert bits(train(case, (0, 4), tmp_path)) == bits(state)


def test_seeds_side_by_side_learn_what_each_learns_alone(whole: tuple[Case, Any]) -> None:
    case, together = whole
    alone = train(case, (4,))
    for ours, theirs in zip(jax.tree.leaves(together), jax.tree.leaves(alone), strict=True):
        np.testing.assert_allclose(ours[1], theirs[0], rtol=1e-5, atol=1e-5)
        assert np.isfinite(ours).all()
    first, second = (jax.tree.map(lambda leaf: leaf[index], together) for index in (0, 1))  # noqa: B023
    assert bits(first) != bits(second)


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
