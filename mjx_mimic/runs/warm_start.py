"""A new run from the networks of another one."""

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mjx_mimic.clips.dataset import Clips
from mjx_mimic.common.errors import UserError
from mjx_mimic.config import TrainConfig, Which
from mjx_mimic.config_yaml import read_run
from mjx_mimic.learning.devices import first_device, replicate
from mjx_mimic.learning.learner import Learner, TrainState
from mjx_mimic.learning.networks import LOG_STD, std_limits, with_std_within
from mjx_mimic.learning.normalizer import Normalizer
from mjx_mimic.runs.checkpoints import Checkpoints, StoredPolicy
from mjx_mimic.runs.folder import require_one_policy
from mjx_mimic.task import skills
from mjx_mimic.task.env import ImitationEnv
from mjx_mimic.task.making import make_env

NETWORKS = ("actor_hidden", "critic_hidden", "activation", "symmetric")
"""Settings that the networks of both runs must have in common."""
ADDED = ("goal: ", "skill: ")
"""How parts of the observation begin that a new run may have at its end, and the other one not."""


@dataclass(frozen=True)
class Source:
    """The run and the checkpoint that a new run starts from."""

    run: Path
    which: Which
    config: TrainConfig
    stored: StoredPolicy
    added: slice = slice(0, 0)
    """Numbers of the new run's observation that the other one's lacks, those of a goal and skills."""
    has_new_value_function: bool = False
    """Whether the new run's value function starts anew, since it sees other numbers than the other one's."""

    @property
    def record(self) -> dict[str, Any]:
        """What the new run's configuration says about it; the samples are those of its networks."""
        return {"run": str(self.run), "checkpoint": self.which, "samples": self.stored.samples}


def read_source(text: str, learner: Learner, clips: Clips) -> Source:
    """Read what `--init-from` names: RUN, RUN:best, RUN:last or RUN:SAMPLES.

    Raises:
        UserError: there is no such run or checkpoint, or its networks do not fit the new run's.
    """
    named = re.fullmatch(r"(?s)(.+):(best|last|[0-9]{1,18})", text)
    name, chosen = named.groups() if named else (text, "best")
    which: Which = int(chosen) if chosen.isdecimal() else "best" if chosen == "best" else "last"
    config, stored = read_run(Path(name))
    require_one_policy(Path(name), stored, "started from")
    past = make_env(clips.motions[:1], replace(config.env, clips="one"))  # which any task may have
    added = _require_fit(name, config, past, len(stored["clips"]), learner)
    policy = Checkpoints(Path(name)).restore_policy(which)
    is_new = past.privileged_sizes() != learner.env.privileged_sizes()
    # One of an earlier version may have seen other numbers with the same settings.
    observed = sum((learner.env.observation_sizes() | learner.env.privileged_sizes()).values())
    is_new |= len(policy.normalizer.mean) != observed - (added.stop - added.start)
    return Source(Path(name), which, config, policy, added, is_new)


def described(source: Source, config: TrainConfig) -> Iterator[str]:
    """Yield lines for people: what a new run with the settings `config` starts from, and what begins anew."""
    anew = "; the value function starts anew" if source.has_new_value_function else ""
    samples = source.stored.samples
    yield f"networks and normaliser of {source.run} ({source.which}, at {samples:,} samples){anew}"
    if config.disturbance_ramp:
        grown = round(config.disturbance_ramp * config.total_steps)
        yield (
            f"disturbances grow from 0 over the first {grown:,} samples; with --disturbance-ramp 0 they"
            " are whole from the start"
        )


