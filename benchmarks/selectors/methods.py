"""What is compared: the methods. A method is what it changes of Random without weights, in whatever setting.

Boundary: options of the training command, nothing else.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from settings import ROLLOUTS, Setting

WINDOW = 5  # |B| / K, candidates drawn for each prompt of a step
REFERENCE_MODELS, REFERENCE_SAMPLES = 2, 8  # of each training problem, for its reference pass rates
RATED_FILE = "rated.jsonl"  # the training problems with reference pass rates
RATE_KEYS = ("rate_weak", "rate_strong")


class Method(NamedTuple):
    """A way to spend rollouts: options of the training command.

    `clocked`: its choices depend on the length of the run. The first 60 steps of a run of 150 of any other method are a
    run of 60 steps, since learning rate and prompt order do not depend on the length either.
    `extra_epochs`: beyond Random's. Dynamic sampling leaves a window's last groups unused when they fill no step, so it
    needs more prompts for as many rollouts: on mid an epoch gives it about 1,500 in place of 1,920.
    `made_from`: what is known of the method: its authors' paper, their code or abstract, or somebody else's note; else
    it is this project's own. After an abstract or a note much is our choice, and no result is one about the paper.
    `window`: |B| / K, candidates drawn for each prompt of a step.
    `rated`: it is given reference pass rates, whose rollouts come before the first step; the results show them counted
    and not counted.
    `eval_share`: of the setting's steps between evaluations, less where a step takes more rollouts. Those that drop
    groups make fewer steps of the same prompts, and are compared at Random's number of rollouts.
    """

    options: tuple[str, ...] = ()
    made_from: str = "this project"
    clocked: bool = False
    extra_epochs: int = 0
    eval_share: float = 1.0
    oracle: bool = False  # `oracle.py` runs it in place of the training command
    window: int = WINDOW
    rated: bool = False

    def episodes(self, setting: Setting, steps: int) -> int:
        """Passes over the training problems that give at least so many steps, or as many rollouts."""
        return math.ceil(steps / (setting.train_size // (self.window * setting.prompts))) + self.extra_epochs

    def upfront(self, setting: Setting) -> int:
        """Rollouts before the first step."""
        return REFERENCE_MODELS * REFERENCE_SAMPLES * setting.train_size if self.rated else 0

    def eval_steps(self, setting: Setting) -> int:
        """Steps from one evaluation to the next."""
        return round(setting.eval_every * self.eval_share)


WEIGHTS = ("--prepo.entropy_weight", "relative")
DROPPING = ("--algo.dynamic_filtering_enable", "--algo.dynamic_filtering_criterion", "zero-variance")
BALANCED = (*WEIGHTS, "--prepo.weight_balance", "sign")
HALF_BATCH = ("--train.batch_size", "32", "--train.micro_batch_size", "32")  # twice the updates
POSTERIOR = ("--algo.advantage.estimator", "posterior")
PILOT = ("--prepo.allocation", "pilot", "--prepo.pilot_samples", str(ROLLOUTS // 2))
NEVER_REACHED = 1000.0  # nats a token: each pass is made, and told how far the policy has moved


RATES = ("5e-5", "2e-4", "3e-4")  # beside that of all others, 1e-4, for the methods whose own rate was looked for
RATED = (
    *("random", "random+2", "calibrated+balanced", "calibrated+balanced+2", "calibrated+balanced+4-limit"),
    *("calibrated+posterior+2", "calibrated+balanced+pilot+2", "calibrated-8k+balanced+2", "calibrated-15k+balanced+2"),
)
SIGNALS = ("perplexity", "length", "history")  # what calibrated predicts from: all, two, or one of them


def _selector(name: str, *options: str) -> tuple[str, ...]:
    return ("--prepo.selector", name, *options)


def _passes(number: int, limit: float = NEVER_REACHED) -> tuple[str, ...]:
    """Each step's rollouts trained on that often, while the policy is within `limit` nats a token of them."""
    return ("--train.max_epochs", str(number), "--train.reuse_limit", str(limit))


def _replay(depth: int) -> tuple[str, ...]:
    """The informative groups of so many last steps trained on once more, in as many updates as without."""
    return ("--train.replay_depth", str(depth))


