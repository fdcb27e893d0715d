"""Options of the training itself: prompts, selection, rollouts, rewards, advantages, updates.

Boundary: standard library and annotated_types. The string under a field is its help.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le

from prepo_rlhf.config.base import OnResume, Options
from prepo_rlhf.config.bounds import JsonObject
from prepo_rlhf.config.selectors import SCORED, WITH_ENTROPIES, SelectorName, is_own


@dataclass(frozen=True)
class DataOptions(Options):
    """The prompts."""

    on_resume = OnResume.SAME

    prompt_dataset: str | None = None
    """File, folder or Hugging Face name of the prompts; several, separated by commas. Required."""
    prompt_probs: str | None = None
    """Sampling probabilities of the datasets, separated by commas."""
    prompt_split: str = "train"
    """Split of the dataset to train on."""
    max_samples: Annotated[int, Ge(1)] = 100_000_000
    """Take at most this many prompts."""
    input_key: str = "input"
    """Column of the prompt: a text, or a list of chat messages. Dots reach into nested fields."""
    label_key: str | None = None
    """Column of the reference answer, given to the reward function. Dots reach into nested fields."""
    reference_rate_keys: tuple[str, str] | None = None
    """Columns WEAK STRONG of each prompt's pass rate, 0 to 1, under a weak and a strong reference model, measured once;
    for --prepo.selector bots."""
    input_template: str | None = None
    """Text around the prompt, with {} once, in its place; or a template by name: qwen-math, llama3, plain, or chat, the
    tokenizer's chat template around question and instruction. The names are those of eval_math's --prompt."""
    apply_chat_template: bool = False
    """Put the prompt through the tokenizer's chat template as it is, without an instruction."""
    chat_template_kwargs: JsonObject | None = None
    """JSON object of what the chat template takes besides, as in {"enable_thinking": false}."""
    max_len: Annotated[int, Ge(1)] = 2048
    """Longest sequence, prompt and response, in tokens."""
    dataloader_num_workers: Annotated[int, Ge(0), OnResume.TAKES_EFFECT] = 0
    """Taken for the sake of OpenRLHF command lines: prompts are loaded once, before training, without workers."""
    disable_fast_tokenizer: bool = False
    """Use the slow, pure-Python tokenizer."""


