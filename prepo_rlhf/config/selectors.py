"""The selectors by the names of `--prepo.selector`: a line each, `name: "module:class"`.

Boundary: names alone; `prepo_rlhf.selection.registry` imports the one that is asked for.
"""

SELECTORS = {
    "prepo": "prepo_rlhf.selection.ppl_schedule:PplScheduleSelector",
    "low-ppl": "prepo_rlhf.selection.static_ppl:LowPplSelector",
    "high-ppl": "prepo_rlhf.selection.static_ppl:HighPplSelector",
    "random": "prepo_rlhf.selection.random_k:RandomKSelector",
    "length": "prepo_rlhf.selection.length_schedule:LengthScheduleSelector",
    "mopps": "prepo_rlhf.selection.mopps:MoppsSelector",
    "calibrated": "prepo_rlhf.selection.calibrated:CalibratedSelector",
    "dps": "prepo_rlhf.selection.dps:DpsSelector",
    "bots": "prepo_rlhf.selection.bots:BotsSelector",
    "kgps": "prepo_rlhf.selection.kgps:KgpsSelector",
    "hive": "prepo_rlhf.selection.hive:HiveSelector",
    "greso": "prepo_rlhf.selection.greso:GresoSelector",
}
# Those whose class says `needs_scores`, for a plan, which counts the scoring and imports no selector.
SCORED = ("prepo", "low-ppl", "high-ppl", "calibrated")
# Those whose class says `predicts`, for --algo.advantage.estimator posterior.
PREDICTING = ("mopps", "calibrated")
# Those whose class says `needs_entropies`, which the policy computes whatever --prepo.score_with says.
WITH_ENTROPIES = ("hive",)
