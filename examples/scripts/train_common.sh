# shellcheck shell=bash
# What the train scripts of the models share; they source it, nobody runs it. They set before:
#
#     MODEL  folder or Hugging Face name          DATA       training problems, a file of JSON lines
#     RUN    folder of the run's records          EVAL_DATA  held-out problems, or nothing for no evaluation
#
# and after it call `submit` with the model's own options, which win over those below.
NODES=${NODES:-1} # machines
GPUS=${GPUS:-8}   # of each machine

# PREPO as published, arXiv 2511.00794.
METHOD=(
    --prepo.selector prepo
    --prepo.entropy_weight relative
    --rollout.n_samples_per_prompt 8
    --actor.eps_clip_low_high 0.2 0.28
    --actor.adam.lr 1e-6
    --algo.advantage.estimator group_norm
    --algo.kl.init_coef 0
    --actor.loss_agg_mode token-mean
)

# Not published; our choice. |B| = 640 and K = 128 are the published 20%; 1,024 rollouts are 4 updates a step.
BATCHES=(
    --prepo.candidate_batch_size 640
    --rollout.batch_size 128
    --train.batch_size 256
    --rollout.temperature 1.0
    --actor.lr_scheduler constant
    --actor.lr_warmup_ratio 0
    --train.seed 42
)

# Our choice: policy and engines take turns on all GPUs, samples are packed, activations computed again.
LAYOUT=(
    --actor.num_nodes "$NODES"
    --actor.num_gpus_per_node "$GPUS"
    --vllm.num_engines "$((NODES * GPUS))"
    --train.colocate_all
    --vllm.enable_sleep
    --ds.enable_sleep
    --vllm.gpu_memory_utilization 0.7
    --ds.zero_stage 3
    --ds.packing_samples
    --train.dynamic_batch_enable
    --train.max_tokens_per_gpu 16384
    --actor.gradient_checkpointing_enable
)

# Columns of the data, and where the run leaves what it makes; a checkpoint every 20 steps is our choice.
FILES=(
    --actor.model_name_or_path "$MODEL"
    --data.prompt_dataset "$DATA"
    --data.input_key prompt
    --data.label_key answer
    --reward.remote_url math
    --ckpt.output_dir "$RUN/model"
    --ckpt.path "$RUN/checkpoints"
    --ckpt.save_steps 20
    --logger.run_dir "$RUN"
    --logger.overwrite # an earlier run in $RUN is set aside, unless --ckpt.load_enable goes on from it
)
if [[ -n ${EVAL_DATA:-} ]]; then
    FILES+=(--eval.dataset "$EVAL_DATA" --eval.steps 20)
fi

# Submits the job to the Ray cluster of this machine, or of RAY_API_SERVER_ADDRESS, and waits for it. With PLAN set it
# starts nothing, but says what the job will take; PLAN may hold options of the plan, such as "--gpu_memory 141".
submit() {
    set -- "${METHOD[@]}" "${BATCHES[@]}" "${LAYOUT[@]}" "${FILES[@]}" "$@"
    if [[ -n ${PLAN:-} ]]; then
        read -ra plan <<<"$PLAN"
        [[ ${plan[0]} == --* ]] || plan=()
        exec python3 -m prepo_rlhf.cli.plan --nodes "$NODES" --gpus_per_node "$GPUS" "${plan[@]}" -- "$@"
    fi
    export RAY_API_SERVER_ADDRESS=${RAY_API_SERVER_ADDRESS:-http://127.0.0.1:8265}
    exec ray job submit ${SUBMISSION_ID:+--submission-id "$SUBMISSION_ID"} -- \
        python3 -m prepo_rlhf.cli.train_prepo_ray "$@"
}
