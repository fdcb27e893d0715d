"""What ends a response, as users and model folders say it: each input is refused in a sentence, or means what it says.

Each is tried at both doors: a training job, and an evaluation of the same model.
"""

from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import pytest
import tyro
import yaml
from attempts import attempt
from chat_models import EOT, IM_END, make_chat_model
from tiny_tasks import question_rows
from transformers import AutoTokenizer

from prepo_rlhf.config import ConfigError
from prepo_rlhf.evaluation.options import BenchmarkOptions, check
from prepo_rlhf.evaluation.runner import prepare
from prepo_rlhf.prompts.stops import Stops

EOS, START = 2, "<|im_start|>"
LLAMA2 = (
    "{% for m in messages %}{% if m.role == 'user' %}[INST] {{ m.content }} [/INST]{% else %} {{ m.content }}</s>"
    "{% endif %}{% endfor %}"
)
THINKING = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.role == 'assistant' %}<think>\n\n</think>\n\n{% endif %}"
    "{{ m.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n<think>\n{% endif %}"
)
ONLY_USERS = (
    "{% for m in messages %}{% if m.role != 'user' %}{{ raise_exception('users only') }}{% endif %}{{ m.content }}"
    "{% endfor %}"
)
WITHOUT_END = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}assistant:"


@pytest.fixture(scope="session")
def chat_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return make_chat_model(tmp_path_factory.mktemp("chat"), [])


@pytest.fixture
def damaged(good_job, chat_model: str, tmp_path: Path):
    """The command line of a job and the options of an evaluation, with the files of a case."""
    shutil.copytree(chat_model, tmp_path / "policy", dirs_exist_ok=True)

    def make(case: dict[str, Any]) -> tuple[list[str], dict[str, Any]]:
        model = tmp_path / "policy"
        if "generation" in case:
            (model / "generation_config.json").write_text(case["generation"])
        if "without_generation" in case:
            (model / "generation_config.json").unlink()
        if "chat_template" in case:
            (model / "chat_template.jinja").write_text(case["chat_template"])
        if "added" in case:  # tokens for which the model has no embeddings
            tokenizer = AutoTokenizer.from_pretrained(model)
            tokenizer.add_tokens(case["added"], special_tokens=True)
            tokenizer.save_pretrained(model)
        job = good_job(**case.get("options", {}))
        evaluation = {"model": str(model), "benchmarks": str(tmp_path / "rows.jsonl"), "stop": case.get("stop", [])}
        (tmp_path / "prompt.txt").write_text("{question}")
        if template := case.get("options", {}).get("data__input_template"):
            evaluation |= {"prompt": template}
        else:
            evaluation |= {"prompt": "file", "prompt_file": str(tmp_path / "prompt.txt")}
        if "stop" in case:
            job += ["--rollout.stop", *case["stop"]]
        if "yaml" in case:
            (tmp_path / "job.yaml").write_text(yaml.safe_dump({"rollout": {"stop": case["yaml"]}}))
            job += ["--config", str(tmp_path / "job.yaml")]
        return job, evaluation

    return make


