"""Guided sampling and selection with models small enough to reason about."""

from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from surefoot.diffusion.clean import make_steps
from surefoot.diffusion.schedules import make_schedule
from surefoot.planning import GuideConfig, choose_plan, guide_gradient, sample_segments
from surefoot.planning.noise import fold_in, normal_rows, split

SCHEDULE = make_schedule("cosine", 6)
STEPS = make_steps(SCHEDULE, sampler="ancestral")
CONFIG = GuideConfig(cost_weight=3.0, steps=2, scale=0.5, stop=2)
ROWS, HORIZON, ACTIONS, OBSERVATIONS = 6, 4, 1, 2


def model(x: Any, t: Any) -> Any:
    return 0.9 * jnp.tanh(x)


def values(x: Any, t: Any) -> Any:
    """R = sum sin x, C = sum x^2, a little less at large t."""
    fade = 1.0 - 0.01 * t[0]
    return fade * jnp.sin(x).sum((1, 2)), fade * (x**2).sum((1, 2))


def start(rows: int = ROWS) -> tuple[Any, Any]:
    return (
        jax.random.normal(jax.random.key(1), (rows, HORIZON, ACTIONS + OBSERVATIONS)),
        jax.random.normal(jax.random.key(2), (rows, OBSERVATIONS)),
    )


@cache
def sampler(values: Any, config: GuideConfig) -> Any:
    """Compiled once for all tests with these values and this guide."""
    run = partial(sample_segments, model, values, steps=STEPS, guide_config=config)
    return jax.jit(lambda noise, observation, budget: run(noise, observation, budget, jax.random.key(3)))


def sample(budget: Any, *, values: Any = values, config: GuideConfig = CONFIG) -> Any:
    return sampler(values, config)(*start(), budget)


