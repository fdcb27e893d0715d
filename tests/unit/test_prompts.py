"""Prompts: the exact texts, files, chat templates, one BOS, and truncated questions."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_models import make_tiny_model
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from prepo_rlhf.config import ConfigError
from prepo_rlhf.prompts.render import STYLES, benchmark_style, truncate_question

QUESTION = "What is $\\frac{1}{2}$ of {question} 8?"  # braces, and the placeholder itself, are text


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> PreTrainedTokenizerBase:
    path = make_tiny_model(tmp_path_factory.mktemp("model"), ["How many apples are there?"])
    return AutoTokenizer.from_pretrained(path)


def test_qwen_math(tokenizer: PreTrainedTokenizerBase) -> None:
    assert benchmark_style("qwen-math").renderer(tokenizer)(QUESTION) == (
        "<|im_start|>system\nPlease reason step by step, and put your final answer within \\boxed{}.<|im_end|>\n"
        "<|im_start|>user\nWhat is $\\frac{1}{2}$ of {question} 8?<|im_end|>\n<|im_start|>assistant\n"
    )


def test_llama3(tokenizer: PreTrainedTokenizerBase) -> None:
    assert benchmark_style("llama3").renderer(tokenizer)(QUESTION) == (
        "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nWhat is $\\frac{1}{2}$ of {question} 8?\n"
        "Please reason step by step, and put your final answer within \\boxed{}.<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n"
    )


def test_plain(tokenizer: PreTrainedTokenizerBase) -> None:
    assert benchmark_style("plain").renderer(tokenizer)(QUESTION) == (
        "What is $\\frac{1}{2}$ of {question} 8?\n"
        "Please reason step by step, and put your final answer within \\boxed{}."
    )


def test_chat_is_the_tokenizers_own_template(tokenizer: PreTrainedTokenizerBase) -> None:
    assert benchmark_style("chat").renderer(tokenizer)(QUESTION) == (
        "<|user|>\nWhat is $\\frac{1}{2}$ of {question} 8?\n"
        "Please reason step by step, and put your final answer within \\boxed{}.\n<|assistant|>\n"
    )


def test_file_is_used_to_the_letter(tokenizer: PreTrainedTokenizerBase, tmp_path: Path) -> None:
    path = tmp_path / "template.txt"
    path.write_text("Solve it: {question}\nAnswer in \\boxed{} as {x}.\n")
    render = benchmark_style("file", str(path)).renderer(tokenizer)
    assert render("1 + 1?") == "Solve it: 1 + 1?\nAnswer in \\boxed{} as {x}.\n"


@pytest.mark.parametrize(("style", "starts"), [("llama3", 1), ("qwen-math", 0), ("plain", 0)])
def test_begins_as_its_model_expects(tokenizer: PreTrainedTokenizerBase, style: str, starts: int) -> None:
    assert benchmark_style(style).renderer(tokenizer)(QUESTION).count("<|begin_of_text|>") == starts


def test_chat_template_with_a_bos_gives_one(tokenizer: PreTrainedTokenizerBase, tmp_path: Path) -> None:
    tokenizer.save_pretrained(tmp_path)
    with_bos = AutoTokenizer.from_pretrained(tmp_path)
    with_bos.chat_template = "{{ bos_token }}" + with_bos.chat_template
    token_ids = with_bos(benchmark_style("chat").renderer(with_bos)(QUESTION), add_special_tokens=False)["input_ids"]
    assert token_ids[0] == with_bos.bos_token_id and token_ids.count(with_bos.bos_token_id) == 1


def test_names_what_is_wrong(tokenizer: PreTrainedTokenizerBase, tmp_path: Path) -> None:
    empty = tmp_path / "empty.txt"
    empty.write_text("Solve it.")
    untemplated = AutoTokenizer.from_pretrained(tokenizer.name_or_path)
    untemplated.chat_template = None
    with pytest.raises(ConfigError, match="--prompt qwen: give one of qwen-math, llama3, plain, chat, file, run"):
        benchmark_style("qwen")
    with pytest.raises(ConfigError, match="--prompt file: .* --prompt_file"):
        benchmark_style("file")
    with pytest.raises(ConfigError, match="--prompt_file .*missing.txt: can't be read"):
        benchmark_style("file", str(tmp_path / "missing.txt"))
    with pytest.raises(ConfigError, match="--prompt_file .*empty.txt: has {question} nowhere"):
        benchmark_style("file", str(empty))
    with pytest.raises(ConfigError, match="--prompt_file .*empty.txt: .* not with --prompt plain"):
        benchmark_style("plain", str(empty))
    with pytest.raises(ConfigError, match="--prompt chat: the tokenizer of .* has no chat template"):
        benchmark_style("chat").renderer(untemplated)
    assert STYLES == ("qwen-math", "llama3", "plain", "chat", "file", "run")


def test_truncation_drops_the_last_words() -> None:
    question = "Find  the sum\nof all integer bases $b>9$ for which it holds."  # 12 words: 5 go
    assert truncate_question(question, 0.4) == "Find  the sum\nof all integer bases"
    assert truncate_question(question, 0.0) == question
    assert truncate_question("one two", 0.9) == "one" and truncate_question("one", 0.9) == "one"
    assert truncate_question(" \n", 0.4) == " \n"


@given(st.text(alphabet="ab {}\\\n\t\u2003"), st.floats(0, 1, exclude_max=True))
def test_truncation_is_a_prefix_of_the_right_length(question: str, share: float) -> None:
    truncated = truncate_question(question, share)
    before, after = len(question.split()), len(truncated.split())
    assert question.startswith(truncated) and truncated.split() == question.split()[:after]
    if before:
        assert after >= 1 and abs(before - after - before * share) <= (0.5 if after > 1 else before)


@pytest.mark.parametrize("share", [-0.1, 1.0, 40.0])
def test_refuses_a_share_that_leaves_nothing(share: float) -> None:
    with pytest.raises(ValueError, match="share"):
        truncate_question("one two three", share)
