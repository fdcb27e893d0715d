"""Model folders that nobody here wrote: refused with a sentence that names option and file, or loaded and saved.

Each case damages the copy of a tiny model that the good job has.
"""

from __future__ import annotations

import json
import random
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from attempts import attempt
from models_with_code import ModelWithCode, with_pickled_weights
from safetensors.torch import load_file, save_file
from tiny_tasks import job_options
from transformers import AutoModelForCausalLM, AutoTokenizer, GPT2Config, GPT2LMHeadModel

from prepo_rlhf.cli.train_prepo_ray import job_config
from prepo_rlhf.config import Config, ConfigError
from prepo_rlhf.trainer import preflight

Damage = Callable[[Path], object]
OPTION = "--actor.model_name_or_path"
ADAPTER = {"peft_type": "LORA", "base_model_name_or_path": "org/base", "r": 4}
LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:12ab\nsize 4711\n"
SAMPLED = {"do_sample": False, "temperature": 0.6, "top_p": 0.9}


def edit(file: str, **changes: Any) -> Damage:
    """Changes entries of one of the JSON files; ... takes one away."""

    def damage(folder: Path) -> None:
        path = folder / file
        entries = json.loads(path.read_text()) | changes
        path.write_text(json.dumps({name: value for name, value in entries.items() if value is not ...}))

    return damage


def write(file: str, content: str | bytes) -> Damage:
    return lambda folder: (folder / file).write_bytes(content if isinstance(content, bytes) else content.encode())


def remove(*files: str) -> Damage:
    return lambda folder: [(folder / file).unlink() for file in files]


def cut(file: str, share: float) -> Damage:
    def damage(folder: Path) -> None:
        content = (folder / file).read_bytes()
        (folder / file).write_bytes(content[: int(len(content) * share)])

    return damage


def config(**changes: Any) -> Damage:
    return edit("config.json", **changes)


def weights(change: Callable[[dict[str, torch.Tensor]], object]) -> Damage:
    def damage(folder: Path) -> None:
        tensors = load_file(folder / "model.safetensors")
        change(tensors)
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})

    return damage


def shards(missing: str | None = None, weight_map: Any = None) -> Damage:
    """The weights in two files with an index."""

    def damage(folder: Path) -> None:
        tensors = load_file(folder / "model.safetensors")
        (folder / "model.safetensors").unlink()
        places = {name: f"model-0000{1 + number % 2}-of-00002.safetensors" for number, name in enumerate(tensors)}
        for file in set(places.values()) - {missing}:
            save_file({name: tensors[name] for name in tensors if places[name] == file}, folder / file)
        index = {"metadata": {}, "weight_map": places if weight_map is None else weight_map}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))

    return damage


def adapter(*removed: str) -> Damage:
    def damage(folder: Path) -> None:
        write("adapter_config.json", json.dumps(ADAPTER))(folder)
        write("adapter_model.safetensors", b"")(folder)
        remove(*removed)(folder)

    return damage


def pickles(shorter: float) -> Damage:
    def damage(folder: Path) -> None:
        copy = Path(with_pickled_weights(str(folder), folder.with_name("pickled")))
        shutil.rmtree(folder)
        copy.rename(folder)
        cut("pytorch_model.bin", shorter)(folder)

    return damage


def add_tokens(*tokens: str) -> Damage:
    """As those do who add tokens and forget `resize_token_embeddings`."""

    def damage(folder: Path) -> None:
        tokenizer = AutoTokenizer.from_pretrained(folder)
        tokenizer.add_tokens(list(tokens))
        tokenizer.save_pretrained(folder)

    return damage


def code_of_its_own(folder: Path) -> None:
    ModelWithCode(str(folder.rename(folder.with_name("plain"))), folder)


def all_of(*damages: Damage) -> Damage:
    return lambda folder: [damage(folder) for damage in damages]


def nested(folder: Path) -> None:
    shutil.copytree(folder, folder.with_name("inner"))
    shutil.rmtree(folder)
    folder.mkdir()
    folder.with_name("inner").rename(folder / "model")