@dataclass(frozen=True)
class PrepoOptions(Options):
    """PREPO (arXiv 2511.00794): which prompts get rollouts, and the weight of each rollout."""

    on_resume = OnResume.SAME

    selector: SelectorName = "prepo"
    """Who gets rollouts: the perplexity window of the schedule (prepo), always its low or high end (low-ppl, high-ppl),
    or a random choice (random); as controls and baselines, the schedule over prompt length (length), mopps, dps, bots,
    greso, two after KGPS and HIVE (kgps, hive), and a model of the pass rate (calibrated); or a class of your own,
    path/to/file.py:Class."""
    pacing: Literal["linear", "sqrt", "quadratic", "feedback"] = "linear"
    """How the window moves with training progress rho: as rho (the paper's), its root or its square; or where the
    rewards say that there is something to learn (feedback)."""
    ppl_length_bins: Annotated[int, Ge(1)] = 1
    """Cut the candidates into so many bins by prompt length, and take the perplexity window in each; 1 does not."""
    dps_lambda: Annotated[float, Ge(0), Le(1)] = 0.7
    """Of the selector dps: share of its evidence that outlives a step; its authors have 0.7 on MATH, 0.5 elsewhere."""
    bots_lambda: Annotated[float, Ge(0), Le(1)] = 0.2
    """Of the selector bots: share of its evidence that is forgotten in a step."""
    bots_rho: Annotated[float, Ge(0), Le(1)] = 0.2
    """Of the selector bots: weight of the pass rates that the reference models imply; halved with each step in which
    they are wrong."""
    calibrated_uses: Literal[
        "all", "no-perplexity", "no-length", "no-history", "perplexity", "length", "history", "and-entropy",
        "entropy-for-perplexity",
    ] = "all"  # fmt: skip
    """Of the selector calibrated: what its pass rates are predicted from: perplexity, length and the prompt's own
    history, two of them, or one alone; or with the policy's entropy over the prompt beside perplexity or in its place.
    Without both no prompt is scored."""
    calibrated_memory: Literal["fixed", "measured"] = "fixed"
    """Of the selector calibrated: how fast it forgets: by fixed factors, or as fast as the pass rates of prompts that
    were rolled out again have moved."""
    allocation: Literal["fixed", "pilot"] = "fixed"
    """How a step's rollouts, rollout.batch_size x rollout.n_samples_per_prompt, are shared out: as many for each prompt
    (fixed); or a pilot for each, the rest where the pilot's rewards differ, and for what others leave further prompts
    of the same candidates (pilot)."""
    pilot_samples: Annotated[int, Ge(2)] | None = None
    """Of the allocation pilot: rollouts of a prompt before it is decided whether it gets the rest; a divisor of
    rollout.n_samples_per_prompt, by default half of it."""
    candidate_batch_size: Annotated[int, Ge(1)] | None = None
    """|B|, the prompts drawn before selection; by default 5 times --rollout.batch_size (K / |B| = 20%)."""
    entropy_weight: Literal["relative", "none"] = "relative"
    """Weigh each rollout by its entropy relative to the batch, or not."""
    entropy_mean: Literal["sequence", "token"] = "sequence"
    """The batch's mean entropy: over sequences, or over tokens (the paper's appendix)."""
    weight_balance: Literal["batch", "sign"] = "batch"
    """Average weight of 1 over the batch (the paper's), or over each sign of the advantage, which keeps right and wrong
    answers in balance."""
    weight_clip: tuple[float, float] | None = None
    """Clip the weights to LOW HIGH; by default they are not clipped."""
    score_with: Literal["rollout", "actor"] = "rollout"
    """Who computes the prompts' perplexity: the vLLM engines or the DeepSpeed policy."""
    ppl_tokens: Literal["prompt", "question"] = "prompt"
    """Perplexity over the whole prompt as the model reads it, or the question without template and instruction."""

    @property
    def needs_perplexities(self) -> bool:
        """Whether the selector asks for the candidates' perplexity, or may: a user's, which is not loaded here."""
        with_it = ("all", "perplexity", "no-length", "no-history", "and-entropy")
        scored = self.selector in SCORED or is_own(self.selector)
        return scored and (self.selector != "calibrated" or self.calibrated_uses in with_it)

    @property
    def needs_entropies(self) -> bool:
        """Whether it asks for the policy's entropy over their prompts."""
        with_it = self.selector == "calibrated" and self.calibrated_uses in ("and-entropy", "entropy-for-perplexity")
        return self.selector in WITH_ENTROPIES or with_it


@dataclass(frozen=True)
class RolloutOptions(Options):
    """Sampling of responses for training."""

    on_resume = OnResume.SAME

    batch_size: Annotated[int, Ge(1)] = 1024
    """Prompts that get rollouts in a step: K of PREPO."""
    n_samples_per_prompt: Annotated[int, Ge(1)] = 8
    """Rollouts for each prompt. PREPO's value (OpenRLHF's default is 1)."""
    micro_batch_size: Annotated[int, Ge(1), OnResume.TAKES_EFFECT] = 1
    """Sequences of one forward pass when experience is made, on each GPU."""
    vllm_generate_batch_size: Annotated[int, Ge(1)] | None = None
    """Prompts in one call of generation: always batch_size, the window of a step; other values are refused."""
    max_new_tokens: Annotated[int, Ge(1)] | None = None
    """Longest response in tokens; by default what --data.max_len leaves after the prompt."""
    max_tokens_per_gpu: Annotated[Annotated[int, Ge(1)] | None, OnResume.TAKES_EFFECT] = None
    """Tokens of a dynamic micro batch when experience is made; by default --train.max_tokens_per_gpu."""
    temperature: Annotated[float, Gt(0)] = 1.0
    """Sampling temperature, above 0."""
    top_p: Annotated[float, Gt(0), Le(1)] = 1.0
    """Sample from the most probable tokens that make up this share."""
    stop: str | list[str] = field(default_factory=list)
    """Texts that end a response, which keeps them; besides the model's EOS tokens and the prompt template's own."""


