"""Templates that users bring: texts full of braces, names that are none, chat templates that refuse."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from attempts import attempt
from tiny_tasks import ROOT, gpu_config, job_options
from transformers import PreTrainedTokenizerBase

from prepo_rlhf.config import Config, ConfigError, GivenConfig, check, parse_args
from prepo_rlhf.config.files import from_yaml, to_yaml
from prepo_rlhf.prompts.load import load_prompts
from prepo_rlhf.prompts.render import benchmark_style

Configure = Callable[..., Config]
QUESTION = "What is $\\frac{1}{2}$ of {} and {{8}}, {question}?"
# A template, and what the model reads.
TAKEN = {
    "a box": (r"{} Put it in \boxed{}.", rf"{QUESTION} Put it in \boxed{{}}."),
    "a box first": (r"Put it in \boxed{}: {}", rf"Put it in \boxed{{}}: {QUESTION}"),
    "an object": ('{"q": "{}"}', '{"q": "' + QUESTION + '"}'),
    "an object in another": ('{"a": {"q": "{}"}}', '{"a": {"q": "' + QUESTION + '"}}'),
    "three objects": ('{"a": {"b": {"q": "{}"}}}', '{"a": {"b": {"q": "' + QUESTION + '"}}}'),
    "an object as OpenRLHF has it": ('{{"q": "{}"}}', '{"q": "' + QUESTION + '"}'),
    "a box as OpenRLHF has it": (r"{} Put it in \boxed{{}}.", rf"{QUESTION} Put it in \boxed{{}}."),
    "in braces": ("<{{{}}}>", "<{" + QUESTION + "}>"),
    "in a command": (r"\boxed{{{}}}", rf"\boxed{{{QUESTION}}}"),
    "a named field": ("{name}, {}", "{name}, " + QUESTION),
    "a number": ("{0}: {}", "{0}: " + QUESTION),
    "a single brace": ("{ {}", "{ " + QUESTION),
    "arguments": (r"\frac{1}{} x^{} a_{} \sqrt[3]{} {}", rf"\frac{{1}}{{}} x^{{}} a_{{}} \sqrt[3]{{}} {QUESTION}"),
    "percent": ("100% %s {}", "100% %s " + QUESTION),
    "line breaks": ("Q:\r\n{}\r\n\u2028A:", f"Q:\r\n{QUESTION}\r\n\u2028A:"),
    "the benchmarks' place": ("{question} {}", "{question} " + QUESTION),
    "nothing around": ("{}", QUESTION),
    "empty": ("", QUESTION),
    "a backslash and an n": (r"Q:\n{}\nA:", rf"Q:\n{QUESTION}\nA:"),
    "a name": (
        "plain",
        f"{QUESTION}\nPlease reason step by step, and put your final answer within \\boxed{{}}.",
    ),
}
REFUSED = {
    "two places": ("{} {}", "has 2 places for the question"),
    "three places": ("{}{}{}", "has 3 places"),
    "only a box": (r"Put it in \boxed{}.", "has no place for the question"),
    "no place": ("Solve this: ", "has no place for the question"),
    "only doubled": ("Solve {{}}", "has no place for the question"),
    "the benchmarks' place alone": ("Solve {question}", "has no place"),
    "a field": ("Solve {0}", "has no place"),
    "a format": ("Solve {:>9}", "has no place"),
    "doubled and single": (r"{} {x} {{y}}", "doubled and single braces"),
    "a set of sets": (r"{} {{1}, {2}}", "doubled and single braces"),
    "almost a name": ("qwen_math", "there is no such template (did you mean qwen-math?)"),
    "a name in capitals": ("LLAMA3", "(did you mean llama3?)"),
    "a name of chat templates": ("chatml", "(did you mean chat?); give qwen-math, llama3, plain, chat"),
    "a word": ("Question:", "there is no such template"),
    "blank": ("  ", "has no place"),
}
ROWS = [{"question": QUESTION, "answer": "4"}, {"question": "And what is it then?", "answer": "5"}]
ALTERNATE = (
    "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Roles must alternate') }}{% endif %}{{ m.content }}{% endfor %}"
)
NO_SYSTEM = "{% if messages[0].role == 'system' %}{{ raise_exception('No system role') }}{% endif %}" + ALTERNATE
SYSTEM = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "1 + 1?"}]
TWICE = [{"role": "user", "content": "1 + 1?"}, {"role": "user", "content": "2 + 2?"}]
# A chat template, the chat of the second of two rows, and what is told.
CHATS: dict[str, tuple[str, Any, str]] = {
    "no system messages": (NO_SYSTEM, SYSTEM, "1 of the 2 rows of --data.prompt_dataset"),
    "its own words": (NO_SYSTEM, SYSTEM, "(line 2: the chat template does not take it: No system role)"),
    "roles must alternate": (ALTERNATE, TWICE, "line 2: the chat template does not take it: Roles must alternate"),
    "leaves the system message out": ("{{ messages[-1].content }}", SYSTEM, "leaves out or changes message 1"),
    "leaves all out": ("Hello.", "1 + 1?", "2 of the 2 rows"),
    "an undefined name": ("{{ messages[0].content }}{{ x.y.z }}", "1 + 1?", "'x' is undefined"),
    "a text and a number": ("{{ messages[0].content + 1 }}", "1 + 1?", "does not take it"),
    "a division by zero": ("{{ messages[0].content }}{{ 1 // 0 }}", "1 + 1?", "does not take it"),
    "broken": ("{% for m in messages %}{{ m.content }}", "1 + 1?", "is broken: Unexpected end of template"),
    "an unknown tag": ("{% frobnicate %}", "1 + 1?", "is broken: Encountered unknown tag 'frobnicate'"),
}
# What is given as --data.chat_template_kwargs, and what is told.
KWARGS = {
    "a list": ("[1]", "must be a JSON object"),
    "a text": ('"thinking"', "must be a JSON object"),
    "cut off": ('{"enable_thinking": fal', "must be a JSON object"),
    "Python's words": ("{'enable_thinking': False}", "must be a JSON object"),
    "NaN": ('{"a": NaN}', "must be a JSON object (NaN is no JSON)"),
    "empty": ("", "must be a JSON object"),
}


@pytest.fixture(scope="module")
def given(tiny_llama: str, tmp_path_factory: pytest.TempPathFactory) -> GivenConfig:
    """The options of a job on the two rows."""
    folder = tmp_path_factory.mktemp("templates")
    write_rows(folder / "rows.jsonl", ROWS)
    return parse_args(job_options(tiny_llama, str(folder / "rows.jsonl"), "reward.py", folder))


@pytest.fixture
def configure(given: GivenConfig) -> Configure:
    """Those options with changes, after the checks that need no files."""
    return lambda **changes: check(gpu_config(given.replaced({f"data.{name}": new for name, new in changes.items()})))


def write_rows(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


@pytest.mark.parametrize("case", TAKEN)
def test_a_template_is_text_around_the_question(
    case: str, configure: Configure, tokenizer: PreTrainedTokenizerBase
) -> None:
    template, text = TAKEN[case]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        config = configure(input_template=template)
    prompt = load_prompts(config, tokenizer).prompts[0]
    assert (prompt.text, len(prompt.token_ids)) == (text, len(tokenizer.tokenize(text)))


@pytest.mark.parametrize("case", REFUSED)
def test_what_reads_in_two_ways_or_none_is_refused(case: str, configure: Configure) -> None:
    template, sentence = REFUSED[case]
    with pytest.raises(ConfigError) as refusal:
        configure(input_template=template)
    assert str(refusal.value).startswith(f"--data.input_template {template!r}: ") and sentence in str(refusal.value)


def test_braces_that_mean_something_else_than_to_openrlhf_are_told(configure: Configure) -> None:
    with pytest.warns(UserWarning, match="--data.input_template: its doubled braces, .* stay two"):
        configure(input_template='{"a": {"q": "{}"}}')
    with pytest.warns(UserWarning, match="--data.input_template holds a backslash and an n"):
        configure(input_template=r"Q:\n{}")


def test_two_templates_are_refused(configure: Configure) -> None:
    with pytest.raises(ConfigError, match="--data.input_template and --data.apply_chat_template: .* only one of them"):
        configure(input_template="plain", apply_chat_template=True)


@pytest.mark.parametrize("case", CHATS)
def test_a_chat_template_that_refuses(
    case: str, configure: Configure, tmp_path: Path, tokenizer: PreTrainedTokenizerBase, monkeypatch: Any
) -> None:
    template, chat, sentence = CHATS[case]
    rows = [ROWS[1], {"question": chat, "answer": "2"}]
    config = configure(apply_chat_template=True, prompt_dataset=write_rows(tmp_path / "rows.jsonl", rows))
    monkeypatch.setattr(tokenizer, "chat_template", template)
    with pytest.raises(ConfigError) as refusal:
        load_prompts(config, tokenizer)
    assert str(refusal.value).startswith("--data.apply_chat_template: ") and sentence in str(refusal.value)


@pytest.mark.parametrize("case", KWARGS)
def test_kwargs_that_are_no_json_object(case: str, configure: Configure) -> None:
    text, sentence = KWARGS[case]
    with pytest.raises(ConfigError) as refusal:
        configure(apply_chat_template=True, chat_template_kwargs=text)
    assert str(refusal.value).startswith("--data.chat_template_kwargs: ") and sentence in str(refusal.value)


@pytest.mark.parametrize("written", ["{enable_thinking: false}", "'{\"enable_thinking\":false}'"])
def test_kwargs_reach_the_chat_template(
    written: str, configure: Configure, tmp_path: Path, tokenizer: PreTrainedTokenizerBase, monkeypatch: Any
) -> None:
    monkeypatch.setattr(
        tokenizer, "chat_template", "{{ messages[0].content }}{% if enable_thinking is false %}<no>{% endif %}"
    )
    line = configure(apply_chat_template=True, chat_template_kwargs='{"enable_thinking": false}')
    (tmp_path / "some.yaml").write_text(f"data:\n  chat_template_kwargs: {written}\n")
    (tmp_path / "all.yaml").write_text(to_yaml(line))
    for read in (from_yaml(tmp_path / "some.yaml"), from_yaml(tmp_path / "all.yaml")):
        assert read.data.chat_template_kwargs == line.data.chat_template_kwargs == '{"enable_thinking": false}'
    assert load_prompts(line, tokenizer).prompts[1].text == ROWS[1]["question"] + "<no>"


def test_kwargs_that_nothing_takes(configure: Configure, tokenizer: PreTrainedTokenizerBase, monkeypatch: Any) -> None:
    with pytest.raises(ConfigError, match="--data.chat_template_kwargs needs --data.apply_chat_template"):
        configure(chat_template_kwargs="{}")
    own = configure(apply_chat_template=True, chat_template_kwargs='{"tokenize": true, "x": 1}')
    with pytest.raises(ConfigError, match="--data.chat_template_kwargs: tokenize cannot be given"):
        load_prompts(own, tokenizer)
    misspelt = configure(apply_chat_template=True, chat_template_kwargs='{"enable_thinkin": false}')
    with pytest.warns(UserWarning, match="--data.chat_template_kwargs: the chat template has no enable_thinkin"):
        load_prompts(misspelt, tokenizer)
    with pytest.raises(ConfigError, match="^--chat_template_kwargs: tokenize cannot be given"):
        benchmark_style("chat", chat_kwargs='{"tokenize": true}').renderer(tokenizer)


def test_a_whole_command_takes_and_refuses(good_job: Callable[..., list[str]]) -> None:
    taken = attempt(good_job(data__input_template='{"q": "{}"}'))
    assert taken.prepared is not None and taken.prepared.train.prompts[0].text.startswith('{"q": "There are ')
    options = good_job(data__input_template="qwen_math")
    command = [sys.executable, "-m", "prepo_rlhf.cli.train_prepo_ray", *options]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "train_prepo_ray: --data.input_template 'qwen_math': there is no such template" in done.stderr
