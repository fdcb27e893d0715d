"""One command for all: `prepo train`, `prepo eval`, ...; `ray job submit` takes their modules, `python -m`.

Boundary: looks at the first word alone; what a command needs is imported when it runs.
"""

from __future__ import annotations

import sys
from importlib import import_module

from prepo_rlhf.cli.entry import command

COMMANDS = {
    "train": ("train_prepo_ray", "train a policy with PREPO"),
    "eval": ("eval_math", "judge a model by benchmarks, or compare two results"),
    "data": ("data", "training problems and benchmarks as files, from the hub or a copy"),
    "plan": ("plan", "what a job takes, and whether it fits, before it is started"),
    "report": ("report", "a page about training runs"),
    "summary": ("summary", "a run's table of before and after"),
}
USAGE = "usage: prepo COMMAND [options]; `prepo COMMAND --help` says which\n\n" + "".join(
    f"  {name:8} {what}\n" for name, (_, what) in COMMANDS.items()
)


@command("prepo")
def main() -> int:
    """Run the command that the first word names; 2 if there is none."""
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name in ("-h", "--help"):
        print(USAGE, end="")
        return 0
    if name not in COMMANDS:
        print(f"prepo {name}: no such command\n\n{USAGE}", end="", file=sys.stderr)
        return 2
    sys.argv = [f"prepo {name}", *sys.argv[2:]]
    return import_module(f"prepo_rlhf.cli.{COMMANDS[name][0]}").main()


if __name__ == "__main__":
    sys.exit(main())
