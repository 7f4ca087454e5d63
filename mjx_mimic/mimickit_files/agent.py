"""What becomes of each key of MimicKit's agent files."""

import math

from mjx_mimic.common.errors import bare
from mjx_mimic.mimickit_files.draft import KEEP, REQUIRED, Draft, Key, only, option, plain

NETS = {
    "fc_2layers_128units": (128, 64),
    "fc_2layers_256units": (256, 128),
    "fc_2layers_512units": (512, 256),
    "fc_2layers_1024units": (1024, 512),
    "fc_3layers_1024units": (1024, 1024, 512),
}
"""Widths of the hidden layers of MimicKit's networks."""


def _net(path: str) -> Key:
    def translate(draft: Draft, key: str, value: str) -> None:
        if value not in NETS:
            draft.refuse(key, f"is {bare(value)}, which is unknown; use {', '.join(NETS)}")
        draft.set(path, NETS[value])

    return Key(option(path), "its widths, such as 1024 512; ReLU", str, KEEP, translate)


def _std_type(draft: Draft, key: str, value: str) -> None:
    kinds = {"FIXED": False, "CONSTANT": True, "VARIABLE": True}
    if value not in kinds:
        draft.refuse(key, f"is {bare(value)}; use {', '.join(kinds)}")
    draft.set("network.learn_std", kinds[value])
    if value == "VARIABLE":
        draft.tell(key, "the deviation does not depend on the state: --network.learn-std")


def _optimizer(draft: Draft, key: str, value: str) -> None:
    kinds = {"SGD": "sgd", "Adam": "adam"}
    if value not in kinds:
        draft.refuse(key, f"is {bare(value)}; use {' or '.join(kinds)}")
    draft.set("ppo.optimizer", kinds[value])
    if draft.values.get(_CRITIC_TYPE, value) != value:
        draft.tell(_CRITIC_TYPE, "both optimizers are of one type, the actor's: --ppo.optimizer")


def _grad_clip(draft: Draft, key: str, value: float) -> None:
    critic = draft.values[_CRITIC_CLIP]
    named = key if value else _CRITIC_CLIP
    draft.set("ppo.max_grad_norm", value or critic or None)
    draft.check(named)
    if value != critic:
        draft.tell(named, "clips the gradients of both networks: --ppo.max-grad-norm")


_CRITIC_TYPE, _CRITIC_CLIP = "critic_optimizer.type", "critic_optimizer.grad_clip"
_ONE_TYPE, _ONE_CLIP = "SGD or Adam, the actor's for both networks", "one for both networks; 0: none"


def _optimizer_keys(network: str) -> dict[str, Key]:
    return {
        "learning_rate": plain(f"ppo.{network}_rate", float),
        "weight_decay": Key("", "weights do not decay", float, neutral=(0.0,)),
        "use_amp": Key("", "always float32", bool, neutral=(False,)),
        "amp_type": Key("", "always float32"),
    }


def _lambda(draft: Draft, key: str, value: float) -> None:
    draft.set("ppo.gae_lambda", value)
    draft.set("ppo.td_lambda", value)


def _minibatches(network: str) -> Key:
    path = f"ppo.{network}_minibatches"

    def translate(draft: Draft, key: str, size: float) -> None:
        """Divide the steps of a rollout by those of a minibatch."""
        steps = draft.config.unroll_length
        if not 0.0 < size < math.inf:
            draft.refuse(key, f"is {size}; use a number over 0, such as 4")
        wanted = math.ceil(steps / min(max(size, 1e-9), steps))
        count = next((n for n in range(wanted, steps + 1) if steps % n == 0), wanted)
        draft.set(path, count)
        if count * size != steps:
            draft.tell(key, f"minibatches are of one size: {option(path)} {count}")

    how = "`steps_per_iter` divided by it: a minibatch has this many times `num_envs` samples, as in MimicKit"
    return Key(option(path), how, float, KEEP, translate)


def _evaluations(draft: Draft, key: str, iterations: int) -> None:
    """Turn iterations between evaluations into samples, of one accelerator where no total is given."""
    config = draft.config
    samples = iterations * config.unroll_length * (config.num_envs or config.envs_per_accelerator)
    draft.set("eval_interval", samples)
    if not config.num_envs:
        draft.tell(
            key, f"--eval-interval {samples}, of one accelerator; with several, multiply by their number"
        )


AGENT = {
    "agent_name": Key("", "PPO; others are refused", str, REQUIRED, only("PPO", "name a file with PPO")),
    "model.actor_net": _net("network.actor_hidden"),
    "model.actor_init_output_scale": Key("", "always 0.01", neutral=(0.01,)),
    "model.actor_std_type": Key(
        "--network.learn-std",
        "True for CONSTANT, and for VARIABLE",
        str,
        KEEP,
        _std_type,
    ),
    "model.action_std": plain("network.initial_std", float),
    "model.critic_net": _net("network.critic_hidden"),
    "actor_optimizer.type": Key("--ppo.optimizer", _ONE_TYPE, str, "SGD", _optimizer),
    _CRITIC_TYPE: Key("--ppo.optimizer", _ONE_TYPE, str, part_of="actor_optimizer.type"),
    "actor_optimizer.grad_clip": Key("--ppo.max-grad-norm", _ONE_CLIP, float, 0.0, _grad_clip),
    _CRITIC_CLIP: Key("--ppo.max-grad-norm", _ONE_CLIP, float, 0.0, part_of="actor_optimizer.grad_clip"),
    **{
        f"{network}_optimizer.{name}": key
        for network in ("actor", "critic")
        for name, key in _optimizer_keys(network).items()
    },
    "discount": plain("ppo.discount", float),
    "steps_per_iter": plain("unroll_length", int),
    "iters_per_output": Key(
        "--eval-interval",
        "in samples: times `steps_per_iter` times `num_envs`, of one accelerator",
        int,
        KEEP,
        _evaluations,
    ),
    "test_episodes": plain("eval_envs", int, "the first episode of so many environments"),
    "normalizer_samples": plain("normalizer.samples", int, default=None),
    "actor_epochs": plain("ppo.actor_epochs", int),
    "actor_batch_size": _minibatches("actor"),
    "critic_epochs": plain("ppo.critic_epochs", int),
    "critic_batch_size": _minibatches("critic"),
    "critic_eval_batch_size": Key("", "all values are computed at once", neutral=(0,)),
    "td_lambda": Key(
        "--ppo.gae-lambda, --ppo.td-lambda",
        "both: MimicKit's advantages are returns less values",
        float,
        KEEP,
        _lambda,
    ),
    "ppo_clip_ratio": plain("ppo.clip", float),
    "norm_adv_clip": plain("ppo.advantage_clip", float),
    "action_bound_weight": plain("ppo.action_bound_weight", float),
    "action_entropy_weight": plain("ppo.entropy_weight", float),
    "action_reg_weight": Key("", "there is no such loss", float, neutral=(0.0,)),
    "exp_anneal_samples": Key("", "every action explores"),
    "exp_prob_beg": Key("", "every action explores", float, neutral=(1.0,)),
    "exp_prob_end": Key("", "every action explores", float, neutral=(1.0,)),
}