def evaluate(options: dict[str, Any]) -> tuple[str, str, Stops | None]:
    """The refusal, the warnings, and what ends a response, of an evaluation up to where Ray would start."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            given = BenchmarkOptions(**options)
            check(given)
            message, stops = "", prepare(given)[2]
        except ConfigError as error:
            message, stops = str(error), None
    return message, "\n".join(str(warning.message) for warning in caught), stops


# case -> what is given, and a part of the sentence
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "empty": ({"stop": [""]}, "stop '': an empty text would end every response"),
    "empty among others": ({"stop": ["Question:", ""]}, "stop '': an empty text would end every response"),
    "no text": ({"stop": ["ab\udcff"]}, "is no text, but bytes that are not UTF-8"),
    "half a character": ({"stop": ["fine", "\ud83d"]}, "is no text, but bytes that are not UTF-8"),
    "a token beyond the vocabulary": (
        {"stop": ["<|t99|>"], "added": [f"<|t{i}|>" for i in range(100)]},
        "stop <|t99|>: correct that",
    ),
    "number": ({"yaml": 5}, "--rollout.stop: Input should be a valid string, got 5"),
    "numbers": ({"yaml": [1, 2]}, "--rollout.stop: Input should be a valid string, got 1"),
    "true": ({"yaml": True}, "--rollout.stop true: is not a switch"),
    "null": ({"yaml": None}, "--rollout.stop: Input should be a valid string, got None"),
    "null among texts": ({"yaml": ["a", None]}, "--rollout.stop: Input should be a valid string, got None"),
    "mapping": ({"yaml": {"text": "a"}}, "--rollout.stop: Input should be a valid string, got {'text': 'a'}"),
    "lists in a list": ({"yaml": [["a"], ["b"]]}, "--rollout.stop: Input should be a valid string, got ['a']"),
    "number with a fraction": ({"yaml": 1.5}, "--rollout.stop: Input should be a valid string, got 1.5"),
    "empty in YAML": ({"yaml": ""}, "--rollout.stop '': an empty text"),
    "empty in a list in YAML": ({"yaml": ["a", ""]}, "--rollout.stop '': an empty text"),
    "EOS as text": ({"generation": '{"eos_token_id": "</s>"}'}, "generation_config.json has eos_token_id </s>"),
    "EOS as texts": ({"generation": '{"eos_token_id": ["2"]}'}, "generation_config.json has eos_token_id ['2']"),
    "EOS true": ({"generation": '{"eos_token_id": true}'}, "generation_config.json has eos_token_id True"),
    "EOS with a fraction": ({"generation": '{"eos_token_id": 2.0}'}, "generation_config.json has eos_token_id 2.0"),
    "EOS NaN": ({"generation": '{"eos_token_id": NaN}'}, "generation_config.json has eos_token_id nan"),
    "EOS in a list in a list": ({"generation": '{"eos_token_id": [[2]]}'}, "has eos_token_id [[2]]"),
    "EOS with a null": ({"generation": '{"eos_token_id": [2, null]}'}, "has eos_token_id [2, None]"),
    "EOS as a mapping": ({"generation": '{"eos_token_id": {"a": 2}}'}, "has eos_token_id {'a': 2}"),
    "EOS below the vocabulary": ({"generation": '{"eos_token_id": -1}'}, "0 to 511, and -1 is none of them"),
    "EOS beyond the vocabulary": ({"generation": '{"eos_token_id": [2, 512]}'}, "512 is none of the 512 token ids"),
    "EOS far beyond": ({"generation": '{"eos_token_id": 151645}'}, "151645 is none of the 512 token ids"),
    "cut off": ({"generation": '{"eos_tok'}, "generation_config.json can't be read"),
    "no file of options": ({"generation": "[]"}, "generation_config.json can't be read"),
    "nothing in it": ({"generation": ""}, "generation_config.json can't be read"),
}
# case -> what is given, tokens besides `</s>`, and texts
PREPARED: dict[str, tuple[dict[str, Any], list[str], list[str]]] = {
    "nothing": ({}, [], []),
    "a special token": ({"stop": [IM_END]}, [IM_END], []),
    "the EOS itself": ({"stop": ["</s>"]}, [], []),
    "a special token and texts": ({"stop": ["Q:", EOT, "\n\n"]}, [EOT], ["Q:", "\n\n"]),
    "twice": ({"stop": [EOT, "Q:", "Q:", EOT]}, [EOT], ["Q:"]),
    "a token of the vocabulary that is none of its own": ({"stop": ["a"]}, [], ["a"]),
    "a line break": ({"stop": ["\n"]}, [], ["\n"]),
    "a space": ({"stop": [" "]}, [], [" "]),
    "a special token in a text": ({"stop": [f"{IM_END}\n"]}, [], [f"{IM_END}\n"]),
    "another alphabet": ({"stop": ["答え", "Ende."]}, [], ["答え", "Ende."]),
    "a number as text": ({"stop": ["42"]}, [], ["42"]),
    "with dashes": ({"stop": ["---"]}, [], ["---"]),
    "with braces": ({"stop": ["{}", "{question}"]}, [], ["{}", "{question}"]),
    "None as text": ({"stop": ["None"]}, [], ["None"]),
    "one in YAML": ({"yaml": IM_END}, [IM_END], []),
    "several in YAML": ({"yaml": [IM_END, "Q:\n"]}, [IM_END], ["Q:\n"]),
    "none in YAML": ({"yaml": []}, [], []),
    "qwen-math": ({"options": {"data__input_template": "qwen-math"}}, [IM_END], []),
    "llama3": ({"options": {"data__input_template": "llama3"}, "stop": ["Q:"]}, [EOT], ["Q:"]),
    "plain": ({"options": {"data__input_template": "plain"}}, [], []),
    "chat": ({"options": {"data__input_template": "chat"}}, [IM_END], []),
    "chat of Llama 2": ({"options": {"data__input_template": "chat"}, "chat_template": LLAMA2}, [], []),
    "chat that thinks": ({"options": {"data__input_template": "chat"}, "chat_template": THINKING}, [IM_END], []),
    "chat of users": ({"options": {"data__input_template": "chat"}, "chat_template": ONLY_USERS}, [], []),
    "chat without ends": ({"options": {"data__input_template": "chat"}, "chat_template": WITHOUT_END}, [], []),
    "EOS of the file": ({"generation": f'{{"eos_token_id": {EOS}}}'}, [], []),
    "several EOS": ({"generation": f'{{"eos_token_id": [{EOS}, 1]}}'}, ["<s>"], []),
    "several EOS, the tokenizer's not among them": ({"generation": '{"eos_token_id": [1]}'}, ["<s>"], []),
    "an empty list of EOS": ({"generation": '{"eos_token_id": []}'}, [], []),
    "EOS null": ({"generation": '{"eos_token_id": null}'}, [], []),
    "no EOS in the file": ({"generation": "{}"}, [], []),
    "no such file": ({"without_generation": True}, [], []),
    "all at once": (
        {"options": {"data__input_template": "chat"}, "generation": '{"eos_token_id": [2, 1]}', "stop": [EOT, "Q:"]},
        ["<s>", IM_END, EOT], ["Q:"],
    ),
}  # fmt: skip
WARNED: dict[str, tuple[dict[str, Any], str]] = {
    "misspelt": ({"stop": ["<|im_ends|>"]}, "stop <|im_ends|>: looks like a special token"),
    "of another family": ({"stop": ["<|endoftext|>"]}, "stop <|endoftext|>: looks like a special token"),
    "a backslash and an n": ({"stop": ["Q:\\n"]}, "stop Q:\\n: holds a backslash and an n"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str, damaged) -> None:
    case, sentence = REFUSED[name]
    job, evaluation = damaged(case)
    done = attempt(job)
    assert done.refused and sentence in done.message
    if "yaml" not in case:
        message, _, _ = evaluate(evaluation)
        assert sentence in message and message.startswith("--")


@pytest.mark.parametrize("name", PREPARED)
def test_prepared(name: str, damaged, tmp_path: Path) -> None:
    case, tokens, texts = PREPARED[name]
    job, evaluation = damaged(case)
    done = attempt(job)
    assert done.prepared is not None, done.message
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "policy")
    expected = {EOS, *tokenizer.convert_tokens_to_ids(tokens)}
    assert set(done.prepared.stops.token_ids) == expected and list(done.prepared.stops.texts) == texts
    if "yaml" not in case:
        assert evaluate(evaluation) == ("", "", done.prepared.stops)
    assert "stop" not in done.warned
    assert len(done.prepared.train) == 60
    if "options" not in case:  # what ends a response has no part in its prompt
        rows = [tokenizer(row["question"], add_special_tokens=False)["input_ids"] for row in question_rows(60)]
        assert [prompt.token_ids for prompt in done.prepared.train.prompts] == rows


@pytest.mark.parametrize("name", WARNED)
def test_told(name: str, damaged) -> None:
    case, sentence = WARNED[name]
    job, evaluation = damaged(case)
    done = attempt(job)
    assert done.prepared is not None and list(done.prepared.stops.texts) == case["stop"]
    assert f"--rollout.{sentence}" in done.warned
    _, warned, stops = evaluate(evaluation)
    assert f"--{sentence}" in warned and stops == done.prepared.stops


def test_a_template_of_another_family_is_told(good_job) -> None:
    """Its end is none of the model's tokens; a text it is not made, since the model has not learnt it either."""
    done = attempt(good_job(data__input_template="qwen-math"))
    assert done.prepared is not None and done.prepared.stops == Stops((EOS,))
    assert "--data.input_template qwen-math: ends a turn with <|im_end|>, which is no token of" in done.warned


