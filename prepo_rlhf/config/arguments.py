"""A command line as it was typed, made ready for tyro: what is understood is rewritten, what cannot be meant is told.

Understood: switches with a value (`--ds.packing_samples False`), `--no-...` before a group, texts that begin with a
dash. Told, all at once: names of other versions, misspelt names with what they look like, values that are missing or
too many, dashes that a word processor has made of `--`.
Boundary: names and numbers of values; whether a value is right is for tyro and the bounds.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from prepo_rlhf.config.base import ConfigError
from prepo_rlhf.config.bounds import SECRET
from prepo_rlhf.config.option_names import MANY, alternatives, num_values, unknown_option
from prepo_rlhf.config.refused import refusal
from prepo_rlhf.config.short_help import HELP, HELP_ALL

ON, OFF = ("true", "yes", "on", "1", "t", "y"), ("false", "no", "off", "0", "f", "n")
_NAME = re.compile(r"[^\W\d][\w.-]*")
_FLAG = re.compile(f"--{_NAME.pattern}(=.*)?", re.DOTALL)
_OTHER_DASHES = re.compile(r"[-\u00ad\u2010-\u2015\u2212\ufe58\ufe63\uff0d]+")


def understood(argv: Sequence[str], options: Mapping[str, Any], as_openrlhf: bool = False) -> list[str]:
    """`argv` with everything in the form that tyro reads.

    Args:
        options: type by dotted name, as `option_types` gives them.
        as_openrlhf: the command takes OpenRLHF's command lines, so that its names are answered too.

    Raises:
        ConfigError: listing everything that cannot be meant.
    """
    reader = _Reader(list(argv), options, as_openrlhf)
    while reader.left:
        reader.read()
    if reader.problems:
        raise ConfigError("\n".join(dict.fromkeys(reader.problems)))
    return reader.done


class _Reader:
    def __init__(self, left: list[str], options: Mapping[str, Any], as_openrlhf: bool) -> None:
        self.left = left
        self.done: list[str] = []
        self.problems: list[str] = []
        self._options, self._as_openrlhf = options, as_openrlhf
        self._last = ""  # the option whose values were read last, for words that follow it

    def read(self) -> None:
        """Read the next option with all its values, or the next word that belongs to none."""
        token = self.left.pop(0)
        if token in (*HELP, *HELP_ALL):
            self.done.append("--help")
        elif _FLAG.fullmatch(token):
            name, equals, value = token[2:].partition("=")
            self._read_option(name.replace("-", "_"), value if equals else None)
        else:
            self._tell_stray(token)

    def _read_option(self, name: str, value: str | None) -> None:
        self._last = f"--{name}"
        following = value if value is not None else next(iter(self.left), "")
        positive = self._switched_off(name)
        if name in self._options and (told := refusal(name, following)):
            self._skip_values(told)
        elif positive or self._is_switch(name):
            self._read_switch(positive or name, positive is None, value)
        elif name in self._options:
            self._read_values(name, value)
        else:
            self._skip_values(unknown_option(name, following, self._options, self._as_openrlhf))

    def _is_switch(self, name: str) -> bool:
        return name in self._options and num_values(self._options[name]) == 0

    def _switched_off(self, name: str) -> str | None:
        """The switch that `group.no_name`, `no_group.name` or `no_name` turns off."""
        if name in self._options:
            return None
        group, dot, last = name.rpartition(".")
        for negative, positive in ((last, f"{group}{dot}{last[3:]}"), (name, name[3:])):
            if negative.startswith("no_") and self._is_switch(positive):
                return positive
        return None

    def _read_switch(self, name: str, on: bool, value: str | None) -> None:
        if value is None and self.left and self.left[0].lower() in (*ON, *OFF):
            value = self.left.pop(0)
        if value is not None and value.lower() not in (*ON, *OFF):
            self.problems.append(f"{self._last} {value!r}: is a switch; give true or false, or nothing for true")
            return
        if value is not None and value.lower() in OFF:
            on = not on
        group, dot, last = name.rpartition(".")
        self.done.append(f"--{name}" if on else f"--{group}{dot}no_{last}")

    def _read_values(self, name: str, value: str | None) -> None:
        wanted = num_values(self._options[name])
        values = [] if value is None else [value]
        while (len(values) < wanted or wanted == MANY) and self._value_follows():
            values.append(self.left.pop(0))
        if value == "" and self._value_follows() or any(word.startswith("=") for word in values[:1]):
            self._skip_values(f"--{name}: no blank may stand beside the equals sign: --{name} VALUE, or --{name}=VALUE")
        elif wanted == 1 and (not values or values == [""] and str not in alternatives(self._options[name])):
            self.problems.append(f"--{name}: a value is missing (--{name}=VALUE for one that begins with dashes)")
        elif len(values) < wanted:
            several = f"--{name}{' VALUE' * wanted}, with blanks between them"
            self.problems.append(f"--{name}: {wanted} values are needed and {len(values)} given: {several}")
        else:
            self.done += [f"--{name}={values[0]}"] if wanted == 1 else [f"--{name}", *values]

    def _value_follows(self) -> bool:
        """Whether the next word is a value, and not an option itself, well typed or not."""
        if not self.left or _FLAG.fullmatch(self.left[0]) or self.left[0] in ("--", *HELP):
            return False
        return self._dashed_name(self.left[0]) is None

    def _dashed_name(self, word: str) -> str | None:
        """The option that a word with other dashes than two stands for, if there is one of exactly this name."""
        dashes = _OTHER_DASHES.match(word)
        name = word[dashes.end() :].partition("=")[0].replace("-", "_") if dashes else ""
        return name if name in self._options or self._switched_off(name) else None

    def _skip_values(self, problem: str) -> None:
        self.problems.append(problem)
        while self._value_follows():
            self.left.pop(0)

    def _tell_stray(self, word: str) -> None:
        """Tell of a word that is no option as it stands, and no value of one."""
        shown, dashes, where = word.partition("=")[0], _OTHER_DASHES.match(word), self._where()  # not a value: a secret
        name = shown[dashes.end() :] if dashes else shown
        if word == "--":
            self._skip_values(f"--{where}: nothing may follow two dashes alone; remove them")
        elif name in self._options and not dashes:
            self._skip_values(f"{shown}: an option begins with two dashes, --{name}")
        elif not dashes:
            self.problems.append(self._of_no_option(word))
        elif len(name.split()) > 1:
            self.problems.append(f"{shown.split()[0]}: its value is in the same word; remove quotes or special blanks")
        elif self._dashed_name(word) is not None:
            self._skip_values(f"{shown}: an option begins with two plain dashes, --{name}")
        elif _NAME.fullmatch(name) and dashes.group() != "--":
            told = unknown_option(name.replace("-", "_"), "", self._options, self._as_openrlhf)
            self._skip_values(f"{shown}: an option begins with two plain dashes; {told}")
        else:
            self._skip_values(f"{shown!r}{where}: no option is written like this; --help-all lists all of them")

    def _where(self) -> str:
        return f" behind {self._last}" if self._last else " at the beginning"

    def _of_no_option(self, word: str) -> str:
        name = self._last.removeprefix("--")
        if name == SECRET:
            return f"--{SECRET} takes 1 value, which has no blanks in it"
        if self._is_switch(name):
            return f"{word!r}: {self._last} is a switch; give true or false, or nothing for true"
        if name in self._options:
            count = num_values(self._options[name])
            takes = f"{self._last} takes {count} value{'s' if count > 1 else ''}"
            return f"{word!r}: {takes}; put a text with blanks in quotes"
        return f"{word!r}{self._where()}: neither an option nor the value of one"
