"""Every option of a training run: typed, completed and validated before anything starts.

Names, types and defaults are OpenRLHF's (0.11.2), so its command lines keep working, but for these defaults, which
follow PREPO (arXiv 2511.00794: eight rollouts a prompt, clip range 0.2 / 0.28, no KL term, group-normalised
advantages) or belong to this project: actor.eps_clip, actor.eps_clip_low_high, algo.advantage.estimator,
algo.kl.init_coef, rollout.n_samples_per_prompt, vllm.num_engines, vllm.sync_backend, ds.attn_implementation,
ckpt.path, logger.wandb.project and logger.wandb.run_name.

Boundary: imports the standard library, tyro, pydantic and yaml; neither torch nor any part of the training stack.
"""

from prepo_rlhf.config.base import ConfigError
from prepo_rlhf.config.checks import check
from prepo_rlhf.config.command_line import parse_args, parse_options
from prepo_rlhf.config.files import from_dict, from_yaml, to_yaml
from prepo_rlhf.config.resolve import resolve
from prepo_rlhf.config.root import Config

__all__ = [
    "Config",
    "ConfigError",
    "check",
    "from_dict",
    "from_yaml",
    "parse_args",
    "parse_options",
    "resolve",
    "to_yaml",
]
