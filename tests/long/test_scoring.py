"""Perplexities of real prompts by the engines, by the policy and by a plain Hugging Face forward are the same."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fleets import make_config, running_fleet
from scoring_checks import assert_agree, score_three_ways
from tiny_models import make_tiny_model
from transformers import AutoTokenizer

pytestmark = pytest.mark.usefixtures("ray_head")


@pytest.mark.parametrize("family", ["llama", "qwen2"])
def test_300_gsm8k_prompts(family: str, benchmarks: Path, tmp_path: Path) -> None:
    rows = (benchmarks / "gsm8k_train.jsonl").read_text().splitlines()[:300]
    texts = [json.loads(row)["question"] for row in rows]
    model = make_tiny_model(tmp_path / family, texts, family=family)
    prompts = AutoTokenizer.from_pretrained(model)(texts, add_special_tokens=False)["input_ids"]
    with running_fleet(make_config(model, tmp_path, data__max_len=600)) as fleet:
        assert_agree(score_three_ways(fleet, model, prompts), prompts)
