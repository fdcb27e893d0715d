r"""The text of a question: without the instruction that a data set wraps around it, and as a key to find it again.

Boundary: text in, text out; standard library only.
"""

from __future__ import annotations

import re
import unicodedata

# DAPO's own, and what GRESO's copy of DAPO-Math-17K has in its place: there the question is followed by a full stop.
_OPENING = re.compile(
    r"\s*(?:Solve the following math problem step by step\.\s+The last line of your response should be of the form\s+"
    r"\S*\s*\$Answer\S*\s+\(without quotes\) where \$Answer is the answer to the problem\."
    r"|Please solve the following math problem:)\s*",
    re.IGNORECASE,
)
_CLOSING = re.compile(
    r'\s*(?:Remember to put your answer on its own line after "Answer:"\.'
    r"|\. The assistant first thinks about the reasoning process step by step and then provides the user with the "
    r"answer\. Return the final answer in \\boxed\{\} tags, for example \\boxed\{1\}\. Let's solve this step by step\.)"
    r"\s*\Z",
    re.IGNORECASE,
)

_DELIMITERS = re.compile(r"\\[()\[\]]|\\(?:left|right|displaystyle)(?![a-z])|\\[,;:! ]|\\q?quad(?![a-z])")
_SPACES_AND_MARKS = re.compile(r"[\s$\\_~#&;:?…。、；：？'\"`´‘’“”]")
_POINT = re.compile(r"(?<!\d)[.,]|[.,](?!\d)")  # but of 3.14 or (1,2)
_ONE_IN_BRACES = re.compile(r"\{(\w)\}")


def without_instruction(text: str) -> str:
    """The question alone; the model's own template says how to answer."""
    opening = _OPENING.match(text)
    start = opening.end() if opening else 0
    closing = _CLOSING.search(text, start)
    return text[start : closing.start() if closing else len(text)].strip()


def same_problem_key(question: str) -> str:
    r"""A text that copies of a problem share which are set in another way.

    Not looked at are case, white space, dollar signs and \( \) around formulas, spaces of LaTeX, quotation marks, and
    punctuation that ends a sentence or a clause. Digits, letters, operators and brackets all count.
    """
    text = unicodedata.normalize("NFKC", question).casefold()
    text = _SPACES_AND_MARKS.sub("", _DELIMITERS.sub("", text))
    return _ONE_IN_BRACES.sub(r"\1", _POINT.sub("", text)) or question
