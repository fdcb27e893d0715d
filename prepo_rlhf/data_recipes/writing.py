"""The files of a recipe on disk: each is replaced as a whole, and none that says something else without being asked.

Boundary: texts and paths.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from prepo_rlhf.config.base import ConfigError
from prepo_rlhf.files.atomic import replace_text


def write_files(folder: Path, files: Mapping[str, str], overwrite: bool) -> None:
    """Write all, or none. Raises ConfigError if a file with another content is there and `overwrite` is not given, or
    nothing can be written there."""
    paths = {folder / name: text for name, text in files.items()}
    try:
        different = [path for path, text in paths.items() if path.exists() and path.read_bytes() != text.encode()]
        if different and not overwrite:
            named = ", ".join(path.name for path in different)
            raise ConfigError(
                f"--output_dir {folder}: has {named} with another content; give --overwrite to replace what is there, "
                "or another folder"
            )
        folder.mkdir(parents=True, exist_ok=True)
        for path, text in paths.items():
            replace_text(path, text)
    except OSError as error:
        raise ConfigError(f"--output_dir {folder}: cannot be written to ({error})") from error