def emptied(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


MUTATIONS = 15
WRONG_VALUES = [..., None, True, -1, 0, 7, 1e30, float("nan"), "x", "2", [], [1], ["x"], {"a": 1}]
ROPE = {"rope_theta": 10000.0}
NEW_TOKENS = [f"<{number}>" for number in range(60)]
REFUSED: dict[str, tuple[Damage, str, dict[str, Any]]] = {
    # what is not there
    "an-empty-folder": (emptied, "has no config.json, but nothing", {}),
    "a-run-in-place-of-its-model": (nested, "give the folder {model}/model", {}),
    "no-config": (remove("config.json"), "has no config.json, but", {}),
    "no-tokenizer": (
        remove("tokenizer.json", "tokenizer_config.json"), "no tokenizer can be loaded from", {},
    ),
    "no-tokenizer-json": (remove("tokenizer.json"), "no tokenizer can be loaded from its files", {}),
    "no-tokenizer-config": (remove("tokenizer_config.json"), "give eos_token in tokenizer_config.json", {}),
    "no-weights": (remove("model.safetensors"), "has no weights: neither model.safetensors nor", {}),
    "shards-without-index": (
        all_of(shards(), remove("model.safetensors.index.json")), "has no weights: neither model.safetensors nor", {},
    ),
    "a-shard-missing": (
        shards(missing="model-00002-of-00002.safetensors"),
        "names 2 files of weights, and 1 of them are missing, the first model-00002-of-00002.safetensors", {},
    ),
    "an-index-without-places": (shards(weight_map=[]), "model.safetensors.index.json has no weight_map", {}),
    "an-index-of-numbers": (shards(weight_map={"lm_head.weight": 1}), "has no weight_map", {}),
    # what is broken
    "config-cut": (cut("config.json", 0.5), "config.json can't be read (it is not JSON", {}),
    "config-empty": (write("config.json", ""), "config.json can't be read (it is not JSON", {}),
    "config-binary": (write("config.json", b"\xff\xfe\x00"), "config.json can't be read (it is not JSON", {}),
    "config-a-list": (write("config.json", "[]"), "config.json can't be read (it holds no JSON object)", {}),
    "config-deep": (write("config.json", "[" * 10**5), "config.json can't be read", {}),
    "tokenizer-cut": (cut("tokenizer.json", 0.9), "tokenizer.json can't be read (it is not JSON", {}),
    "tokenizer-null": (write("tokenizer.json", "null"), "tokenizer.json can't be read (it holds no", {}),
    "tokenizer-of-nothing": (write("tokenizer.json", "{}"), "no tokenizer can be loaded from its files", {}),
    "tokenizer-config-cut": (cut("tokenizer_config.json", 0.5), "tokenizer_config.json can't be read", {}),
    "generation-config-cut": (cut("generation_config.json", 0.5), "generation_config.json can't be read", {}),
    "generation-config-a-text": (write("generation_config.json", '"a"'), "generation_config.json can't be read", {}),
    "index-cut": (all_of(shards(), cut("model.safetensors.index.json", 0.3)), "index.json can't be read", {}),
    "weights-cut": (cut("model.safetensors", 0.7), "model.safetensors can't be read (it is cut short", {}),
    "weights-empty": (write("model.safetensors", b""), "model.safetensors can't be read (it is cut short", {}),
    "weights-a-page": (write("model.safetensors", "<html>404</html>"), "or no safetensors file", {}),
    "weights-a-pointer": (write("model.safetensors", LFS), "pointer of Git LFS in place of the file", {}),
    "config-a-pointer": (write("config.json", LFS), "config.json can't be read (it is a pointer of Git LFS", {}),
    "a-shard-cut": (
        all_of(shards(), cut("model-00002-of-00002.safetensors", 0.5)), "model-00002-of-00002.safetensors can't be", {},
    ),
    "pickles-cut": (pickles(0.6), "pytorch_model.bin can't be read (it is cut", {"actor.trust_remote_code": True}),
    "pickles": (pickles(1), "its weights are pickles", {}),
    # what does not fit together
    "weights-of-another-vocabulary": (
        config(vocab_size=500), "by which lm_head.weight is [500, 64], where the weights have [512, 64]", {},
    ),
    "weights-of-another-size": (config(intermediate_size=96), "its weights are not those of its config.json", {}),
    "layers-without-end": (config(num_hidden_layers=10**20), "says num_hidden_layers 100000000000000000000", {}),
    "no-layers": (config(num_hidden_layers=0), "its config.json says num_hidden_layers 0: correct it", {}),
    "a-layer-more": (config(num_hidden_layers=3), "its weights lack 9 of the tensors of its config.json", {}),
    "no-head": (weights(lambda tensors: tensors.pop("lm_head.weight")), "its weights lack 1 of the tensors", {}),
    "an-adapter": (adapter("config.json", "model.safetensors"), "holds a LoRA adapter of org/base, not a whole", {}),
    "an-adapter-as-OpenRLHF-saves-it": (adapter("model.safetensors"), "give org/base; or merge the two", {}),
    "an-adapter-beside-a-model": (adapter(), "holds a model and a LoRA adapter together", {}),
    # what is no causal language model
    "no-architectures": (config(architectures=...), 'add "architectures": ["LlamaForCausalLM"]', {}),
    "no-architecture": (config(architectures=[]), 'add "architectures": ["LlamaForCausalLM"]', {}),
    "a-classifier": (
        config(architectures=["LlamaForSequenceClassification"]), "says that it is a LlamaForSequenceClass", {},
    ),
    "a-bare-model": (config(architectures=["LlamaModel"]), "says that it is a LlamaModel, and only a Llama", {}),
    "a-masked-model": (
        config(model_type="bert", architectures=["BertForMaskedLM"]), "and only a BertLMHeadModel", {},
    ),
    "an-encoder-and-decoder": (
        config(model_type="t5", architectures=["T5ForConditionalGeneration"]),
        "describes a t5, of which there", {},
    ),
    "an-image-model": (config(model_type="vit"), "describes a vit, of which there is no causal", {}),
    "an-encoder-beside-it": (config(is_encoder_decoder=True), "(a decoder alone)", {}),
    "a-number-as-text": (config(hidden_size="64"), "its config.json can't be used (StrictDataclass", {}),
    "a-value-unknown": (config(hidden_act="twice"), "config.json makes no causal language model (KeyError", {}),
    "an-unknown-type": (config(model_type="nobodys"), "its config.json can't be used (ValueError: ", {}),
    "no-type": (config(model_type=...), "its config.json can't be used (ValueError: ", {}),
    "code-of-its-own": (code_of_its_own, "needs Python code of its own", {}),
    "quantized": (config(quantization_config={"quant_method": "awq", "bits": 4}), "weights are quantized", {}),
    # what it can't read
    "too-short": (config(), "--data.max_len 4096: --actor.model_name_or_path {model} reads at most 2048 tokens", {
        "data.max_len": 4096}),
    "too-short-by-one": (config(), "--data.max_len 2049", {"data.max_len": 2049}),
    "too-short-after-scaling": (
        config(rope_parameters=ROPE | {"rope_type": "linear", "factor": 2.0}),
        "reads at most 4096 tokens", {"data.max_len": 4097},
    ),
    "too-short-after-yarn": (
        config(rope_parameters=ROPE | {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 512}),
        "reads at most 2048 tokens", {"data.max_len": 3000},
    ),
    "too-short-though-llama3-scales": (
        config(rope_parameters=ROPE | {
            "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 1024,
        }),
        "reads at most 2048 tokens", {"data.max_len": 3000},
    ),
    "too-short-by-another-name": (config(seq_length=100), "reads at most 100 tokens", {}),
    "no-context": (config(max_position_embeddings=0), "reads at most 0 tokens", {}),
    "an-end-that-it-does-not-know": (
        all_of(add_tokens(*NEW_TOKENS), edit("tokenizer_config.json", eos_token="<40>")),
        "the eos_token '<40>' of its tokenizer has the id 516", {},
    ),
    "padding-that-it-does-not-know": (
        all_of(add_tokens(*NEW_TOKENS), edit("tokenizer_config.json", pad_token="<40>")),
        "the pad_token '<40>' of its tokenizer has the id 516", {},
    ),
    "no-end": (edit("tokenizer_config.json", eos_token=None), "no token that ends a text", {}),
    "tokens-that-it-does-not-know": (
        add_tokens("There are", *NEW_TOKENS, "How many"),
        "--data.prompt_dataset: line 1 has the token 'How many' with the id 537", {},
    ),
    "a-template-that-does-not-parse": (
        write("chat_template.jinja", "{% for message in messages %}{{ message.content }}"),
        "its chat template can't be read (line 1: ", {},
    ),
    "a-template-that-is-a-number": (
        all_of(remove("chat_template.jinja"), edit("tokenizer_config.json", chat_template=5)),
        "its chat template is no text, but 5", {},
    ),
    # what could not be saved
    "generation-config-of-beams": (
        edit("generation_config.json", length_penalty=2.0), "generation_config.json could not be saved with the", {},
    ),
    "generation-config-with-negative-padding": (
        edit("generation_config.json", pad_token_id=-1), "generation_config.json could not be saved with the", {},
    ),
    "generation-config-that-stops-at-nothing": (
        edit("generation_config.json", eos_token_id=[2, 151645]), "151645 is none of the 512 token ids", {},
    ),
    "generation-config-that-stops-at-a-word": (
        edit("generation_config.json", eos_token_id="</s>"), "'</s>' is none of the 512 token ids", {},
    ),
    "generation-config-of-no-value": (
        edit("generation_config.json", early_stopping=5), "generation_config.json can't be used", {},
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def job(tiny_llama: str, tiny_data: str, parity_reward: str, tmp_path_factory: pytest.TempPathFactory) -> Config:
    """The options of a good job, parsed once: that takes longer than to look at a model."""
    return job_config(job_options(tiny_llama, tiny_data, parity_reward, tmp_path_factory.mktemp("job")))


@pytest.mark.parametrize("case", REFUSED)
def test_it_is_refused_with_a_sentence(case: str, job: Config, tiny_llama: str, tmp_path: Path) -> None:
    damage, sentence, changes = REFUSED[case]
    model = Path(shutil.copytree(tiny_llama, tmp_path / "policy"))
    damage(model)
    with pytest.raises(ConfigError) as refusal:
        preflight.prepare(job.replaced({"actor.model_name_or_path": str(model)} | changes))
    message = str(refusal.value)
    assert sentence.format(model=model) in message
    assert message.startswith(("--data.", f"{OPTION} {model}")) and "Traceback" not in message


def gpt2(folder: Path) -> None:
    """Positions by another name, and embeddings that must hold them."""
    shape = GPT2Config(vocab_size=512, n_positions=300, n_embd=64, n_layer=1, n_head=2, bos_token_id=1, eos_token_id=2)
    GPT2LMHeadModel(shape).save_pretrained(folder)


ACCEPTED: dict[str, tuple[Damage, dict[str, Any]]] = {
    "as-long-as-it-reads": (config(), {"data__max_len": 2048}),
    "longer-by-scaling": (
        config(rope_parameters=ROPE | {"rope_type": "dynamic", "factor": 2.0}), {"data__max_len": 4096},
    ),
    "longer-by-the-old-scaling": (
        config(rope_parameters=..., rope_scaling={"type": "linear", "factor": 4.0}), {"data__max_len": 8192},
    ),
    "longer-than-its-window": (config(sliding_window=16), {}),
    "positions-by-another-name": (gpt2, {"data__max_len": 300}),
    "shards": (shards(), {}),
    "pickles-of-trusted-authors": (pickles(1), {"actor__trust_remote_code": True}),
    "no-generation-config": (remove("generation_config.json"), {}),
    "sampling-without-do-sample": (edit("generation_config.json", **SAMPLED), {}),
    "several-ends": (edit("generation_config.json", eos_token_id=[2, 0]), {}),
    "no-padding": (edit("tokenizer_config.json", pad_token=...), {}),
    "no-template": (remove("chat_template.jinja"), {}),
    "weights-of-no-use": (weights(lambda tensors: tensors.update(extra=torch.zeros(2))), {}),
    "an-architecture-in-another-spelling": (config(architectures=["LLaMAForCausalLM"]), {}),
    "tokens-within-the-padded-vocabulary": (add_tokens("There are", "How many"), {}),
    "code-that-is-not-needed": (config(auto_map={"AutoConfig": "configuration_own.OwnConfig"}), {}),
}  # fmt: skip


@pytest.mark.parametrize("case", ACCEPTED)
def test_it_is_prepared_loads_and_leaves_nothing_behind(case: str, good_job: Any, tmp_path: Path) -> None:
    damage, changes = ACCEPTED[case]
    damage(tmp_path / "policy")
    done = attempt(good_job(**changes))
    assert not done.refused, done.message
    AutoModelForCausalLM.from_pretrained(tmp_path / "policy")
    assert list((tmp_path / "run" / "model").iterdir()) == []
    if case == "sampling-without-do-sample":
        assert "generation_config.json sets a temperature" in done.warned and "gets do_sample true" in done.warned
    assert ("have no place in the model" in done.warned) == (case == "weights-of-no-use")


@pytest.mark.parametrize("file", ["config.json", "generation_config.json", "tokenizer_config.json"])
def test_whatever_is_changed_it_is_refused_or_loads(file: str, job: Config, tiny_llama: str, tmp_path: Path) -> None:
    """Entries dropped, retyped, out of bounds or swapped, at random."""
    model, rng = Path(shutil.copytree(tiny_llama, tmp_path / "policy")), random.Random(file)
    job, entries = job.replaced({"actor.model_name_or_path": str(model)}), json.loads((model / file).read_text())
    outcomes = []
    for _ in range(MUTATIONS):
        name, value = rng.choice(sorted(entries)), rng.choice([*WRONG_VALUES, *entries.values()])
        edit(file, **(entries | {name: value}))(model)
        try:
            with warnings.catch_warnings(action="ignore"):
                preflight.prepare(job)
            AutoModelForCausalLM.from_pretrained(model)
            outcomes.append("loads")
        except ConfigError as refusal:
            assert str(refusal).startswith((f"{OPTION} {model}: ", "--data.max_len 256: ")), (name, value)
            outcomes.append("refused")
    assert set(outcomes) == {"loads", "refused"}


def test_a_folder_where_the_model_could_not_be_saved_is_refused(good_job: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "--ckpt.output_dir" in attempt(good_job(ckpt__output_dir=tmp_path / "file")).message
    onto_itself = attempt(good_job(ckpt__output_dir=tmp_path / "policy")).message
    assert "--ckpt.output_dir" in onto_itself and "another run wrote that" in onto_itself


def test_a_full_disk_is_found_before_training(good_job: Any, tmp_path: Path, monkeypatch: Any) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=400_000))
    done = attempt(good_job())
    assert done.refused
    assert "--ckpt.output_dir" in done.message and "0.0 GB free, and the trained model takes" in done.message
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=4_000_000))
    done = attempt(good_job(ckpt__save_steps=1))
    assert not done.refused and "--ckpt.path" in done.warned and "the 4 checkpoints" in done.warned
    assert "--ckpt.path" not in attempt(good_job()).warned


def test_several_samples_without_randomness_are_refused(good_job: Any) -> None:
    assert "--eval.temperature 0 gives the same response 4 times" in attempt(good_job(eval__temperature=0)).message
    assert not attempt(good_job(eval__temperature=0, eval__n_samples_per_prompt=1)).refused
