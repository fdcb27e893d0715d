"""The subjects of a training run's prompts: a column of its dataset that training itself does not read."""

from __future__ import annotations

from prepo_rlhf.config import Config
from prepo_rlhf.prompts.values import BadField, BadRows, BadValue, value_of


def row_subjects(config: Config, subject_key: str) -> dict[int, str]:
    """Row of the run's dataset -> its subject, what `subject_key` names in it; "None" for a row that has none.

    Raises:
        ConfigError: the dataset cannot be loaded, or no row has such a key.
    """
    from prepo_rlhf.prompts.load import load_rows

    table, subjects, bad = load_rows(config), {}, BadRows()
    for number, row in enumerate(table.rows):
        try:
            subjects[number] = str(value_of(row, subject_key))
        except BadValue as error:
            bad.add(table.places[number], BadField(f"--subject_key {subject_key}", error))
    if not subjects:
        bad.check(len(table), config.data.prompt_dataset)
    return {number: subjects.get(number, str(None)) for number in range(len(table))}