slope = jax.jit(partial(guide_gradient, values, cost_weight=3.0), static_argnames="kind")


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 1000), st.floats(0.5, 20.0), st.sampled_from(["hinge", "exponential"]))
def test_the_gradient_is_that_of_the_penalised_reward(seed: int, budget: float, kind: Any) -> None:
    """Against central differences of R - w' (C - b)+, where w' is held fixed at its value at x."""
    x = jax.random.normal(jax.random.key(seed), (1, 2, 2))
    t, b = jnp.ones(1), jnp.full(1, budget)
    found, (_, cost) = slope(x, t, b, kind=kind)
    weight = 3.0 * (np.exp(np.clip((float(cost[0]) - budget) / budget, 0, 1)) if kind == "exponential" else 1.0)
    if abs(float(cost[0]) - budget) < 0.1:  # the kink
        return

    def objective(flat: np.ndarray) -> float:
        fade = 0.99
        return fade * np.sin(flat).sum() - weight * max(fade * (flat**2).sum() - budget, 0.0)

    flat, step = np.asarray(x, np.float64).ravel(), 1e-5
    expected = [
        (objective(flat + step * unit) - objective(flat - step * unit)) / (2 * step) for unit in np.eye(len(flat))
    ]
    np.testing.assert_allclose(np.asarray(found).ravel(), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("kind", ["hinge", "exponential"])
def test_an_infinite_budget_is_reward_alone(kind: Any) -> None:
    config = GuideConfig(kind=kind, cost_weight=3.0, steps=2, scale=0.5, stop=2)
    free = sample(jnp.full(ROWS, jnp.inf), config=config)
    without = sample(jnp.zeros(ROWS), values=lambda x, t: (values(x, t)[0], jnp.zeros(len(x))), config=config)
    np.testing.assert_array_equal(free.segments, without.segments)
    assert np.isfinite(free.segments).all()
    assert np.isfinite(sample(jnp.full(ROWS, -jnp.inf), config=config).cost).all()


def test_the_first_observation_is_the_environments() -> None:
    _, observation = start()
    found = sample(jnp.ones(ROWS))
    np.testing.assert_array_equal(found.segments[:, 0, ACTIONS:], observation)


def test_a_tighter_budget_gives_cheaper_segments() -> None:
    loose, tight = sample(jnp.full(ROWS, jnp.inf)), sample(jnp.zeros(ROWS))
    cost = lambda found: np.asarray(values(found.segments, jnp.zeros(1))[1])  # noqa: E731
    assert (cost(tight) < cost(loose)).all()


def test_each_row_has_its_own_budget_and_is_what_it_is_alone() -> None:
    """Six rows with budgets of their own, against each alone with the noise that it had among the six."""
    budget = jnp.linspace(0.0, 10.0, ROWS)
    together = sample(budget)
    noise, observation = start()
    steps = STEPS._replace(deviation=np.zeros_like(STEPS.deviation))
    run = jax.jit(
        lambda noise, observation, budget: sample_segments(
            model, values, noise, observation, budget, jax.random.key(3), steps=steps, guide_config=CONFIG
        )
    )
    whole = run(noise, observation, budget)
    for row in range(ROWS):
        part = slice(row, row + 1)
        alone = run(noise[part], observation[part], budget[part])
        np.testing.assert_allclose(alone.segments[0], whole.segments[row], rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(alone.cost[0], whole.cost[row], rtol=1e-5)
    assert not np.allclose(whole.segments, together.segments)  # without the noise of the steps


def test_no_gradient_is_taken_where_none_is_asked_for() -> None:
    """Values whose gradient is not a number spoil a guided step, and nothing else."""

    @jax.custom_jvp
    def spoil(x):
        return x.sum((1, 2))

    spoil.defjvp(lambda primals, tangents: (spoil(*primals), jnp.nan * tangents[0].sum((1, 2))))
    spoiled = lambda x, t: (spoil(x), spoil(x))  # noqa: E731
    for config in (GuideConfig(stop=6), GuideConfig(stop=3, start=2), GuideConfig(steps=0)):
        assert np.isfinite(sample(jnp.zeros(ROWS), values=spoiled, config=config).segments).all()
    assert np.isnan(sample(jnp.zeros(ROWS), values=spoiled).segments).any()


def test_only_actions_are_moved_where_that_is_asked_for() -> None:
    """With a model that keeps each number to itself, observations are those of an unguided run."""
    free = sample(jnp.zeros(ROWS), config=GuideConfig(steps=0)).segments
    moved = sample(jnp.zeros(ROWS), config=GuideConfig(scale=0.5, stop=2, actions_only=True)).segments
    np.testing.assert_array_equal(moved[:, :, ACTIONS:], free[:, :, ACTIONS:])
    assert not np.allclose(moved[:, :, :ACTIONS], free[:, :, :ACTIONS])


def test_a_warm_start_goes_on_from_the_plan_before() -> None:
    """One last step from `previous`, by hand; rows without a plan start from noise, whatever the others have."""
    noise, observation = start()
    previous = jnp.full(noise.shape, 0.25)
    ddim = make_steps(SCHEDULE, sampler="ddim", count=3)
    run = jax.jit(
        lambda fresh, warm_steps: sample_segments(
            model, values, noise, observation, jnp.zeros(ROWS), jax.random.key(3), steps=ddim,
            guide_config=GuideConfig(steps=0), warm_steps=warm_steps, previous=previous, fresh=fresh,
        ).segments,
        static_argnums=1,
    )  # fmt: skip
    x = ddim.signal[2] * previous + ddim.noise[2] * noise
    expected = model(x.at[:, 0, ACTIONS:].set(observation), None).at[:, 0, ACTIONS:].set(observation)
    none, every = jnp.zeros(ROWS, bool), jnp.ones(ROWS, bool)
    np.testing.assert_allclose(run(none, 1), expected, rtol=1e-4, atol=1e-5)
    cold, fresh = run(every, 0), run(every, 1)
    np.testing.assert_allclose(cold, fresh, atol=0.05)  # the first share of signal is not quite 0
    assert not np.allclose(fresh, expected, atol=0.05)
    mixed = run(every.at[1:3].set(False), 1)
    np.testing.assert_allclose(mixed[1:3], expected[1:3], rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(mixed[3:], fresh[3:])


@pytest.mark.parametrize("steps", [STEPS, make_steps(SCHEDULE, sampler="dpm_solver", count=4)])
def test_with_keys_of_their_own_environments_do_not_depend_on_each_other(steps: Any) -> None:
    """Three environments of two rows, one of them without a plan to start from; then each alone."""
    noise, observation = start()
    keys, fresh = jax.random.split(jax.random.key(8), 3), jnp.array([False, False, True, True, False, False])
    previous = jnp.full_like(noise, 0.25)
    run = jax.jit(
        lambda keys, noise, observation, fresh: sample_segments(
            model, values, noise, observation, jnp.zeros(len(noise)), keys, steps=steps, guide_config=CONFIG,
            warm_steps=2, previous=previous[: len(noise)], fresh=fresh,
        ).segments
    )  # fmt: skip
    together = run(keys, noise, observation, fresh)
    for place in range(3):
        own = slice(2 * place, 2 * place + 2)
        alone = run(keys[place : place + 1], noise[own], observation[own], fresh[own])
        np.testing.assert_allclose(alone, together[own], rtol=1e-5, atol=1e-5)
    assert len({float(row[0, 0]) for row in together}) == ROWS


def test_noise_of_rows_comes_from_the_keys_in_their_order() -> None:
    keys = jax.random.split(jax.random.key(1), 2)
    rows = normal_rows(keys, (6, 2))
    np.testing.assert_array_equal(rows[3:], jax.random.normal(keys[1], (3, 2)))
    np.testing.assert_array_equal(normal_rows(keys[0], (6, 2)), jax.random.normal(keys[0], (6, 2)))
    for one in range(2):
        halves = [half[one] for half in split(keys)]
        assert (jax.random.key_data(jnp.stack(halves)) == jax.random.key_data(jax.random.split(keys[one]))).all()
        assert fold_in(keys, 5)[one] == jax.random.fold_in(keys[one], 5)
    with pytest.raises(ValueError, match="multiple of 2 rows, found 3"):
        normal_rows(keys, (3, 2))


def test_selection_takes_the_best_feasible_else_the_cheapest() -> None:
    """Row 0: the best two are too dear. Row 1: none is feasible. Row 2: no limit. Row 3: cost equal to the budget."""
    reward = jnp.array([[1.0, 9.0, 8.0, 2.0]] * 4)
    cost = jnp.array([[0.5, 7.0, 6.0, 1.0]] * 4)
    assert choose_plan(reward, cost, jnp.array([1.5, 0.2, jnp.inf, 6.0])).tolist() == [3, 0, 1, 2]
    hopeless = choose_plan(-1e9 * reward, cost, jnp.array([-1.0, -1e9, 0.0, -jnp.inf]))
    assert hopeless.tolist() == [0, 0, 0, 0]