def _require_fit(
    run: str, past: TrainConfig, past_env: ImitationEnv, past_clips: int, learner: Learner
) -> slice:
    """Refuse networks that cannot take the new run's observations, or are built otherwise.

    Returns:
        Which numbers of the new run's observation are added for its goal and skills.
    """

    def require_equal(what: str, there: Any, here: Any) -> None:
        if there != here:
            raise UserError(
                f"option --init-from: {what} is {there} in {run} and {here} here; set the same, or start from"
                f" its settings with --config {run}"
            )

    for name in NETWORKS:
        there, here = getattr(past.network, name), getattr(learner.config.network, name)
        require_equal(f"field 'network.{name}'", there, here)
    before = past_env.observation_sizes()  # how many clips there are shows in the skills alone
    if past.env.clips == "skills":
        before |= {skills.WANTED: past_clips}
    now = learner.env.observation_sizes()
    require_equal("field 'env.observation'", past.env.observation, learner.config.env.observation)
    for name in ("action", "action_scale", "control_hz"):
        there, here = getattr(past.env, name), getattr(learner.config.env, name)
        if there != here:
            print(
                f"warning: option --init-from: field 'env.{name}' is {there} in {run} and {here} here,"
                " so that the actions of its policy mean something else"
            )
    first = len(before)
    common = {n: size for i, (n, size) in enumerate(now.items()) if i < first or not n.startswith(ADDED)}
    for there, here in itertools.zip_longest(before.items(), common.items()):
        require_equal("a part of the observation", _shown(there), _shown(here))
    if any("key bodies" in part for part in now):  # as many others are as many numbers
        require_equal("field 'env.key_bodies'", past.env.key_bodies, learner.config.env.key_bodies)
    return slice(sum(common.values()), sum(now.values()))


def _shown(part: tuple[str, int] | None) -> str:
    return f"{part[0]} ({part[1]} numbers)" if part else "none"


def start_from(learner: Learner, state: TrainState, source: Source) -> TrainState:
    """Put networks and normaliser of another run into a fresh state; everything else in it stays fresh.

    The standard deviation comes along where the new run learns it, also one that was fixed. A value function
    that sees more than the policy comes along only where it sees the same; otherwise it starts anew, with new
    moments of what only it sees. Where the KL divergence steers the policy's learning rate, it rises from its
    lower limit: the first rate is for a policy that is loud, and would throw a quiet one about.
    """
    # What the file does not hold must be alike before the moments of both are joined.
    moments = replace(source.stored.normalizer, min_std=learner.config.normalizer.min_std)
    source = replace(source, stored=replace(source.stored, normalizer=moments))
    source = _widened(source, first_device(state.normalizer))
    params = dict(source.stored.actor["params"])
    past = source.config.network
    fixed = jnp.full((learner.env.num_actions,), jnp.log(past.initial_std), jnp.float32)
    log_std = params.pop(LOG_STD, fixed)
    if learner.config.network.learn_std:
        params[LOG_STD] = log_std
    params = with_std_within({"params": params}, std_limits(learner.config.network, 0.0))
    fresh = first_device((state.critic.params, state.normalizer))
    critic, moments = source.stored.critic, source.stored.normalizer
    if source.has_new_value_function:
        shared = learner.env.policy_inputs or len(fresh[1].mean)
        critic, moments = (
            fresh[0],
            jax.tree.map(lambda new, old: jnp.concatenate([old[:shared], new[shared:]]), fresh[1], moments),
        )
    actor, critic, normalizer = replicate(learner.devices, (params, critic, moments))
    rate = state.actor.learning_rate
    if (ppo := learner.config.ppo).target_kl is not None:
        rate = jnp.full_like(rate, ppo.min_rate)
    return replace(
        state,
        actor=replace(state.actor, params=actor, learning_rate=rate),
        critic=replace(state.critic, params=critic),
        normalizer=normalizer,
    )


def _widened(source: Source, fresh: Normalizer) -> Source:
    """Let the networks and the normaliser of another run take the numbers that it did not observe.

    Their first weights are 0, so that nothing changes at first; their moments are those of a fresh state.
    """
    stored, added = source.stored, source.added
    count = added.stop - added.start
    if not count:
        return source

    def with_rows(path: Any, weights: np.ndarray) -> np.ndarray:
        if jax.tree_util.keystr(path).endswith("['MLP_0']['Dense_0']['kernel']"):
            rows = np.zeros((count, weights.shape[1]), np.float32)
            return np.insert(weights, [added.start] * count, rows, axis=0)
        return weights

    actor, critic = jax.tree_util.tree_map_with_path(with_rows, (stored.actor, stored.critic))
    moments = jax.tree.map(
        lambda old, new: jnp.insert(old, added.start, new[added]), stored.normalizer, fresh
    )
    wider = replace(stored, actor=actor, critic=critic, normalizer=moments)
    return replace(source, stored=wider, added=slice(0, 0))
