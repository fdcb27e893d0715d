"""Records of runs that nobody made, with a known speed of learning."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import yaml
from run_grid import COMPLETE


def write_run(folder: Path, method: str, seed: int, speed: float, length: int = 150, tokens: int = 3000) -> Path:
    """The records of 150 steps, called a run of `length`, whose accuracy rises from 0.2 to at most 0.8; the metrics."""
    run = folder / "weak" / str(length) / method / f"seed{seed}"
    run.mkdir(parents=True)
    for name in (COMPLETE, "prompts.jsonl"):
        (run / name).touch()
    probe = [{"step": step, "entropy": 0.5 - 0.3 * step / 150} for step in (0, 30, 60, 90, 120, 150)]
    (run / "probe.jsonl").write_text("".join(json.dumps(row) + "\n" for row in probe))
    (run / "config.yaml").write_text(yaml.safe_dump({"train": {"seed": seed}}))
    rows = []
    for step in range(151):
        row = {"step": step, "rollout/total": 128 * step, "rollout/total_tokens": tokens * step}
        if step % 10 == 0:
            row["eval/default/avg@16"] = 0.2 + 0.6 * float(np.minimum(1, speed * step / 300))
        rows.append(row if step else {key: row[key] for key in ("step", "eval/default/avg@16")})
    metrics = run / "metrics.jsonl"
    metrics.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return metrics
