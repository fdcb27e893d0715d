"""Options that cannot work together are refused by name; those that can are not."""

from __future__ import annotations

import pytest
from tiny_tasks import gpu_job

from prepo_rlhf.config import Config, ConfigError

REQUIRED = "--actor.model_name_or_path m --data.prompt_dataset d.jsonl --reward.remote_url r.py".split()


def parse(*flags: str) -> Config:
    return gpu_job([*REQUIRED, *flags])


@pytest.mark.parametrize("missing", ["--actor.model_name_or_path", "--data.prompt_dataset", "--reward.remote_url"])
def test_a_required_option_is_asked_for(missing: str) -> None:
    at = REQUIRED.index(missing)
    with pytest.raises(ConfigError, match=missing):
        gpu_job(REQUIRED[:at] + REQUIRED[at + 2 :])


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        ("--prepo.candidate_batch_size 1023", "--prepo.candidate_batch_size 1023"),
        ("--ds.param_dtype fp32 --ds.attn_implementation flash_attention_2", "--ds.param_dtype fp32"),
        ("--ds.param_dtype fp32 --ds.ring_attn_size 2 --ds.packing_samples", "--ds.ring_attn_size 2"),
        ("--ds.attn_implementation sdpa --ds.ring_attn_size 2 --ds.packing_samples", "--ds.ring_attn_size 2"),
        ("--ds.attn_implementation eager --ds.packing_samples", "--ds.attn_implementation eager"),
        ("--ds.attn_implementation packed_sdpa", "--ds.attn_implementation packed_sdpa"),
        ("--ds.load_in_4bit --ds.lora.rank 8", "--ds.load_in_4bit: "),
        ("--prepo.weight_clip 2 1", "--prepo.weight_clip"),
        ("--prepo.weight_clip -1 1", "--prepo.weight_clip"),
        ("--prepo.pacing sqrt --prepo.selector low-ppl", "--prepo.pacing sqrt"),
        ("--prepo.pacing feedback --prepo.selector random", "--prepo.pacing feedback"),
        ("--prepo.pacing feedback --prepo.selector length", "--prepo.pacing feedback"),
        ("--prepo.ppl_length_bins 0", "--prepo.ppl_length_bins 0"),
        ("--prepo.ppl_length_bins 1025", "at most 1024"),
        ("--prepo.ppl_length_bins 2 --prepo.selector random", "--prepo.ppl_length_bins 2"),
        ("--prepo.ppl_length_bins 2 --prepo.selector length", "--prepo.ppl_length_bins 2"),
        ("--prepo.ppl_length_bins 2 --prepo.pacing feedback", "--prepo.ppl_length_bins 2"),
        ("--prepo.selector bots", "--data.reference_rate_keys: name the two columns"),
        ("--data.reference_rate_keys weak strong", "--data.reference_rate_keys is read by --prepo.selector bots only"),
        ("--prepo.calibrated_memory measured --prepo.selector kgps", "--prepo.selector calibrated only, not by kgps"),
        ("--prepo.calibrated_uses length", "--prepo.selector calibrated only, not by prepo"),
        ("--prepo.dps_lambda 1.5", "--prepo.dps_lambda 1.5"),
        ("--prepo.dps_lambda 0.5 --prepo.selector mopps", "--prepo.selector dps only, not by mopps"),
        ("--prepo.weight_balance sign --prepo.entropy_weight none", "--prepo.weight_balance sign"),
        (
            "--prepo.selector greso --rollout.n_samples_per_prompt 1 --algo.advantage.estimator reinforce",
            "--prepo.selector greso",
        ),
        ("--algo.dynamic_filtering_criterion zero-variance", "--algo.dynamic_filtering_enable: add it"),
        (
            "--algo.dynamic_filtering_enable --algo.dynamic_filtering_criterion zero-variance "
            "--algo.dynamic_filtering_range 0.1 0.9",
            "--algo.dynamic_filtering_range 0.1 0.9",
        ),
        ("--rollout.n_samples_per_prompt 1", "--rollout.n_samples_per_prompt 1"),
        (
            "--algo.advantage.estimator posterior",
            "--prepo.selector prepo predicts no pass rate to have in the baseline; take the selector mopps or cal",
        ),
        (
            "--algo.advantage.estimator posterior --prepo.selector mopps --reward.overlong_buffer_len 64",
            "--reward.overlong_buffer_len 64.0: --algo.advantage.estimator posterior takes rewards from 0 to 1 only",
        ),
        (
            "--algo.advantage.estimator posterior --prepo.selector mopps --reward.stop_properly_penalty_coef -0.5",
            "--reward.stop_properly_penalty_coef -0.5",
        ),
        (
            "--algo.advantage.estimator posterior --prepo.selector mopps --reward.remote_url math "
            "--data.label_key answer --reward.math.format_coef 0.1",
            "--reward.math.format_coef 0.1",
        ),
        ("--prepo.pilot_samples 4", "--prepo.pilot_samples 4 is read with --prepo.allocation pilot only"),
        ("--prepo.allocation pilot --prepo.pilot_samples 1", "--prepo.pilot_samples 1: must be at least 2"),
        ("--prepo.allocation pilot --prepo.pilot_samples 3", "--prepo.pilot_samples 3: must be a divisor of"),
        ("--prepo.allocation pilot --prepo.pilot_samples 8", "for whole pilots: take 2 or 4"),
        ("--prepo.allocation pilot --rollout.n_samples_per_prompt 7", "raise the latter to a number that has one"),
        (
            "--prepo.allocation pilot --prepo.pilot_samples 2 --prepo.candidate_batch_size 4095",
            "--prepo.candidate_batch_size 4095: with --prepo.allocation pilot a step may take 4096 prompts",
        ),
        ("--prepo.allocation pilot --prepo.selector greso", "keeps the groups that --prepo.selector greso would drop"),
        ("--prepo.allocation pilot --prepo.selector hive", "and --prepo.selector hive has a median of whole ones"),
        ("--prepo.allocation pilot --prepo.ppl_length_bins 2", "--prepo.ppl_length_bins above 1"),
        ("--prepo.allocation pilot --algo.dynamic_filtering_enable", "--algo.dynamic_filtering_enable would drop"),
        ("--prepo.allocation pilot --train.agent_func_path a.py", "--train.agent_func_path; remove one of them"),
        (
            "--prepo.allocation pilot --algo.advantage.estimator reinforce_baseline",
            "which --algo.advantage.estimator reinforce_baseline does not take: give group_norm, rloo, dr_grpo or post",
        ),
        ("--rollout.n_samples_per_prompt 0 --algo.advantage.estimator reinforce", "--rollout.n_samples_per_prompt 0"),
        ("--data.max_len 512 --rollout.max_new_tokens 512", "--data.max_len 512"),
        ("--actor.num_gpus_per_node 6", "--train.batch_size 128"),
        ("--train.micro_batch_size 3", "--train.micro_batch_size 3"),
        ("--train.batch_size 12 --actor.num_gpus_per_node 8 --train.dynamic_batch_enable", "--train.batch_size 12"),
        ("--actor.num_gpus_per_node 6 --ds.ring_attn_size 4", "--ds.ring_attn_size 4"),
        ("--rollout.batch_size 100", "--rollout.batch_size 100"),
        ("--rollout.micro_batch_size 3", "--rollout.micro_batch_size 3"),
        ("--rollout.vllm_generate_batch_size 2048", "--rollout.vllm_generate_batch_size 2048"),
        ("--train.colocate_all --vllm.num_engines 4", "--train.colocate_all"),
        ("--train.colocate_actor_ref --algo.kl.init_coef 0.1 --ref.num_gpus_per_node 4", "--ref.num_gpus_per_node 4"),
        ("--train.colocate_all --train.async_enable --vllm.enable_sleep", "--vllm.enable_sleep"),
        ("--train.partial_rollout_enable", "--train.partial_rollout_enable"),
        ("--train.reuse_limit 0.1", "--train.reuse_limit"),
        ("--train.replay_depth 1 --train.max_epochs 2", "--train.max_epochs 2"),
        (
            "--train.async_enable --train.partial_rollout_enable --train.full_determinism_enable",
            "--train.full_determinism_enable",
        ),
        ("--train.async_enable --prepo.score_with actor", "--prepo.score_with actor"),
        ("--train.async_enable --prepo.selector hive", "--prepo.selector hive, which looks at prompts' entropies"),
        (
            "--train.async_enable --prepo.selector calibrated --prepo.calibrated_uses and-entropy",
            "--prepo.selector calibrated, which looks at",
        ),
        ("--vllm.num_engines 0", "--vllm.num_engines 0: must be at least 1"),
        ("--vllm.sync_backend ipc", "--vllm.sync_backend ipc"),
        ("--vllm.sync_backend nccl --backend cpu", "--vllm.sync_backend nccl"),
        ("--ds.deepcompile --backend cpu", "--ds.deepcompile compiles for GPUs"),
        ("--ds.tensor_parallel_size 2 --actor.num_gpus_per_node 2", "--ds.tensor_parallel_size 2: "),
        ("--ds.zero_stage 4", "--ds.zero_stage 4"),
        ("--ds.ring_attn_size 0", "--ds.ring_attn_size 0"),
        ("--ds.lora.rank 8 --ds.lora.target_modules", "--ds.lora.target_modules"),
        ("--ds.lora.rank 8 --train.enable_ema", "--train.enable_ema averages weights"),
        ("--rollout.temperature 0", "--rollout.temperature 0.0: must be above 0"),
        ("--rollout.temperature nan", "--rollout.temperature nan"),
        ("--rollout.top_p 0", "--rollout.top_p 0"),
        ("--rollout.top_p 1.1", "--rollout.top_p 1.1: must not be above 1"),
        ("--algo.kl.init_coef -1", "--algo.kl.init_coef -1"),
        ("--actor.dual_clip 1", "--actor.dual_clip 1.0: must be above 1"),
        ("--actor.eps_clip_low_high -0.1 0.2", "--actor.eps_clip_low_high"),
        ("--reward.clip_range 1 -1", "--reward.clip_range"),
        ("--reward.overlong_buffer_len 4096", "--reward.overlong_buffer_len"),
        ("--reward.stop_properly_penalty_coef 2", "--reward.stop_properly_penalty_coef"),
        ("--algo.dynamic_filtering_enable --algo.dynamic_filtering_range 1 0", "--algo.dynamic_filtering_range"),
        (
            "--algo.dynamic_filtering_enable --rollout.n_samples_per_prompt 1 --algo.advantage.estimator reinforce",
            "--algo.dynamic_filtering_enable",
        ),
        ("--algo.advantage.is_correction_threshold 1 2 3", "--algo.advantage.is_correction_threshold"),
        (
            "--algo.advantage.is_correction_level token --algo.advantage.is_correction_threshold 5 1",
            "--algo.advantage.is_correction_threshold",
        ),
        (
            "--algo.advantage.is_correction_level seq --algo.advantage.is_correction_mode clip",
            "--algo.advantage.is_correction_mode",
        ),
        (
            "--algo.advantage.is_correction_level seq --algo.advantage.is_correction_gating binary_kl",
            "--algo.advantage.is_correction_threshold",
        ),
        ("--eval.steps 10", "--eval.dataset"),
        ("--eval.steps 0 --eval.dataset e", "--eval.steps 0"),
        ("--ckpt.save_steps 0", "--ckpt.save_steps 0"),
        ("--logger.logging_steps 0", "--logger.logging_steps 0"),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_what_can_not_work_is_refused_by_name(flags: str, named: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse(*flags.split())
    assert named in str(refused.value)


@pytest.mark.parametrize(
    "flags",
    [
        "--prepo.candidate_batch_size 1024",
        "--prepo.pacing quadratic --prepo.ppl_length_bins 1024 --prepo.weight_balance sign --prepo.entropy_mean token",
        "--prepo.pacing sqrt --prepo.selector length --prepo.weight_balance sign --prepo.weight_clip 0.5 2",
        "--prepo.ppl_length_bins 4 --prepo.selector high-ppl",
        "--prepo.dps_lambda 0.5 --prepo.selector dps",
        "--prepo.calibrated_uses no-history --prepo.selector calibrated",
        "--prepo.bots_rho 0 --prepo.bots_lambda 1 --prepo.selector bots --data.reference_rate_keys weak strong",
        "--prepo.pacing feedback --algo.dynamic_filtering_enable --algo.dynamic_filtering_criterion zero-variance",
        "--prepo.selector greso --algo.dynamic_filtering_enable --algo.dynamic_filtering_range 0.2 0.8",
        "--rollout.n_samples_per_prompt 1 --algo.advantage.estimator flash_reinforce",
        "--rollout.n_samples_per_prompt 1 --algo.advantage.estimator posterior --prepo.selector calibrated "
        "--reward.stop_properly_penalty_coef 0.5 --reward.math.format_coef 0.1",
        "--algo.advantage.estimator posterior --prepo.selector mopps --algo.dynamic_filtering_enable",
        "--prepo.allocation pilot --prepo.pilot_samples 2 --prepo.candidate_batch_size 4096 --train.async_enable",
        "--prepo.allocation pilot --algo.advantage.estimator posterior --prepo.selector calibrated "
        "--train.async_enable --train.partial_rollout_enable --prepo.weight_balance sign",
        "--train.colocate_all --vllm.num_engines 8 --vllm.enable_sleep",
        "--train.colocate_all --vllm.enable_sleep",
        "--train.colocate_all --train.async_enable --train.partial_rollout_enable",
        "--train.dynamic_batch_enable --train.micro_batch_size 3 --rollout.micro_batch_size 3",
        "--algo.advantage.is_correction_level seq --algo.advantage.is_correction_gating tv "
        "--algo.advantage.is_correction_threshold 0.1",
        "--backend cpu --vllm.sync_backend gloo --prepo.weight_clip 0 0",
        "--actor.optim muon --actor.max_norm 0",
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_what_can_work_passes(flags: str) -> None:
    parse(*flags.split())


def test_a_pilot_is_half_of_the_rollouts_unless_told() -> None:
    assert parse("--prepo.allocation", "pilot").prepo.pilot_samples == 4
    assert parse().prepo.pilot_samples is None


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(ConfigError, match="(?s)--prepo.candidate_batch_size.*--reward.clip_range"):
        parse("--reward.clip_range", "1", "0", "--prepo.candidate_batch_size", "1")
    with pytest.raises(ConfigError, match="(?s)--actor.dual_clip.*--rollout.top_p.*--reward.math.timeout"):
        parse("--actor.dual_clip", "0.5", "--reward.math.timeout", "0", "--rollout.top_p", "1.5")
