"""Every option of a training run: typed, completed and validated before anything starts.

Names, types and defaults are OpenRLHF's (0.11.2), so its command lines keep working, but for these defaults, which
follow PREPO (arXiv 2511.00794: eight rollouts a prompt, clip range 0.2 / 0.28, no KL term, group-normalised
advantages) or belong to this project: actor.eps_clip, actor.eps_clip_low_high, algo.advantage.estimator,
algo.kl.init_coef, rollout.n_samples_per_prompt, vllm.sync_backend, ds.attn_implementation, ckpt.path,
logger.wandb.project and logger.wandb.run_name.

A run's options pass through `parse_args` or `from_yaml` (as given), `resolve` (completed for a machine) and `check`.
Boundary: imports the standard library, tyro, pydantic, annotated_types and yaml; neither torch nor any part of the
training stack.
"""

from prepo_rlhf.config.base import ConfigError
from prepo_rlhf.config.checks import check
from prepo_rlhf.config.command_line import parse_args
from prepo_rlhf.config.files import from_dict, from_yaml, to_yaml
from prepo_rlhf.config.resolve import Machine, resolve
from prepo_rlhf.config.root import Config, GivenConfig

__all__ = [
    "Config",
    "ConfigError",
    "GivenConfig",
    "Machine",
    "check",
    "from_dict",
    "from_yaml",
    "parse_args",
    "resolve",
    "to_yaml",
]
