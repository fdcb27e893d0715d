"""The plan's formulas of memory against what real models, passes and output heads hold."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from memory_peak import MemoryPeak
from peft import LoraConfig, get_peft_model
from tiny_models import make_tiny_model
from tiny_tasks import gpu_config
from transformers import AutoConfig, AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, Qwen3Config, Qwen3ForCausalLM

from prepo_rlhf.config import Config, ConfigError
from prepo_rlhf.output_head.chunked import head_statistics
from prepo_rlhf.output_head.head import OutputHead
from prepo_rlhf.planning.activations import head_bytes, in_layer_bytes, kept_bytes, layer_bytes
from prepo_rlhf.planning.engine import rollout_engine
from prepo_rlhf.planning.known_models import KNOWN_MODELS
from prepo_rlhf.planning.model_shape import ModelShape, adapter_parameters, model_shape

# Elements of the published checkpoints' tensors.
PUBLISHED = {
    "Qwen/Qwen2.5-Math-1.5B": 1_543_714_304,
    "Qwen/Qwen2.5-Math-7B": 7_615_616_512,
    "Qwen/Qwen2.5-7B": 7_615_616_512,
    "Qwen/Qwen3-4B": 4_022_468_096,
    "meta-llama/Llama-3.1-8B": 8_030_261_248,
    "meta-llama/Llama-3.1-8B-Instruct": 8_030_261_248,
}
FAMILIES = {"llama": (LlamaConfig, LlamaForCausalLM), "qwen3": (Qwen3Config, Qwen3ForCausalLM)}
DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}


def options(model: str = "", **values: object) -> Config:
    """Options with `ds__param_dtype="fp32"` for --ds.param_dtype fp32."""
    changes = {name.replace("__", "."): value for name, value in values.items()}
    return gpu_config().replaced({"actor.model_name_or_path": model} | changes)


def small_model(family: str, layers: int, dtype: str, vocabulary: int = 512) -> tuple[torch.nn.Module, ModelShape]:
    config_class, model_class = FAMILIES[family]
    config = config_class(
        vocab_size=vocabulary, hidden_size=128, intermediate_size=352, num_hidden_layers=layers,
        num_attention_heads=4, num_key_value_heads=2, head_dim=32, tie_word_embeddings=False,
    )  # fmt: skip
    model = model_class._from_config(config, attn_implementation="sdpa").to(DTYPES[dtype])
    parameters = model.num_parameters()
    return model, ModelShape(parameters, parameters, 128, 352, layers, 4, 2, 32, vocabulary, False, family == "qwen3")


@pytest.mark.parametrize("name", KNOWN_MODELS)
def test_the_papers_models_have_their_published_number_of_parameters(name: str) -> None:
    assert model_shape(options(name)).parameters == PUBLISHED[name]


@pytest.mark.parametrize("targets", ["all-linear", ["q_proj", "down_proj", "lm_head"]])
@pytest.mark.parametrize("name", ["Qwen/Qwen2.5-7B", "Qwen/Qwen3-4B", "meta-llama/Llama-3.1-8B"])
def test_known_models_are_counted_as_transformers_makes_them(name: str, targets: str | list[str]) -> None:
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**KNOWN_MODELS[name]))
    shape = model_shape(options(name, ds__lora__rank=8, ds__lora__target_modules=targets))
    assert shape.parameters == model.num_parameters()
    assert shape.trainable == adapter_parameters(model, 8, targets)
    assert shape.normalises_heads == any("q_norm" in key for key, _ in model.named_parameters())


def test_a_known_model_reads_no_longer_texts_than_it_can() -> None:
    with pytest.raises(ConfigError, match="--data.max_len 5000: .*Qwen2.5-Math-7B reads at most 4096 tokens"):
        model_shape(options("Qwen/Qwen2.5-Math-7B", data__max_len=5000))


@pytest.mark.parametrize("family", ["llama", "qwen2"])
def test_a_folders_model_is_counted_as_it_is(family: str, tmp_path: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(make_tiny_model(tmp_path, ["1 + 1 = 2"], family))
    shape = model_shape(options(str(tmp_path)))
    assert shape.parameters == sum(parameter.numel() for parameter in model.parameters())
    assert shape.tied == (family == "qwen2")
    embedding = model.get_input_embeddings().weight.numel()
    assert shape.multiplied == shape.parameters - (0 if shape.tied else embedding)


def test_an_unknown_model_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--actor.model_name_or_path .*/nothing"):
        model_shape(options(str(tmp_path / "nothing")))


@pytest.mark.parametrize("targets", ["all-linear", ["q_proj", "v_proj"]])
def test_adapters_are_those_that_peft_makes(targets: str | list[str]) -> None:
    model = small_model("llama", 2, "fp32")[0]
    counted = adapter_parameters(model, 8, targets)
    adapted = get_peft_model(model, LoraConfig(r=8, target_modules=targets, task_type="CAUSAL_LM"))
    assert counted == adapted.get_nb_trainable_parameters()[0]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_layers_activations_are_those_that_autograd_saves(family: str, dtype: str) -> None:
    """The difference that a layer makes, to the byte."""
    saved = [saved_bytes(small_model(family, layers, dtype)[0], batch=4, length=64) for layers in (2, 3)]
    shape = small_model(family, 1, dtype)[1]
    assert saved[1] - saved[0] == 4 * 64 * layer_bytes(shape, DTYPES[dtype].itemsize)


def saved_bytes(model: torch.nn.Module, batch: int, length: int) -> int:
    weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    saved: dict[int, torch.Tensor] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.untyped_storage().data_ptr() not in weights:
            saved[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    tokens = torch.randint(0, 512, (batch, length))
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        model.model(tokens, attention_mask=torch.ones_like(tokens), use_cache=False)
    return sum(tensor.untyped_storage().nbytes() for tensor in saved.values())


@pytest.mark.parametrize("entropy_coef", [None, 0.1])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("sizes", [(2048, 64, 600), (8192, 512, 300), (8192, 512, 100)])
def test_the_output_heads_peak(sizes: tuple[int, int, int], dtype: str, entropy_coef: float | None) -> None:
    """Within 3%: gradients of the hidden states and numbers of one a token are left out."""
    vocabulary, hidden, tokens = sizes
    shape = ModelShape(0, 0, hidden, 0, 0, 0, 0, 0, vocabulary, False, False)
    weight = torch.randn(vocabulary, hidden, dtype=DTYPES[dtype], requires_grad=True)
    states = torch.randn(tokens, hidden, dtype=DTYPES[dtype], requires_grad=True)
    targets = torch.randint(0, vocabulary, (tokens,))
    with MemoryPeak() as memory:
        statistics = head_statistics(states, targets, OutputHead(weight))
        (statistics.sum() if entropy_coef else statistics[:, 0].sum()).backward()
    config = options(ds__param_dtype=dtype, actor__entropy_coef=entropy_coef)
    assert memory.peak == pytest.approx(head_bytes(shape, config, tokens, "cpu"), rel=0.03)


@pytest.mark.parametrize("vocabulary", [512, 4096])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_the_peak_of_a_whole_pass(checkpointing: bool, vocabulary: int) -> None:
    """Of a forward and backward in bfloat16 with our output head, within 4%, whether head or layer is the larger."""
    model, shape = small_model("llama", 4, "bf16", vocabulary)
    model.train()
    if checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    tokens = torch.randint(0, vocabulary, (4, 256))

    def run() -> None:
        hidden = model.model(tokens, attention_mask=torch.ones_like(tokens), use_cache=False)[0]
        head_statistics(hidden.flatten(0, 1), tokens.flatten(), OutputHead(model.lm_head.weight))[:, 0].sum().backward()

    run()  # from here on the gradients' memory is there
    with MemoryPeak() as memory:
        run()
    config = options(actor__gradient_checkpointing_enable=checkpointing)
    at_once = max(head_bytes(shape, config, tokens.numel(), "cpu"), in_layer_bytes(shape, config, tokens.numel()))
    assert memory.peak == pytest.approx(kept_bytes(shape, config, tokens.numel()) + at_once, rel=0.04)


def test_the_cache_is_what_weights_and_workspace_leave() -> None:
    shape = ModelShape(1_000_000, 0, 64, 0, 2, 4, 2, 16, 512, False, False)
    config = options(vllm__gpu_memory_utilization=0.5, data__max_len=100)
    engine = rollout_engine(shape, config, gpu_bytes=10_000_000, workspace=1_000_000)
    assert engine.cache == 5_000_000 - 2_000_000 - 1_000_000
    sequence = 7 * 16 * 2 * 2 * 2 * 16 * 2  # blocks, tokens, layers, K and V, heads, their size, bytes
    assert engine.sequences == 2_000_000 // sequence
