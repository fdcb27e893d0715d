"""The list that `internals` checks, and the versions that it was written for."""

from __future__ import annotations

from dataclasses import dataclass

TESTED = {
    "openrlhf": "0.11.2",
    "vllm": "0.29.0",
    "deepspeed": "0.19.6",
    "transformers": "5.15.0",
    "ray": "2.55.0",
    "peft": "0.21.2",
    "torch": "2.13.0",
    "pebble": "5.2.3",
    "python": "3.11",
}


# Of transformers, those that OpenRLHF has load configs, tokenizers and models.
LOADERS = ("AutoConfig", "AutoModelForCausalLM", "AutoModelForImageTextToText", "AutoProcessor", "AutoTokenizer")


@dataclass(frozen=True)
class Internal:
    """One part of a dependency that the code relies on without being promised it.

    Attributes:
        where: `module:attribute.path`.
        used_in: modules of prepo_rlhf, separated by spaces.
        why: what goes wrong if it changes.
        takes: names of its parameters, separated by spaces; after `...` there may be others.
        has: names of attributes of it or of its instances, or keys of a table, separated by spaces.
        says: texts in its source.
    """

    where: str
    used_in: str
    why: str
    takes: str | None = None
    has: str = ""
    says: tuple[str, ...] = ()

    @property
    def package(self) -> str:
        """The key of `TESTED`; the standard library is "python"."""
        top = self.where.split(":")[0].split(".")[0]
        return top if top in TESTED else "python"


