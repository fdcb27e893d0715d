"""Options of OpenRLHF that this project leaves out, each with what to do instead."""

from __future__ import annotations

_REWARD_MODEL = "rewards here are verifiable: give a Python file or a server to --reward.remote_url"
_IMAGES = "prompts here are text only: remove the option"
_NO_CRITIC = "there is no critic here, the group of rollouts is the baseline: remove the option"

REFUSED = {
    "reward.model_name_or_path": _REWARD_MODEL,
    "reward.num_nodes": _REWARD_MODEL,
    "reward.num_gpus_per_node": _REWARD_MODEL,
    "reward.offload": _REWARD_MODEL,
    "reward.normalize_enable": _REWARD_MODEL,
    "train.colocate_critic_reward": "there is neither critic nor reward model here; see --train.colocate_all",
    "algo.advantage.lambd": "GAE needs a critic, which is not part of this framework: remove the option",
    "data.image_key": _IMAGES,
    "data.max_images_per_prompt": _IMAGES,
    "actor.freeze_visual_encoder": _IMAGES,
    "ds.value_head_prefix": "there is neither critic nor reward model here: remove the option",
    "ds.use_universal_ckpt": "a run goes on with the GPUs it began with, from its checkpoints as they are: remove it",
    "vllm.sync_with_ray": "weights go through vLLM's own transfer interface: see --vllm.sync_backend",
}


def refusal(name: str, value: object, shown: str | None = None) -> str | None:
    """What to tell a user who gave option `name` (dotted) the `value`; None if this project has the option. The
    message calls the option by the name that is `shown`, if that is another."""
    shown = shown or name
    if name == "critic" or name.startswith(("critic.", "critic_")):
        return f"--{shown}: {_NO_CRITIC}"
    if name in REFUSED:
        return f"--{shown}: {REFUSED[name]}"
    if name == "algo.advantage.estimator" and value == "gae":
        return f"--{shown} gae: GAE needs a critic, which is not part of this framework; take group_norm"
    return None