def test_a_prompt_with_the_templates_own_tokens_is_whole(damaged, tmp_path: Path) -> None:
    job, _ = damaged({"options": {"data__input_template": "qwen-math"}})
    question = f"What does {IM_END}{START} mean, and {EOT}?"
    (tmp_path / "rows.jsonl").write_text(60 * (json.dumps({"question": question, "answer": "1"}) + "\n"))
    done = attempt(job)
    assert done.prepared is not None
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "policy")
    (end,) = tokenizer.convert_tokens_to_ids([IM_END])
    for prompt in done.prepared.train.prompts:
        assert prompt.token_ids.count(end) == 3 and question in tokenizer.decode(prompt.token_ids)


def test_texts_are_no_part_of_a_deterministic_job(damaged) -> None:
    job, _ = damaged({"stop": ["Q:"], "options": {"train__full_determinism_enable": True}})
    assert "--rollout.stop 'Q:': is no special token" in attempt(job).message
    job, _ = damaged({"stop": [EOT], "options": {"train__full_determinism_enable": True}})
    assert not attempt(job).refused


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"prompt": "run"}, "--prompt run: name the folder"),
        ({"prompt": "run", "prompt_run": "/nowhere"}, "--prompt_run /nowhere: holds no options of a training run"),
        ({"prompt": "run", "prompt_run": "{data}"}, "holds no options of a training run"),
        ({"prompt": "plain", "prompt_run": "/nowhere"}, "--prompt_run /nowhere: is read with --prompt run only"),
        ({"prompt": "run", "prompt_run": ""}, "holds no options of a training run"),
        ({"prompt": "run", "prompt_run": "{damaged}"}, "holds no options of a training run"),
        ({"prompt": "run", "prompt_run": "{other}"}, "--data.input_templates: unknown option"),
    ],
    ids=["none", "missing", "a file", "another style", "empty", "no YAML", "unknown options"],
)
def test_runs_that_say_nothing_of_prompts(options: dict[str, str], sentence: str, damaged, tmp_path: Path) -> None:
    _, evaluation = damaged({})
    for folder, text in (("damaged", "data: ["), ("other", "data: {input_templates: x}")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "config.yaml").write_text(text)
    places = {name: str(tmp_path / name) for name in ("damaged", "other")} | {"data": str(tmp_path / "rows.jsonl")}
    changes = {name: value.format(**places) for name, value in options.items()}
    message, _, _ = evaluate(evaluation | {"prompt_file": None} | changes)
    assert sentence in message


def test_an_evaluation_takes_stops_from_the_command_line() -> None:
    for words, expected in (([], []), (["--stop", "\n"], ["\n"]), (["--stop", "Q:", IM_END], ["Q:", IM_END])):
        assert tyro.cli(BenchmarkOptions, args=words, use_underscores=True).stops == expected