# fmt: off
INTERNALS = (
    # OpenRLHF
    Internal("openrlhf.trainer.ray.launcher:RayActorGroup.__init__", "ray.placement", "our actors are started by it",
        takes="self num_nodes num_gpus_per_node ray_actor_type pg num_gpus_per_actor duplicate_actors ..."),
    Internal("openrlhf.trainer.ray.launcher:RayActorGroup", "rollout.scoring trainer.faults trainer.experience_maker",
        "ranks are counted, and told apart in messages, by the group's handles",
        has="_actor_handlers duplicate_actors async_run_method async_run_method_batch async_save_model"),
    Internal("openrlhf.trainer.ray.launcher:ReferenceModelActor.init_model_from_pretrained", "ray.reference_actor",
        "overridden; makes the model that is specialised", takes="self strategy pretrain",
        says=("model = Actor(", "self.model = self.strategy.prepare(model)")),
    Internal("openrlhf.trainer.ray.ppo_actor:PolicyModelActor.init_model_from_pretrained", "ray.policy_actor",
        "overridden; makes the model and trainer that are specialised",
        takes="self strategy pretrain max_steps vllm_engines", says=("self.trainer = ActorPPOTrainer(",)),
    Internal("openrlhf.trainer.ray.ppo_actor:PolicyModelActor", "ray.policy_actor ray.gpu_turns trainer.trainer",
        "saving checkpoints and passes use what it holds",
        has="actor trainer ema_model tokenizer strategy disable_ds_ckpt save_hf_ckpt append fit save_model "
            "reload_states offload_states get_checkpoint_states"),
    Internal("openrlhf.trainer.ray.ppo_actor:PolicyModelActor.save_checkpoint", "ray.policy_actor",
        "overridden: folder names, and the order of saving and removing", takes="self tag client_states ...",
        says=('os.path.join(args.ckpt.path, "_actor")', 'f"{tag}_hf"')),
    Internal("openrlhf.trainer.ray.ppo_actor:ActorPPOTrainer.__init__", "ray.policy_actor",
        "its loss gets our class and keeps its options", says=("self.actor_loss_fn = PolicyLoss(",)),
    Internal("openrlhf.trainer.ray.ppo_actor:ActorPPOTrainer.training_step", "ray.policy_actor",
        "overridden; calls the loss that is bound to the weights", takes="self experience kl_ctl step loss_batch_info",
        says=("self.actor_loss_fn(",)),
    Internal("openrlhf.trainer.ray.ppo_actor:ActorPPOTrainer", "ray.policy_actor", "set or read by our subclass",
        has="args actor replay_buffer dataloader_pin_memory"),
    Internal("openrlhf.trainer.ppo_utils.replay_buffer:NaiveReplayBuffer", "backends.cpu ray.policy_actor",
        "its device is made one of the CPU's, and tells where a step of dynamic batches ends",
        has="dynamic_optimizer_step", says=('torch.device(f"cuda:{torch.cuda.current_device()}")',)),
    Internal("openrlhf.models.loss:PolicyLoss.forward", "ray.actor_loss",
        "weighted advantages give the weighted loss only while it is homogeneous in them",
        takes="self log_probs old_log_probs advantages action_mask rollout_log_probs dp_size batch_num_tokens "
            "global_batch_size", says=("surr1 = ratio * advantages", "self.dual_clip * advantages")),
    Internal("openrlhf.models.loss:aggregate_loss", "ray.actor_loss", "the mean that the weights stand in",
        takes="loss loss_mask token_level_loss dp_size batch_num_tokens global_batch_size"),
    Internal("openrlhf.models.actor:Actor.forward", "ray.policy_model", "overridden",
        takes="self sequences action_mask attention_mask return_output allgather_logits return_logprobs "
            "ring_attn_group packed_seq_lens return_entropy mm_inputs",
        says=('output["logits"].div_(self.temperature)', "position_ids.masked_fill_(attention_mask == 0, 1)")),
    Internal("openrlhf.models.actor:Actor", "ray.policy_model ray.policy_actor", "read by our subclass",
        has="model packing_samples temperature is_vlm"),
    Internal("openrlhf.models.ring_attn_utils:unpad_and_slice_tensor", "ray.policy_model", "packs as OpenRLHF does",
        takes="sequences attention_mask ring_attn_group",
        says=("return sequences, position_ids, rolled_sequences, ring_attn_pad_len, indices",)),
    Internal("openrlhf.models.ring_attn_utils:get_tensor_in_current_ring_attn_rank", "ray.policy_model",
        "cuts the wanted positions as the tokens are cut", takes="tensors ring_attn_group pad_id"),
    Internal("openrlhf.models.ring_attn_utils:gather_and_pad_tensor", "ray.policy_model", "unpacks what was packed",
        takes="tensor ring_attn_group ring_attn_pad_len indices batch seqlen"),
    Internal("openrlhf.models.ring_attn_utils", "backends.flash_attention", "imported over stand-ins for these",
        says=("from flash_attn.bert_padding import index_first_axis, pad_input, rearrange, unpad_input",
              "from flash_attn.utils.distributed import all_gather")),
    Internal("openrlhf.models.utils:compute_approx_kl", "trainer.experience_maker", "the KL term's estimate",
        takes="log_probs log_probs_base log_probs_old kl_estimator ..."),
    Internal("openrlhf.trainer.ppo_utils.experience:Experience", "rollout.collector trainer.experience_maker",
        "fields that are set and read",
        takes="sequences attention_mask action_mask action_log_probs base_action_log_probs ...",
        has="advantages kl scores info truncated"),
    Internal("openrlhf.trainer.ppo_utils.experience:balance_experiences", "trainer.trainer",
        "deals dynamic batches to the ranks", takes="experiences args"),
    Internal("openrlhf.trainer.ppo_utils.experience_maker:RemoteExperienceMaker.__init__",
        "trainer.experience_maker", "called by position",
        takes="self actor_model_group critic_model_group reward_model_group initial_model_group kl_controller "
            "strategy tokenizer ..."),
    Internal("openrlhf.trainer.ppo_utils.experience_maker:RemoteExperienceMaker.make_experience_batch",
        "trainer.experience_maker", "overridden; calls others that are overridden", takes="self rollout_samples",
        says=("self.make_experience(samples_list)", "self.compute_advantages_and_returns(experiences)")),
    Internal("openrlhf.trainer.ppo_utils.experience_maker:RemoteExperienceMaker.make_experience",
        "trainer.experience_maker", "overridden", takes="self samples_list"),
    Internal("openrlhf.trainer.ppo_utils.experience_maker:RemoteExperienceMaker.get_cumulative_returns",
        "trainer.experience_maker", "overridden", takes="self rewards action_mask gamma"),
    Internal("openrlhf.trainer.ppo_utils.samples_generator:SamplesGenerator.__init__", "rollout.collector",
        "called by position", takes="self strategy prompts_dataloader eval_dataloader tokenizer vllm_engines"),
    Internal("openrlhf.trainer.ppo_utils.samples_generator:SamplesGenerator._process_response_into_experience",
        "rollout.collector", "turns a rollout engine's response into experience", takes="self response generate_kwargs",
        says=('generate_kwargs.get("max_len"',)),
    Internal("openrlhf.trainer.ray.vllm_engine:RolloutRayActor.__init__", "ray.rollout_engine", "overridden",
        takes="self args bundle_indices agent_func_path remote_rm_url mm_pad_token_ids kwargs",
        says=('kwargs.pop("num_gpus")', 'kwargs.pop("full_determinism", False)', "self.llm = ")),
    Internal("openrlhf.trainer.ray.vllm_engine:RolloutRayActor.generate", "ray.rollout_engine", "overridden",
        takes="self prompt_token_ids sampling_params multi_modal_data"),
    Internal("openrlhf.trainer.ray.vllm_engine:RolloutRayActor.generate_responses", "ray.rollout_engine",
        "overridden, and called by position; its agent calls our generate",
        takes="self prompt label sampling_params max_length hf_tokenizer num_samples images",
        says=("llm_engine=self",)),
    Internal("openrlhf.trainer.ray.vllm_engine:RolloutRayActor", "ray.gpu_turns rollout.sync_async trainer.job",
        "called on the engines",
        has="sleep wake_up pause_generation resume_generation reset_prefix_cache get_num_unfinished_requests"),
    Internal("openrlhf.trainer.ray.vllm_engine:batch_vllm_engine_call", "ray.gpu_turns rollout.sync_async",
        "calls all engines",
        takes="engines method_name args rank_0_only kwargs"),
    Internal("openrlhf.trainer.ray.utils:get_bundle_indices", "ray.placement", "the GPUs of a tensor-parallel engine",
        takes="placement_group index length"),
    Internal("openrlhf.utils.agent:SingleTurnAgentExecutor._fetch_rewards_via_http", "rewards.sources",
        "asks reward servers, gives up with a RuntimeError", takes="self queries_list prompts_list labels_list",
        says=("raise RuntimeError(",)),
    Internal("openrlhf.trainer.ppo_utils.kl_controller:AdaptiveKLController", "trainer.trainer", "made by position",
        takes="init_kl_coef target horizon", has="value update"),
    Internal("openrlhf.datasets.utils:blending_datasets", "prompts.load", "called with a stand-in for the strategy",
        takes="datasets probabilities strategy seed max_count stopping_strategy dataset_split"),
    Internal("openrlhf.utils.utils:convert_to_torch_dtype", "backends.float32 ray.placement",
        "learns a third data type", takes="param_dtype",
        says=("return torch.float16\n    else:", "Invalid param_dtype")),
    Internal("openrlhf.utils.utils:zero_pad_sequences", "rollout.scoring", "pads prompts", takes="sequences side ..."),
    Internal("openrlhf.utils.deepspeed:DeepspeedStrategy.setup_distributed", "ray.strategy", "overridden",
        takes="self timeout", says=("deepspeed.init_distributed",)),
    Internal("openrlhf.utils.deepspeed:DeepspeedStrategy.get_ds_train_config", "ray.strategy",
        "overridden; names the optimizer", takes="self optim_dict max_norm"),
    Internal("openrlhf.utils.deepspeed.deepspeed", "backends.deepspeed_engine", "AdamW is made torch's on a CPU",
        says=('"type": "AdamW"',)),
    Internal("openrlhf.utils.deepspeed:DeepspeedStrategy.save_model", "ray.policy_actor", "saves Hugging Face models",
        takes="self model tokenizer output_dir kwargs"),
    # Ray
    Internal("ray.actor:ActorClass", "backends.subclassing backends.internals", "the class behind a decorated one",
        has="__ray_metadata__"),
    Internal("ray.actor:_modify_class", "backends.subclassing", "the class behind a decorated one",
        says=("__ray_actor_class__ = cls",)),
    Internal("ray.actor:_ActorClassMetadata", "backends.subclassing", "the class behind a decorated one",
        has="modified_class"),
    Internal("ray.actor:ActorHandle", "trainer.faults", "tells which actor has died", has="_actor_id"),
    Internal("ray.exceptions:RayActorError", "trainer.faults", "tells which actor has died", has="actor_id"),
    Internal("ray._private.ray_constants", "backends.launch", "the driver hands over tensors without pickling them",
        has="RAY_ENABLE_ZERO_COPY_TORCH_TENSORS"),
    Internal("ray._private.state", "ray.nodes", "a key of the placement group's table", says=('"bundles_to_node_id"',)),
    Internal("ray.util.placement_group:placement_group", "ray.nodes", "pins bundles to nodes",
        says=("bundle_label_selector",)),
    # vLLM
    Internal("vllm.logprobs:FlatLogprobs", "ray.rollout_engine", "one number a prompt token", has="logprobs"),
    Internal("vllm.v1.engine.output_processor:OutputProcessor", "ray.rollout_engine",
        "requests under way are found there; without them staleness would silently be 0", has="request_states"),
    Internal("vllm.v1.engine.output_processor:RequestState", "ray.rollout_engine",
        "whose request it is, which sample, and whether it has begun", has="external_req_id request_index detokenizer"),
    Internal("vllm.v1.engine.detokenizer:IncrementalDetokenizer.num_output_tokens", "ray.rollout_engine",
        "whether a sample has begun", takes="self"),
    Internal("vllm.v1.engine.output_processor:RequestOutputCollector.get", "ray.rollout_engine",
        "the final output of a request that was added", takes="self"),
    Internal("vllm.v1.engine.async_llm:AsyncLLM", "ray.rollout_engine", "the engine ends with its core",
        has="errored output_processor get_tokenizer"),
    Internal("vllm.v1.engine.async_llm:AsyncLLM.add_request", "ray.request_waves",
        "requests of a wave are added by position", takes="self request_id prompt params ..."),
    Internal("vllm.v1.engine.async_llm:AsyncLLM.pause_generation", "ray.request_waves",
        "a wave enters while nothing computes", takes="self mode wait_for_inflight_requests clear_cache",
        says=('"keep"',)),
    Internal("vllm.v1.engine.async_llm:AsyncLLM.resume_generation", "ray.request_waves", "ends it", takes="self"),
    Internal("vllm.v1.engine.async_llm:AsyncLLM.init_weight_transfer_engine", "ray.rollout_engine",
        "the first step of a weight transfer", takes="self request"),
    Internal("vllm.v1.engine.async_llm:AsyncLLM.update_weights", "ray.rollout_engine", "a step of a weight transfer",
        takes="self request"),
    Internal("vllm.distributed.weight_transfer.base:WeightTransferEngine", "backends.gloo_weight_transfer",
        "base class", has="model model_config parallel_config parse_update_info init_info_cls update_info_cls"),
    Internal("vllm.distributed.weight_transfer.base:WeightTransferEngine.init_transfer_engine",
        "backends.gloo_weight_transfer", "overridden", takes="self init_info"),
    Internal("vllm.distributed.weight_transfer.base:WeightTransferEngine.update_weights",
        "backends.gloo_weight_transfer", "overridden, to leave out its last line", takes="self update_info",
        says=("self.receive_weights(", "torch.accelerator.synchronize()")),
    Internal("vllm.distributed.weight_transfer.base:WeightTransferEngine.receive_weights",
        "backends.gloo_weight_transfer", "overridden", takes="self update_info"),
    Internal("vllm.distributed.weight_transfer.base:TrainerWeightTransferEngine.__init__",
        "backends.gloo_weight_transfer", "base class", takes="self client source is_sender"),
    Internal("vllm.distributed.weight_transfer.base:TrainerWeightTransferEngine.trainer_init",
        "backends.gloo_weight_transfer", "overridden", takes="init_info client source"),
    Internal("vllm.distributed.weight_transfer.base:ParamMeta", "backends.gloo_weight_transfer ray.weight_sync",
        "made by position", takes="name dtype shape"),
    Internal("vllm.distributed.weight_transfer.clients:RayVLLMWeightSyncClient", "ray.weight_sync", "base class",
        takes="handle", has="handles init_weight_transfer_engine start_weight_update finish_weight_update"),
    Internal("vllm.distributed.weight_transfer.factory:WeightTransferEngineFactory", "backends.gloo_weight_transfer",
        "whether gloo is registered", has="_registry register_engine"),
    Internal("vllm.distributed.weight_transfer.factory:WeightTransferTrainerFactory.trainer_init", "ray.weight_sync",
        "picks the transport", takes="init_info client source"),
    Internal("vllm.distributed.weight_transfer.nccl_engine:NCCLTrainerInitInfo", "ray.weight_sync", "made by position",
        takes="master_address master_port world_size ...", has="rank"),
    Internal("vllm.distributed.weight_transfer.ipc_engine:IPCTrainerInitInfo", "ray.weight_sync", "IPC",
        takes="packed packed_buffer_size_bytes rank"),
    Internal("vllm.distributed.utils:stateless_init_torch_distributed_process_group", "backends.gloo_weight_transfer",
        "a group beside the global one, that listens where it is told",
        takes="host port rank world_size backend group_name return_store listen_socket"),
    Internal("vllm.model_executor.model_loader.reload:initialize_layerwise_reload", "backends.gloo_weight_transfer",
        "weights that the CPU has repacked are loaded anew", takes="model"),
    Internal("vllm.model_executor.model_loader.reload.layerwise:finalize_layerwise_processing",
        "backends.gloo_weight_transfer", "what finalize_layerwise_reload passes its arguments to",
        takes="model model_config"),
    Internal("vllm.v1.sample.ops.topk_topp_sampler:TopKTopPSampler.forward_cpu", "backends.cpu_sampling", "replaced",
        takes="self logits generators k p", says=("q.exponential_()", "apply_top_k_top_p(logits, k, p)")),
    # DeepSpeed
    Internal("deepspeed.ops:__compatible_ops__", "backends.deepspeed_engine", "what may be compiled is looked up in it",
        has="deepspeed_shm_comm"),
    Internal("deepspeed:DeepSpeedEngine.get_optimizer_configuration", "backends.deepspeed_engine",
        "without this parameter AdamW would be compiled", says=("pop(TORCH_ADAM_PARAM, False)",)),
    Internal("deepspeed:DeepSpeedEngine.set_gradient_accumulation_boundary", "backends.deepspeed_engine",
        "ends a step of dynamic batches", takes="self is_boundary"),
    Internal("deepspeed:DeepSpeedEngine.save_checkpoint", "ray.policy_actor", "saves without pointing to the new one",
        takes="self save_dir tag client_state save_latest ..."),
    Internal("deepspeed.runtime.zero.partition_parameters:Init", "ray.weight_sync",
        "marks sharded parameters; without them empty weights would be sent", has="ds_id ds_shape"),
    # transformers, peft
    Internal("transformers.modeling_flash_attention_utils:_unpad_input", "backends.flash_attention",
        "stands in for flash-attn's", takes="hidden_states attention_mask unused_mask"),
    Internal("transformers.modeling_flash_attention_utils:_pad_input", "backends.flash_attention",
        "stands in for flash-attn's", takes="hidden_states indices batch seqlen"),
    *(Internal(f"transformers:{loader}.from_pretrained", "backends.remote_code",
        "told not to run a model's own code", says=("trust_remote_code",)) for loader in LOADERS),
    Internal("transformers:AutoModelForCausalLM", "files.model_files", "which classes transformers has itself",
        has="_model_mapping"),
    Internal("transformers.models.gemma2.modeling_gemma2:Gemma2ForCausalLM.forward", "backends.transformers_head",
        "the output head caps, not the model", says=("self.config.final_logit_softcapping",)),
    Internal("transformers.models.granite.modeling_granite:GraniteForCausalLM.forward", "backends.transformers_head",
        "the output head scales, not the model", says=("logits / self.config.logits_scaling",)),
    Internal("transformers.models.cohere.modeling_cohere:CohereForCausalLM.forward", "backends.transformers_head",
        "the output head scales, not the model", says=("logits * self.logit_scale",)),
    Internal("peft.tuners.lora:Linear.get_delta_weight", "ray.weight_sync", "merges adapters into a copy",
        takes="self adapter"),
    Internal("peft.tuners.lora:LoraLayer", "ray.weight_sync", "names of adapted weights", has="base_layer"),
    # torch, pebble, Python
    Internal("torch.utils.deterministic:fill_uninitialized_memory", "backends.deepspeed_engine", "switched off"),
    Internal("torch:_standard_gamma", "selection.success_rates", "the one gamma that draws from a generator"),
    Internal("pebble.pool.process:worker_process", "rewards.verifier", "our initializer undoes its handler of SIGTERM",
        says=("signal.signal(signal.SIGTERM, process_exit)",)),
    Internal("pebble:ProcessPool", "rewards.verifier", "tells a broken pool", has="active schedule stop join"),
    Internal("multiprocessing.forkserver:_forkserver", "rewards.verifier", "workers let go of what the server waits on",
        has="_forkserver_alive_fd"),
)
# fmt: on