METHODS: dict[str, Method] = {
    "random": Method(made_from="paper"),
    "random+weights": Method(WEIGHTS, "paper"),
    "random+balanced": Method(BALANCED),
    "random+bounded": Method((*WEIGHTS, "--prepo.weight_clip", "0.7", "1.5")),
    "prepo": Method(_selector("prepo", *WEIGHTS), "paper", clocked=True),
    "prepo-weights": Method(_selector("prepo"), "paper", clocked=True),
    "low-ppl": Method(_selector("low-ppl"), "paper"),
    "high-ppl": Method(_selector("high-ppl"), "paper"),
    "length": Method(_selector("length"), clocked=True),
    "greso": Method(_selector("greso"), "paper", eval_share=0.5),
    "mopps": Method(_selector("mopps"), "paper"),
    "mopps-8k": Method(_selector("mopps"), "paper", window=8),
    "dps": Method(_selector("dps"), "code"),
    "dps-8k": Method(_selector("dps"), "code", window=8),
    "bots": Method(
        _selector("bots", "--data.reference_rate_keys", *RATE_KEYS),
        "code",
        rated=True,
    ),
    "after-kgps": Method(_selector("kgps"), "abstract"),
    "after-hive": Method(_selector("hive"), "note"),
    "dynamic": Method(DROPPING, "paper", extra_epochs=5, eval_share=0.3),
    "feedback": Method(_selector("prepo", "--prepo.pacing", "feedback")),
    "calibrated": Method(_selector("calibrated")),
    "calibrated+weights": Method(_selector("calibrated", *WEIGHTS)),
    "calibrated+balanced": Method(_selector("calibrated", *BALANCED)),
    "random+pilot": Method(PILOT),
    "calibrated+balanced+pilot": Method(_selector("calibrated", *BALANCED, *PILOT)),
    "random+2": Method(_passes(2)),
    "prepo+2": Method(_selector("prepo", *WEIGHTS, *_passes(2)), "paper", clocked=True),
    "mopps+2": Method(_selector("mopps", *_passes(2)), "paper"),
    "random+half-batch": Method(HALF_BATCH),
    "calibrated+balanced+half-batch": Method(_selector("calibrated", *BALANCED, *HALF_BATCH)),
    "random+replay1": Method(_replay(1)),
    "calibrated+balanced+2": Method(_selector("calibrated", *BALANCED, *_passes(2))),
    "calibrated+balanced+4": Method(_selector("calibrated", *BALANCED, *_passes(4))),
    "calibrated+balanced+4-limit": Method(_selector("calibrated", *BALANCED, *_passes(4, 0.003))),
    "calibrated+balanced+replay1": Method(_selector("calibrated", *BALANCED, *_replay(1))),
    "calibrated+posterior": Method(_selector("calibrated", *POSTERIOR)),
    "calibrated+posterior+2": Method(_selector("calibrated", *POSTERIOR, *_passes(2))),
    "calibrated+balanced+pilot+2": Method(_selector("calibrated", *BALANCED, *PILOT, *_passes(2))),
    "calibrated-8k+balanced+2": Method(_selector("calibrated", *BALANCED, *_passes(2)), window=8),
    "calibrated-15k+balanced+2": Method(_selector("calibrated", *BALANCED, *_passes(2)), window=15),
    "calibrated+dropping": Method(_selector("calibrated", *DROPPING), extra_epochs=5, eval_share=0.5),
    **{
        f"calibrated-{uses}": Method(_selector("calibrated", "--prepo.calibrated_uses", uses))
        for uses in (*(f"no-{name}" for name in SIGNALS), *SIGNALS, "and-entropy", "entropy-for-perplexity")
    },
    "calibrated-measured": Method(_selector("calibrated", "--prepo.calibrated_memory", "measured")),
    "oracle": Method(_selector("low-ppl"), oracle=True),
}
METHODS |= {
    f"{name}@{rate}": METHODS[name]._replace(options=(*METHODS[name].options, "--actor.adam.lr", rate))
    for name in RATED
    for rate in RATES
}