@dataclass(frozen=True)
class MathOptions(Options):
    """The built-in math verifier, used with `--reward.remote_url math`."""

    on_resume = OnResume.SAME

    extraction: Literal["boxed", "marked", "any"] = "marked"
    """Where the final answer is looked for: in \\boxed{} only; then after "the answer is" or ####; then anywhere."""
    timeout: Annotated[float, Gt(0), OnResume.TAKES_EFFECT] = 5.0
    """Seconds of processor time after which the grading of an answer is stopped, and earns 0."""
    memory_gb: Annotated[float, Gt(0), OnResume.TAKES_EFFECT] = 2.0
    """Gigabytes that the grading of an answer may take, before it is stopped."""
    max_answer_length: Annotated[int, Ge(1)] = 1000
    """Characters of the longest answer that is graded; longer ones earn 0."""
    num_workers: Annotated[int, Ge(1), OnResume.TAKES_EFFECT] = 2
    """Worker processes that grade, for each rollout engine."""
    format_coef: float = 0.0
    """Added to the reward of a response that holds a \\boxed{}, right or wrong."""


@dataclass(frozen=True)
class RewardOptions(Options):
    """Verifiable rewards."""

    on_resume = OnResume.SAME

    remote_url: Annotated[str | None, OnResume.TAKES_EFFECT] = None
    """`math` for the built-in verifier, a Python file with reward_func(queries, prompts, labels), or the URL of a
    reward server. Required."""
    patience: Annotated[float, Ge(0), OnResume.TAKES_EFFECT] = 5.0
    """Minutes for which a reward server that does not answer is asked again, after growing pauses, until it is gone."""
    clip_range: tuple[float, float] = (-10.0, 10.0)
    """Rewards are clipped to LOW HIGH."""
    overlong_buffer_len: Annotated[float, Gt(0)] | None = None
    """Tokens before the length limit in which the penalty for long responses grows (DAPO)."""
    overlong_penalty_factor: float = 1.0
    """Largest penalty for a long response."""
    stop_properly_penalty_coef: Annotated[float, Le(1)] | None = None
    """Factor (0 to 1) on the reward of a truncated response; below 0, the reward itself."""
    math: MathOptions = field(default_factory=MathOptions)


@dataclass(frozen=True)
class AdvantageOptions(Options):
    """From rewards to advantages."""

    on_resume = OnResume.SAME

    estimator: Literal[
        "reinforce", "rloo", "reinforce_baseline", "group_norm", "dr_grpo", "flash_reinforce", "posterior"
    ] = "group_norm"
    """How rewards become advantages. PREPO's is group_norm, the group-normalised reward (OpenRLHF's default is gae);
    posterior has the pass rate that the selector predicted in its baseline, for rewards from 0 to 1."""
    gamma: Annotated[float, Le(1)] = 1.0
    """Discount of later tokens."""
    no_std_norm: bool = False
    """Centre advantages without dividing them by their standard deviation."""
    is_correction_level: Literal["off", "token", "seq"] = "off"
    """Correct for the difference between the engines' log-probs and the policy's: never, by token, or by sequence."""
    is_correction_mode: Literal["mask", "clip"] = "mask"
    """Outside the thresholds, drop the unit (mask) or bring its ratio back to them (clip; by token only)."""
    is_correction_gating: Literal["ratio", "binary_kl", "tv"] = "ratio"
    """What is compared with the thresholds: the ratio policy / engine, or a divergence of the sampled token."""
    is_correction_threshold: tuple[float, ...] = (0.5, 5.0)
    """LOW HIGH, or HIGH alone; a divergence takes HIGH alone."""


@dataclass(frozen=True)
class KLOptions(Options):
    """Distance to the reference model."""

    on_resume = OnResume.SAME

    init_coef: Annotated[float, Ge(0)] = 0.0
    """Coefficient of the KL term; 0, as in PREPO, starts no reference model (OpenRLHF's default is 0.01)."""
    target: Annotated[float, Gt(0)] | None = None
    """KL that an adaptive coefficient aims at; by default the coefficient is fixed."""
    horizon: Annotated[int, Ge(1)] = 10000
    """Pace of the adaptive coefficient, in sequences."""
    use_loss: bool = False
    """Put the KL term in the loss instead of the reward."""
    estimator: Literal["k1", "k2", "k3"] = "k1"
    """Estimator of the KL: k1 suits the reward, k2 and k3 the loss."""
    unbiased_gradient: bool = False
    """In the loss, use the gradient of the true reverse KL whatever the estimator."""


