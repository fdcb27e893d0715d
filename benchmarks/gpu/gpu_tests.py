"""The tests that compute on a GPU where there is one: values and gradients of the output head's Triton kernels.

    python benchmarks/gpu/gpu_tests.py --output gpu_tests.json

Without a GPU the same tests compute on the CPU, without Triton.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from xml.etree import ElementTree

import torch

ROOT = Path(__file__).parents[2]
TESTS = ("tests/unit/test_output_head.py",)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", "--quick", "-p", "no:cacheprovider", f"--junitxml={report}"]
        ended = subprocess.run([*command, *TESTS], cwd=ROOT).returncode
        if not report.is_file():
            sys.exit(f"pytest ended with {ended}")
        (suite,) = ElementTree.parse(report).getroot()
    counts = {name: int(suite.get(name, 0)) for name in ("tests", "failures", "errors", "skipped")}
    device = "cuda" if torch.cuda.is_available() else "cpu"
    args.output.write_text(json.dumps({"device": device, "files": TESTS, **counts}, indent=2) + "\n")
    if ended:
        sys.exit(f"{counts['failures']} of {counts['tests']} tests failed, {counts['errors']} broke")


if __name__ == "__main__":
    main()
