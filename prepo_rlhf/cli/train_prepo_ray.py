"""Train a policy with PREPO on Ray, DeepSpeed and vLLM.

    ray job submit --address=http://127.0.0.1:8265 -- python3 -m prepo_rlhf.cli.train_prepo_ray --help
"""

from __future__ import annotations

import sys
from typing import Any

from prepo_rlhf.config import ConfigError, parse_args


def main(**scoring: Any) -> int:
    """Run the job that the command line describes; 2 when it cannot work, with the reason on stderr.

    Args:
        scoring: `make_scorer` of `prepo_rlhf.trainer.job.run`, if another than perplexity is wanted.
    """
    try:
        config = parse_args()
        from prepo_rlhf.trainer.job import run

        run(config, **scoring)
    except ConfigError as error:
        print(f"train_prepo_ray: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
