"""The job that the other tests here damage is a good one: what they see is their damage's doing."""

from __future__ import annotations

from attempts import attempt
from tiny_tasks import question_rows


def test_the_good_job_is_prepared(good_job) -> None:
    done = attempt(good_job())
    assert not done.refused and done.prepared is not None
    assert [prompt.label for prompt in done.prepared.train.prompts] == [row["answer"] for row in question_rows(60)]
