"""The subjects of a training run's prompts: a column of its dataset that training itself does not read."""

from __future__ import annotations

from prepo_rlhf.config import Config, ConfigError
from prepo_rlhf.files.rows import lookup


def row_subjects(config: Config, subject_key: str) -> dict[int, str]:
    """Row of the run's dataset -> its subject, what `subject_key` names in it.

    `backends.launch.reopen_run` must come first: OpenRLHF, which reads the dataset, is imported here.

    Raises:
        ConfigError: the dataset cannot be loaded, or has no such column.
    """
    from prepo_rlhf.prompts.load import load_rows

    rows = load_rows(config)
    try:
        return {number: str(lookup(row, subject_key)) for number, row in enumerate(rows)}
    except (KeyError, TypeError) as error:
        raise ConfigError(
            f"--subject_key {subject_key}: {config.data.prompt_dataset} has no such key, but "
            f"{', '.join(rows.column_names)}"
        ) from error