@dataclass(frozen=True)
class AlgoOptions(Options):
    """Algorithm."""

    on_resume = OnResume.SAME

    advantage: AdvantageOptions = field(default_factory=AdvantageOptions)
    kl: KLOptions = field(default_factory=KLOptions)
    dynamic_filtering_enable: bool = False
    """After rollout, drop groups that teach nothing by the criterion, and generate more (DAPO)."""
    dynamic_filtering_criterion: Literal["mean-range", "zero-variance"] = "mean-range"
    """Drop groups whose mean reward is outside the range (OpenRLHF's), or whose rewards are all equal."""
    dynamic_filtering_range: tuple[float, float] = (0.0, 1.0)
    """LOW HIGH of the mean reward, both excluded; for the criterion mean-range."""


@dataclass(frozen=True)
class TrainOptions(Options):
    """Optimisation, and where processes are placed."""

    on_resume = OnResume.SAME

    num_episodes: Annotated[int, Ge(1), OnResume.TAKES_EFFECT] = 1
    """Passes over the prompts."""
    max_epochs: Annotated[int, Ge(1)] = 1
    """Passes over each step's rollouts; at most so many with reuse_limit."""
    reuse_limit: Annotated[float, Ge(0)] | None = None
    """Nats a token: a further pass is made while the mean KL (k3) between the policy before the first pass and the one
    after the last, over the sequences trained on, is not above this. By default all passes are made."""
    replay_depth: Annotated[int, Ge(0)] = 0
    """Steps whose informative groups (those with an advantage other than 0) every later step trains on once more, while
    they are among the last so many; 0: none. They join the step's own mini-batches, whose losses count them, so a step
    makes as many updates as without. Old log-probs, advantages and weights stay those of the rollouts."""
    batch_size: Annotated[int, Ge(1)] = 128
    """Sequences in one update, over all ranks; those of replay_depth come on top."""
    micro_batch_size: Annotated[int, Ge(1), OnResume.TAKES_EFFECT] = 1
    """Sequences in one forward and backward pass, on each GPU."""
    dynamic_batch_enable: bool = False
    """Fill micro batches up to max_tokens_per_gpu instead of a fixed number; implies --ds.packing_samples."""
    max_tokens_per_gpu: Annotated[int, Ge(1), OnResume.TAKES_EFFECT] = 16192
    """Tokens of a dynamic micro batch in training."""
    seed: Annotated[int, Ge(0), Le(2**31 - 1)] = 42
    """Seed of everything random."""
    full_determinism_enable: bool = False
    """Deterministic kernels, a seed for every request and the same batches in the engines: repeatable, slower."""
    colocate_actor_ref: Annotated[bool, OnResume.TAKES_EFFECT] = False
    """Policy and reference model share their GPUs."""
    colocate_all: Annotated[bool, OnResume.TAKES_EFFECT] = False
    """Policy, reference model and engines share their GPUs."""
    async_enable: bool = False
    """Generate the next rollouts while the policy trains on the last ones."""
    async_queue_size: Annotated[int, Ge(1)] = 1
    """Batches of rollouts that may wait for training."""
    partial_rollout_enable: bool = False
    """Sync weights in the middle of generation (with async_enable): responses may mix old and new weights."""
    enable_ema: bool = False
    """Keep a moving average of the weights, and save it."""
    ema_beta: Annotated[float, Le(1)] = 0.992
    """Decay of that average."""
    agent_func_path: str | None = None
    """Python file of a multi-turn agent, in place of --reward.remote_url."""
    max_restarts: Annotated[int, Ge(0), OnResume.TAKES_EFFECT] = 3
    """Restarts of all actors, without a finished step between, after a process or node of the job has died; 0: none,
    and no rollout engine is replaced alone."""
    wait_for_nodes: Annotated[float, Ge(0), OnResume.TAKES_EFFECT] = 10
    """Minutes that a restart waits for the places of a node that is gone."""
    hang_timeout: Annotated[float, Ge(0), OnResume.TAKES_EFFECT] = 30
    """Minutes without a token, micro batch, graded answer, or byte of weights after which what is waited for counts as
    dead, as with max_restarts, and the stacks of all processes are kept; 0: never."""
