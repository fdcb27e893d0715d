r"""Grades an answer of each kind at import, in the fork server, so that all workers inherit math-verify's caches.

The first formula of a kind takes up to half a second, for grammar tables and the like, which every new worker would
otherwise spend within the time limit of an answer.
"""

from __future__ import annotations

import logging

from prepo_rlhf.rewards.grading import grade_response

ANSWERS = {
    r"-\frac{1}{2}": "0.25",
    r"\sqrt{2}+\pi": "3",
    r"3^{2}\cdot 5": "x",
    "x=2y+1": "y=(x-1)/3",
    "(1,2]": r"[1,\infty)",
    "1, x": r"\{x, 2\}",
    r"\begin{pmatrix}1\\2\end{pmatrix}": r"\begin{pmatrix}1\\3\end{pmatrix}",
    r"12\text{ cm}": r"50\%",
    "x>1": r"\sin(x)",
    r"\frac{\sqrt{3}}{2}": "0.866025",
    "x^2=4": "(x-2)(x+2)=0",
    r"\sin 30^\circ": "x^2-1",
}

logging.getLogger("math_verify").setLevel(logging.ERROR)
for answer, gold in ANSWERS.items():
    grade_response(rf"\boxed{{{answer}}}", gold, "boxed", max_answer_length=100)
