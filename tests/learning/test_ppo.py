"""Returns, advantages, losses and updates of PPO against sums, closed forms and finite differences."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from mjx_mimic.config import NetworkConfig, PPOConfig
from mjx_mimic.learning import networks, ppo

GAMMA, LAMBDA = 0.9, 0.8
STEPS, ENVS = 21, 6  # no multiple of the scans' unrolling

# Compiled once a shape; op by op they take longer.
jitted_gae, jitted_td_lambda = jax.jit(ppo.gae), jax.jit(ppo.td_lambda_return)
actor_loss = jax.jit(ppo.actor_loss, static_argnums=(1, 3))
actor_gradient = jax.jit(jax.grad(ppo.actor_loss, has_aux=True), static_argnums=(1, 3))
update_actor = jax.jit(ppo.update_actor, static_argnums=(1, 3))
update_critic = jax.jit(ppo.update_critic, static_argnums=(1, 3))


# Returns and advantages ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def rollout() -> dict[str, np.ndarray]:
    """Random rewards and values (T, N) in float64 with failures, time-outs and both ends of the rollout.

    V'_t is V(s_{t+1}) inside an episode, 0 after a failure, a number of its own after a time-out and at
    the end of the rollout.
    """
    rng = np.random.default_rng(1)
    reward, value, elsewhere = rng.normal(size=(3, STEPS, ENVS))
    done = rng.random((STEPS, ENVS)) < 0.25
    done[0, 0], done[-1, 1], done[-1, 2], done[:, 3], done[:, 4] = True, True, False, False, True
    terminated = done & (rng.random((STEPS, ENVS)) < 0.5)
    assert (done & terminated).any()
    assert (done & ~terminated).any()
    next_value = np.concatenate([value[1:], elsewhere[-1:]])
    next_value = np.where(done, elsewhere, next_value)
    next_value[terminated] = 0.0
    return {"reward": reward, "value": value, "next_value": next_value, "done": done}


def gae(rollout: dict[str, np.ndarray], discount: float, trace: float) -> np.ndarray:
    arrays = (jnp.asarray(rollout[name], jnp.float32) for name in ("reward", "value", "next_value", "done"))
    return np.asarray(jitted_gae(*arrays, discount, trace))


def td_lambda_return(rollout: dict[str, np.ndarray], discount: float, trace: float) -> np.ndarray:
    arrays = (jnp.asarray(rollout[name], jnp.float32) for name in ("reward", "next_value", "done"))
    return np.asarray(jitted_td_lambda(*arrays, discount, trace))


def until_done(done: np.ndarray, start: int) -> range:
    """Steps of one environment (T,) from `start` to the end of its episode or of the rollout."""
    ends = np.flatnonzero(done[start:])
    return range(start, start + ends[0] + 1 if ends.size else len(done))


def test_gae_equals_a_plain_backward_loop(rollout):
    reward, value, next_value, done = rollout.values()
    expected, following = np.zeros((STEPS, ENVS)), np.zeros(ENVS)
    for t in reversed(range(STEPS)):
        for n in range(ENVS):
            delta = reward[t, n] + GAMMA * next_value[t, n] - value[t, n]
            following[n] = delta if done[t, n] else delta + GAMMA * LAMBDA * following[n]
        expected[t] = following
    np.testing.assert_allclose(gae(rollout, GAMMA, LAMBDA), expected, atol=1e-5)


def test_gae_equals_the_double_sum_of_td_errors_cut_at_dones(rollout):
    reward, value, next_value, done = rollout.values()
    delta = reward + GAMMA * next_value - value
    expected = np.array(
        [
            [
                sum((GAMMA * LAMBDA) ** (k - t) * delta[k, n] for k in until_done(done[:, n], t))
                for n in range(ENVS)
            ]
            for t in range(STEPS)
        ]
    )
    np.testing.assert_allclose(gae(rollout, GAMMA, LAMBDA), expected, atol=1e-5)


def test_gae_with_lambda_1_is_the_monte_carlo_return_minus_the_value(rollout):
    reward, value, next_value, done = rollout.values()
    returns = np.zeros((STEPS, ENVS))
    for t in range(STEPS):
        for n in range(ENVS):
            steps = until_done(done[:, n], t)
            discounted = sum(GAMMA ** (k - t) * reward[k, n] for k in steps)
            returns[t, n] = discounted + GAMMA ** len(steps) * next_value[steps[-1], n]
    np.testing.assert_allclose(gae(rollout, GAMMA, 1.0), returns - value, atol=1e-5)
    np.testing.assert_allclose(td_lambda_return(rollout, GAMMA, 1.0), returns, atol=1e-5)


def test_gae_with_lambda_0_is_the_one_step_td_error(rollout):
    reward, value, next_value, _ = rollout.values()
    td_error = reward + GAMMA * next_value - value
    np.testing.assert_allclose(gae(rollout, GAMMA, 0.0), td_error, atol=1e-6)


def test_td_lambda_return_equals_a_plain_backward_loop(rollout):
    reward, _, next_value, done = rollout.values()
    expected = np.zeros((STEPS, ENVS))
    for n in range(ENVS):
        for t in reversed(range(STEPS)):
            if done[t, n] or t == STEPS - 1:
                rest = next_value[t, n]
            else:
                rest = (1.0 - LAMBDA) * next_value[t, n] + LAMBDA * expected[t + 1, n]
            expected[t, n] = reward[t, n] + GAMMA * rest
    np.testing.assert_allclose(td_lambda_return(rollout, GAMMA, LAMBDA), expected, atol=1e-5)


def test_td_lambda_return_is_gae_plus_value_where_values_are_consistent(rollout):
    np.testing.assert_allclose(
        td_lambda_return(rollout, GAMMA, LAMBDA), gae(rollout, GAMMA, LAMBDA) + rollout["value"], atol=1e-5
    )


@pytest.mark.parametrize(
    ("next_value", "done", "advantage", "returns"),
    [
        # No end: delta = (-2, 3, 1); A_2 = 1, A_1 = 3 + 1/4, A_0 = -2 + 3.25/4.
        pytest.param([2, 6, 8], [0, 0, 0], [-1.1875, 3.25, 1.0], [2.8125, 5.25, 7.0], id="running"),
        # Failure at t = 1: the value after it is 0. delta = (-2, 0, 1), and the trace stops.
        pytest.param([2, 0, 8], [0, 1, 0], [-2.0, 0.0, 1.0], [2.0, 2.0, 7.0], id="terminated"),
        # Time-out at t = 1 in a state worth 10: delta = (-2, 5, 1), and the trace stops.
        pytest.param([2, 10, 8], [0, 1, 0], [-0.75, 5.0, 1.0], [3.25, 7.0, 7.0], id="truncated"),
    ],
)
def test_three_steps_worked_by_hand(next_value, done, advantage, returns):
    # gamma = lambda = 1/2, r = (1, 2, 3), V = (4, 2, 6).
    rollout = {
        "reward": np.array([[1.0], [2.0], [3.0]]),
        "value": np.array([[4.0], [2.0], [6.0]]),
        "next_value": np.array(next_value, float)[:, None],
        "done": np.array(done)[:, None],
    }
    np.testing.assert_allclose(gae(rollout, 0.5, 0.5)[:, 0], advantage, atol=1e-6)
    np.testing.assert_allclose(td_lambda_return(rollout, 0.5, 0.5)[:, 0], returns, atol=1e-6)


def test_nothing_after_the_end_of_an_episode_changes_what_is_before_it(rollout):
    last = until_done(rollout["done"][:, 0], 1)[-1]  # of the second episode of the first environment
    assert last < STEPS - 1
    later = np.arange(STEPS)[:, None] > last
    changed = {name: np.where(later, 100.0 + x, x) for name, x in rollout.items() if name != "done"}
    changed["done"] = rollout["done"]
    before, after = ((gae(r, GAMMA, LAMBDA), td_lambda_return(r, GAMMA, LAMBDA)) for r in (rollout, changed))
    for x, y in zip(before, after, strict=True):
        np.testing.assert_array_equal(x[: last + 1, 0], y[: last + 1, 0])
        assert np.abs(x[last + 1 :, 0] - y[last + 1 :, 0]).min() > 1.0


# The Gaussian ----------------------------------------------------------------------------------------


def test_log_prob_and_entropy_are_scipys():
    rng = np.random.default_rng(2)
    mean, action = rng.normal(size=(2, 7, 3))
    std = np.array([0.05, 1.0, 3.0])
    gaussian = scipy.stats.norm(mean, std)
    log_std = jnp.log(jnp.asarray(std))
    np.testing.assert_allclose(
        networks.log_prob(jnp.asarray(mean), log_std, jnp.asarray(action)),
        gaussian.logpdf(action).sum(axis=-1),
        rtol=1e-5,
    )
    np.testing.assert_allclose(
        networks.entropy(log_std), scipy.stats.norm(0.0, std).entropy().sum(), rtol=1e-6
    )


def test_actor_starts_near_zero_with_the_std_asked_for_and_learns_it_only_if_told():
    observation = jax.random.normal(jax.random.key(0), (50, 4))
    for learn_std in (True, False):
        actor = networks.Actor(NetworkConfig((8,), learn_std=learn_std), 3)
        params = actor.init(jax.random.key(1), observation)
        mean, log_std = actor.apply(params, observation)
        assert mean.shape == (50, 3)
        assert jnp.abs(mean).max() < 0.1
        np.testing.assert_allclose(jnp.exp(log_std), np.full(3, 0.2), rtol=1e-6)
        assert ("log_std" in params["params"]) == learn_std


def test_a_learned_std_does_not_fall_below_its_floor():
    learned = {"params": {"MLP_0": {}, "log_std": jnp.log(jnp.array([0.05, 0.1, 0.3]))}}
    floor = networks.std_limits(NetworkConfig(min_std=0.1), 0.5)
    held = networks.with_std_within(learned, floor)["params"]["log_std"]
    np.testing.assert_allclose(jnp.exp(held), [0.1, 0.1, 0.3], rtol=1e-6)
    assert networks.std_limits(NetworkConfig(), 0.5) is None
    assert networks.with_std_within(learned, None) is learned


def test_the_standard_deviation_falls_linearly_over_the_last_fifth_of_the_training():
    config = NetworkConfig(min_std=0.12, final_std=0.04)
    params = {"params": {"log_std": jnp.log(jnp.array([0.01, 0.09, 0.2]))}}

    @jax.vmap
    def held(share):
        return networks.with_std_within(params, networks.std_limits(config, share))["params"]["log_std"]

    found = np.exp(held(jnp.array([0.0, 0.8, 0.85, 1.0])))
    by_hand = [[0.12, 0.12, 0.2], [0.12, 0.12, 0.2], [0.04, 0.09, 0.1], [0.04, 0.04, 0.04]]
    np.testing.assert_allclose(found, by_hand, rtol=1e-5)


def test_a_standard_deviation_that_fell_to_its_floor_rises_again():
    """Of actions that earn more the farther they are from the mean; and does not fall below it of others."""
    actor = networks.Actor(NetworkConfig((8,), initial_std=0.1), 1)
    observation = jnp.zeros((400, 4))
    params = actor.init(jax.random.key(0), observation)
    mean, log_std = actor.apply(params, observation)
    config = PPOConfig(target_kl=None, actor_rate=1e-2, actor_minibatches=1, actor_epochs=3, optimizer="sgd")
    state = ppo.init_network(params, config.actor_rate, config)
    action = mean + jnp.exp(log_std) * jax.random.normal(jax.random.key(1), mean.shape)
    far = jnp.abs(action - mean)[:, 0] - 0.1
    for sign in (1.0, -1.0):
        batch = ppo.Batch(
            observation=observation,
            action=action,
            log_prob=networks.log_prob(mean, log_std, action),
            advantage=sign * 10.0 * far,
            value_target=far,
        )
        after, _ = ppo.update_actor(
            state, actor.apply, batch, config, jax.random.key(2), std_limits=(0.1, jnp.inf)
        )
        found = float(jnp.exp(after.params["params"]["log_std"])[0])
        assert found > 0.1005 if sign > 0 else found == pytest.approx(0.1)


# Losses ----------------------------------------------------------------------------------------------

# (ratio, advantage, its share of the objective, d share / d log ratio), clip 0.2.
CLIPPED = [
    (1.5, 2.0, 2.4, 0.0),  # better action, already more likely by more than the clip: no further
    (0.5, 2.0, 1.0, 1.0),  # better action, less likely than before: back
    (1.5, -2.0, -3.0, -3.0),  # worse action, more likely than before: back
    (0.5, -2.0, -1.6, 0.0),  # worse action, already less likely by more than the clip: no further
    (1.1, 3.0, 3.3, 3.3),  # inside the clip
    (0.9, -3.0, -2.7, -2.7),
]


def test_clipped_objective_and_its_gradient_by_hand():
    ratio, advantage, share, slope = np.array(CLIPPED).T
    log_ratio, advantage = jnp.log(jnp.asarray(ratio)), jnp.asarray(advantage)
    for i in range(len(CLIPPED)):
        one = ppo.clipped_objective(log_ratio[i : i + 1], advantage[i : i + 1], 0.2)
        np.testing.assert_allclose(one, share[i], rtol=1e-6, err_msg=str(CLIPPED[i]))
    value, gradient = jax.value_and_grad(ppo.clipped_objective)(log_ratio, advantage, 0.2)
    np.testing.assert_allclose(value, share.mean(), rtol=0.0, atol=1e-6)  # of terms that nearly cancel
    np.testing.assert_allclose(gradient, slope / len(CLIPPED), rtol=1e-6)


def linear_policy(params, observation):
    return observation @ params["weight"], params["log_std"]


def gaussian_case(samples: int) -> tuple[dict, ppo.Batch]:
    """A linear-Gaussian policy, and actions drawn from it with arbitrary advantages."""
    rng = np.random.default_rng(3)
    params = {"weight": rng.normal(size=(3, 2)), "log_std": np.log([0.3, 0.7])}
    observation = rng.normal(size=(samples, 3))
    mean, std = observation @ params["weight"], np.exp(params["log_std"])
    action = mean + std * rng.normal(size=mean.shape)
    batch = ppo.Batch(
        observation=observation,
        action=action,
        log_prob=scipy.stats.norm(mean, std).logpdf(action).sum(axis=-1),
        advantage=rng.normal(size=samples),
        value_target=rng.normal(size=samples),
    )
    return jax.tree.map(jnp.asarray, (params, batch))


PLAIN = PPOConfig(action_bound_weight=0.0, entropy_weight=0.0, target_kl=None, max_grad_norm=None)


def test_gradient_at_ratio_1_is_the_policy_gradient():
    with jax.enable_x64(True):
        params, batch = gaussian_case(40)
        gradient, metrics = actor_gradient(params, linear_policy, batch, PLAIN)
        params, batch, gradient, metrics = jax.tree.map(np.asarray, (params, batch, gradient, metrics))
    # E[grad log pi A], with grad_mean log pi = z / std and grad_log_std log pi = z^2 - 1.
    std = np.exp(params["log_std"])
    z = (batch.action - batch.observation @ params["weight"]) / std
    weight_gradient = np.einsum("mo,ma,m->oa", batch.observation, z / std, batch.advantage) / 40
    log_std_gradient = np.einsum("ma,m->a", z**2 - 1.0, batch.advantage) / 40
    np.testing.assert_allclose(-gradient["weight"], weight_gradient, rtol=1e-9)
    np.testing.assert_allclose(-gradient["log_std"], log_std_gradient, rtol=1e-9)
    np.testing.assert_allclose(metrics.objective, batch.advantage.mean(), rtol=1e-9)
    assert metrics.kl == pytest.approx(0.0, abs=1e-12)
    assert metrics.clip_fraction == 0.0


def test_the_policy_gradient_climbs_the_expected_return():
    # One step with r = -|a - goal|^2, so J = -|mean - goal|^2 - |std|^2 and its gradient is known.
    mean, log_std, goal = np.array([0.2, -0.4]), np.log([0.5, 0.3]), np.array([1.0, 0.0])
    rng = np.random.default_rng(4)
    action = mean + np.exp(log_std) * rng.normal(size=(100_000, 2))
    reward = -np.square(action - goal).sum(axis=-1)
    params = {"mean": jnp.asarray(mean), "log_std": jnp.asarray(log_std)}
    batch = ppo.Batch(
        observation=jnp.zeros((len(action), 1)),
        action=jnp.asarray(action),
        log_prob=networks.log_prob(params["mean"], params["log_std"], jnp.asarray(action)),
        advantage=jnp.asarray(reward - reward.mean()),
        value_target=jnp.zeros(len(action)),
    )

    def policy(params, observation):
        return params["mean"] + 0.0 * observation, params["log_std"]

    gradient, _ = actor_gradient(params, policy, batch, PLAIN)
    np.testing.assert_allclose(-gradient["mean"], -2.0 * (mean - goal), atol=0.03)
    np.testing.assert_allclose(-gradient["log_std"], -2.0 * np.exp(2.0 * log_std), atol=0.03)


def test_actor_loss_gradient_equals_finite_differences():
    config = PPOConfig(action_bound_weight=0.7, entropy_weight=0.3)
    rng = np.random.default_rng(7)
    with jax.enable_x64(True):
        params, batch = gaussian_case(30)
        batch = replace(batch, log_prob=batch.log_prob + 0.3 * jnp.sin(7.0 * jnp.arange(30.0)))  # both sides
        loss = jax.jit(jax.value_and_grad(ppo.actor_loss, has_aux=True), static_argnums=(1, 3))
        (_, metrics), gradient = loss(params, linear_policy, batch, config)
        assert 0.1 < metrics.clip_fraction < 0.9
        assert metrics.action_bound > 0.1
        for name, values in params.items():
            for _ in range(3):
                direction = rng.normal(size=values.shape)
                ahead, behind = (
                    loss(params | {name: values + step * direction}, linear_policy, batch, config)[0][0]
                    for step in (1e-6, -1e-6)
                )
                slope = np.vdot(gradient[name], direction)
                np.testing.assert_allclose(slope, (ahead - behind) / 2e-6, rtol=1e-5, err_msg=name)


def test_actor_loss_is_the_weighted_sum_of_its_parts():
    params, batch = gaussian_case(30)
    batch = replace(batch, log_prob=batch.log_prob - 0.1)
    config = PPOConfig(action_bound_weight=0.7, entropy_weight=0.3)
    loss, metrics = actor_loss(params, linear_policy, batch, config)
    mean, log_std = linear_policy(params, batch.observation)
    excess = np.maximum(np.abs(np.asarray(mean)) - 1.0, 0.0)
    bound = np.square(excess).sum(axis=-1).mean()
    objective = np.minimum(np.exp(0.1), 1.2) * np.asarray(batch.advantage).mean()
    entropy = scipy.stats.norm(0.0, np.exp(log_std)).entropy().sum()
    np.testing.assert_allclose(metrics.objective, objective, rtol=1e-4)
    np.testing.assert_allclose(metrics.action_bound, bound, rtol=1e-5)
    np.testing.assert_allclose(metrics.entropy, entropy, rtol=1e-5)
    np.testing.assert_allclose(loss, -objective + 0.7 * bound - 0.3 * entropy, rtol=1e-4)


def test_clip_fraction_counts_ratios_outside_the_clip():
    params, batch = gaussian_case(10)
    ratio = jnp.asarray([1.0, 1.19, 1.21, 0.81, 0.79, 3.0, 0.1, 1.1, 0.9, 1.0])
    batch = replace(batch, log_prob=batch.log_prob - jnp.log(ratio))
    _, metrics = actor_loss(params, linear_policy, batch, PLAIN)
    assert metrics.clip_fraction == pytest.approx(0.4)


def test_action_bound_loss_is_the_mean_squared_excess_over_1():
    mean = jnp.array([[0.0, 1.0, -1.0], [1.5, -3.0, 0.9], [-1.0, 2.0, 0.0]])
    # Excess squared: 0; 0.25 + 4; 1. Mean over three samples.
    np.testing.assert_allclose(ppo.action_bound_loss(mean), 5.25 / 3.0, rtol=1e-6)
    gradient = jax.grad(ppo.action_bound_loss)(mean)
    expected = np.array([[0.0, 0.0, 0.0], [1.0, -4.0, 0.0], [0.0, 2.0, 0.0]]) / 3.0
    np.testing.assert_allclose(gradient, expected, atol=1e-6)


def test_approximate_kl_is_never_negative():
    log_ratio = jax.random.normal(jax.random.key(0), (2000, 1)) * jnp.logspace(-4.0, 1.0, 2000)[:, None]
    kl = jax.vmap(ppo.approximate_kl)(log_ratio)
    assert jnp.min(kl) >= -1e-7  # rounding of a float32 near 1
    assert jnp.median(kl) > 1e-4
    assert ppo.approximate_kl(jnp.zeros(3)) == 0.0


def test_approximate_kl_of_many_samples_is_the_kl_of_the_gaussians():
    rng = np.random.default_rng(5)
    old_mean, old_std = np.array([0.0, 1.0]), np.array([0.5, 0.2])
    new_mean, new_std = np.array([0.1, 0.95]), np.array([0.55, 0.18])
    action = old_mean + old_std * rng.normal(size=(200_000, 2))
    old, new = (
        networks.log_prob(jnp.asarray(mean), jnp.log(jnp.asarray(std)), jnp.asarray(action))
        for mean, std in ((old_mean, old_std), (new_mean, new_std))
    )
    analytic = np.sum(
        np.log(new_std / old_std) + (old_std**2 + (old_mean - new_mean) ** 2) / (2.0 * new_std**2) - 0.5
    )
    np.testing.assert_allclose(ppo.approximate_kl(new - old), analytic, rtol=0.03)


# Steps -----------------------------------------------------------------------------------------------


def test_the_wanted_kl_falls_linearly_over_the_training():
    config = PPOConfig(target_kl=0.06, final_kl=0.02)
    found = [float(ppo.at_progress(config, jnp.float32(share)).target_kl) for share in (0.0, 0.25, 1.0)]
    np.testing.assert_allclose(found, [0.06, 0.05, 0.02], rtol=1e-6)
    small = replace(config, target_kl=0.005)  # which does not rise
    assert float(ppo.at_progress(small, jnp.float32(1.0)).target_kl) == pytest.approx(0.005)
    constant = replace(config, target_kl=None)
    assert ppo.at_progress(constant, jnp.float32(0.5)) is constant


@pytest.mark.parametrize(
    ("kl", "target_kl", "rate", "expected"),
    [
        pytest.param(0.021, 0.01, 3e-4, 2e-4, id="down over twice the target"),
        pytest.param(0.019, 0.01, 3e-4, 3e-4, id="stays under twice the target"),
        pytest.param(0.006, 0.01, 3e-4, 3e-4, id="stays over half the target"),
        pytest.param(0.004, 0.01, 2e-4, 3e-4, id="up under half the target"),
        pytest.param(1.0, 0.01, 1.2e-6, 1e-6, id="lower limit"),
        pytest.param(0.0, 0.01, 9e-4, 1e-3, id="upper limit"),
        pytest.param(1.0, None, 0.5, 0.5, id="constant without a target"),
    ],
)
def test_adapt_rate_steers_towards_the_target(kl, target_kl, rate, expected):
    config = PPOConfig(target_kl=target_kl, min_rate=1e-6, max_rate=1e-3)
    adapted = ppo.adapt_learning_rate(jnp.float32(rate), jnp.float32(kl), config)
    np.testing.assert_allclose(adapted, expected, rtol=1e-6)


def descended(config: PPOConfig, *gradients: list[float], rate: float = 0.1) -> np.ndarray:
    """Parameters, from 0, after one step per gradient."""
    optimizer, params = ppo.make_optimizer(config), {"a": jnp.zeros(1), "b": jnp.zeros(1)}
    state = ppo.NetworkState(params, optimizer.init(params), jnp.float32(rate))
    for a, b in gradients:
        state = ppo.apply_gradient(state, {"a": jnp.array([a]), "b": jnp.array([b])}, optimizer)
    return np.concatenate([state.params["a"], state.params["b"]])


def test_gradients_are_clipped_by_their_norm_over_all_parameters():
    sgd = replace(PLAIN, optimizer="sgd")
    clipped = replace(sgd, max_grad_norm=1.0)
    np.testing.assert_allclose(descended(clipped, [3.0, -4.0]), [-0.06, 0.08], rtol=1e-6)
    np.testing.assert_allclose(descended(clipped, [0.3, -0.4]), [-0.03, 0.04], rtol=1e-6)
    np.testing.assert_allclose(descended(sgd, [3.0, -4.0]), [-0.3, 0.4], rtol=1e-6)


def test_sgd_has_momentum_0_9_and_adam_starts_with_steps_of_the_rate():
    # SGD: 0.1 * 1, then 0.1 * (2 + 0.9).
    np.testing.assert_allclose(
        descended(replace(PLAIN, optimizer="sgd"), [1.0, 0.0], [2.0, 0.0]), [-0.39, 0.0], rtol=1e-6
    )
    adam = descended(replace(PLAIN, optimizer="adam"), [100.0, -0.01])
    np.testing.assert_allclose(adam, [-0.1, 0.1], rtol=1e-5)


def numbered_batch(count: int) -> ppo.Batch:
    index = jnp.arange(count, dtype=jnp.float32)
    return ppo.Batch(
        observation=jnp.stack([index, -index], axis=-1),
        action=index[:, None],
        log_prob=index + 100.0,
        advantage=index + 200.0,
        value_target=index + 300.0,
    )


def test_minibatches_are_a_permutation_that_keeps_samples_whole():
    cut = ppo.minibatches(numbered_batch(24), 4, jax.random.key(0))
    assert cut.observation.shape == (4, 6, 2)
    index = np.asarray(cut.action)[..., 0]
    assert index.shape == (4, 6)
    np.testing.assert_array_equal(np.sort(index.ravel()), np.arange(24))
    assert not np.array_equal(index.ravel(), np.arange(24))
    np.testing.assert_array_equal(cut.observation, np.stack([index, -index], axis=-1))
    np.testing.assert_array_equal(cut.log_prob, index + 100.0)
    np.testing.assert_array_equal(cut.advantage, index + 200.0)
    np.testing.assert_array_equal(cut.value_target, index + 300.0)
    other = ppo.minibatches(numbered_batch(24), 4, jax.random.key(1))
    assert not np.array_equal(other.action, cut.action)


def optimization(params: dict, config: PPOConfig, rate: float) -> ppo.NetworkState:
    return ppo.NetworkState(params, ppo.make_optimizer(config).init(params), jnp.float32(rate))


def test_update_critic_solves_a_regression():
    rng = np.random.default_rng(6)
    observation = rng.normal(size=(256, 3))
    weight = np.array([2.0, -1.0, 0.5])
    batch = replace(
        numbered_batch(256),
        observation=jnp.asarray(observation, jnp.float32),
        value_target=jnp.asarray(observation @ weight + 3.0, jnp.float32),
    )

    def value(params, observation):
        return observation @ params["weight"] + params["bias"]

    config = PPOConfig(critic_epochs=40, critic_minibatches=8)
    start = optimization({"weight": jnp.zeros(3), "bias": jnp.zeros(())}, config, 0.02)
    final, losses = update_critic(start, value, batch, config, jax.random.key(0))
    assert losses.shape == (40, 8)
    np.testing.assert_allclose(losses[0].mean(), np.square(batch.value_target).mean(), rtol=0.2)
    assert losses[-1].max() < 1e-3 * losses[0].min()
    np.testing.assert_allclose(final.params["weight"], weight, atol=0.03)
    np.testing.assert_allclose(final.params["bias"], 3.0, atol=0.03)
    assert final.learning_rate == start.learning_rate


def test_critic_loss_is_the_mean_squared_error():
    batch = replace(numbered_batch(4), value_target=jnp.array([1.0, 2.0, 3.0, 4.0]))
    loss = ppo.critic_loss(
        jnp.float32(2.0), lambda value, observation: value + 0.0 * observation[:, 0], batch
    )
    np.testing.assert_allclose(loss, (1.0 + 0.0 + 1.0 + 4.0) / 4.0, rtol=1e-6)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_update_actor_moves_probability_towards_good_actions(sign):
    params, batch = gaussian_case(512)
    surprise = batch.action[:, 0] - linear_policy(params, batch.observation)[0][:, 0]
    good = np.asarray(surprise * batch.observation[:, 0] > 0.0)  # the first weight should grow
    batch = replace(batch, advantage=jnp.asarray(np.where(good, sign, -sign)))
    config = replace(PLAIN, actor_epochs=3, actor_minibatches=4)
    start = optimization(params, config, 5e-3)
    key = jax.random.key(0)
    final, metrics = update_actor(start, linear_policy, batch, config, key)
    assert metrics.kl.shape == (3, 4)
    change = networks.log_prob(*linear_policy(final.params, batch.observation), batch.action) - batch.log_prob
    assert sign * change[good].mean() > 0.03
    assert sign * change[~good].mean() < -0.03
    assert metrics.objective[-1].mean() > batch.advantage.mean() + 0.03
    assert final.learning_rate == start.learning_rate  # no target of the KL


def test_one_full_batch_step_of_sgd_is_rate_times_gradient():
    params, batch = gaussian_case(32)
    config = replace(
        PLAIN, optimizer="sgd", actor_epochs=1, actor_minibatches=1, critic_epochs=1, critic_minibatches=1
    )
    start, key = optimization(params, config, 0.01), jax.random.key(0)
    final, _ = update_actor(start, linear_policy, batch, config, key)
    gradient, _ = actor_gradient(params, linear_policy, batch, config)
    for name in ("weight", "log_std"):
        np.testing.assert_allclose(final.params[name], params[name] - 0.01 * gradient[name], rtol=1e-5)

    def value(params, observation):
        return jnp.sum(linear_policy(params, observation)[0], axis=-1)

    final, loss = update_critic(start, value, batch, config, key)
    residual = np.asarray(value(params, batch.observation) - batch.value_target, float)
    np.testing.assert_allclose(loss, [[np.square(residual).mean()]], rtol=1e-5)
    slope = 2.0 * np.asarray(batch.observation).T @ residual / 32  # of both columns
    expected = np.asarray(params["weight"]) - 0.01 * slope[:, None]
    np.testing.assert_allclose(final.params["weight"], expected, rtol=1e-5)


@pytest.mark.parametrize("rate", [1e-5, 0.1])
def test_the_kl_of_updates_settles_near_its_target_from_any_rate(rate):
    params, batch = gaussian_case(512)
    config = replace(PLAIN, target_kl=0.01, max_rate=1.0, actor_epochs=2, actor_minibatches=4)

    def rollout_and_update(state: ppo.NetworkState, key: jax.Array) -> tuple[ppo.NetworkState, jax.Array]:
        mean, log_std = linear_policy(state.params, batch.observation)
        noise = jax.random.normal(key, mean.shape)
        action = mean + jnp.exp(log_std) * noise
        sampled = replace(batch, action=action, log_prob=networks.log_prob(mean, log_std, action))
        state, metrics = ppo.update_actor(state, linear_policy, sampled, config, key)
        return state, metrics.kl[:, 1:].mean()

    keys = jax.random.split(jax.random.key(0), 30)
    _, kl = jax.jit(lambda state: jax.lax.scan(rollout_and_update, state, keys))(
        optimization(params, config, rate)
    )
    assert not 0.002 < kl[0] < 0.05
    assert 0.005 < kl[-10:].mean() < 0.02


def test_the_entropy_bonus_widens_the_policy():
    params, batch = gaussian_case(64)
    batch = replace(batch, advantage=jnp.zeros(64))
    spread = []
    for weight in (0.0, 0.5):
        config = replace(PLAIN, optimizer="sgd", entropy_weight=weight, actor_epochs=2, actor_minibatches=1)
        state = optimization(params, config, 0.01)
        final, _ = update_actor(state, linear_policy, batch, config, jax.random.key(0))
        spread.append(np.asarray(final.params["log_std"] - params["log_std"]))
    np.testing.assert_allclose(spread[0], 0.0, atol=1e-7)
    # d entropy / d log_std = 1: two steps of 0.01 * 0.5, the second with momentum 1.9.
    np.testing.assert_allclose(spread[1], 0.005 * 2.9, rtol=1e-4)


def test_with_adam_the_standard_deviation_learns_faster_than_a_weight():
    """Its first step is as long for every parameter, whatever the gradient."""
    params, batch = gaussian_case(64)
    config = replace(PLAIN, optimizer="adam", actor_epochs=1, actor_minibatches=1)
    final, _ = update_actor(
        optimization(params, config, 1e-4), linear_policy, batch, config, jax.random.key(0)
    )
    for name, step in {"weight": 1e-4, "log_std": 1e-4 * ppo.LOG_STD_GAIN}.items():
        np.testing.assert_allclose(np.abs(final.params[name] - params[name]), step, rtol=1e-2)
