"""Python code of the user's own (a reward, an agent, a selector): loaded, run, and quoted in messages where it raises.

Boundary: standard library; what such code has to define and to answer is for those who call it.
"""

from __future__ import annotations

import importlib.util
import inspect
import os
import sys
import traceback
from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

RAISED = (Exception, SystemExit)  # what a user's code may end with; Ctrl-C is the user's own
EXCERPT = 80  # characters of a value in a message
LONGEST_ERROR = 400  # characters of an error's text in a message
MOST_FRAMES = 3

_process_of_users_code: ContextVar[int | None] = ContextVar("process_of_users_code", default=None)
_end_process = os._exit


class UserCodeError(ValueError):
    """The user's code cannot be used, raised, or answered something else than what it was asked for."""


def load(path: str, name: str) -> ModuleType:
    """The module in a file, which is run like any other and known to Python as `name`.

    Raises:
        UserCodeError: there is no such file, or it cannot be imported.
    """
    if not Path(path).is_file():
        raise UserCodeError(f"there is no file {path}")
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UserCodeError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickle look a class's module up there
    try:
        with no_exit():
            spec.loader.exec_module(module)
    except RAISED as error:
        raise UserCodeError(f"{path} cannot be imported: {quoted(error, path)}") from error
    return module


@contextmanager
def no_exit() -> Generator[None]:
    """Inside, in this thread or task, `os._exit` raises SystemExit, as `sys.exit` does.

    Otherwise a file that calls it would end the process, and with it a job or its driver, without a word. Processes
    that the user's code forks end as ever.
    """
    os._exit = _exit
    mark = _process_of_users_code.set(os.getpid())
    try:
        yield
    finally:
        _process_of_users_code.reset(mark)


def check_callable(function: Callable[..., Any], num_arguments: int) -> str | None:
    """Why a function is none that gives its result when it is called with so many arguments; None if it is one."""
    looked_at = (function, type(function).__call__)  # an object may be callable as well
    if any(map(inspect.iscoroutinefunction, looked_at)):
        return "is async, and must be a plain function"
    if any(map(inspect.isgeneratorfunction, looked_at)) or any(map(inspect.isasyncgenfunction, looked_at)):
        return "is a generator (it yields), and must return its result"
    return check_arguments(function, *[None] * num_arguments)


def check_arguments(function: Callable[..., Any], *args: Any, **kwargs: Any) -> str | None:
    """Why a function cannot be called with these arguments; None if it can, or cannot be looked into."""
    try:
        signature = inspect.signature(function, follow_wrapped=False)  # a decorator may take other arguments
    except (ValueError, TypeError):  # of some functions written in C there is none
        return None
    try:
        signature.bind(*args, **kwargs)
    except TypeError as error:
        return f"takes {signature}: {error}"
    return None


def quoted(error: BaseException, path: str) -> str:
    """An error of the user's code in one line, with the lines of its file that led to it."""
    file = os.path.abspath(path)
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if os.path.abspath(frame.filename) == file]
    places = [f"line {frame.lineno}, `{frame.line}`" for frame in frames]
    if len(places) > MOST_FRAMES:  # endless recursion has a thousand
        places = [*places[: MOST_FRAMES - 1], "...", places[-1]]
    if isinstance(error, SyntaxError) and error.filename and os.path.abspath(error.filename) == file:
        places.append(f"line {error.lineno}")
    try:
        text = str(error)
    except Exception:
        text = "(its text cannot be shown)"
    what = _shortened(f"{type(error).__name__}: {text}", LONGEST_ERROR)
    return f"{what} ({'; '.join(places)})" if places else what


def excerpt(value: Any) -> str:
    """The beginning of a value's text, in one line."""
    try:
        return _shortened(repr(value), EXCERPT)
    except Exception:
        return f"a {type(value).__name__} that cannot be shown"


def _shortened(text: str, length: int) -> str:
    text = " ".join(text.split())
    return text if len(text) <= length else f"{text[:length]}..."


def _exit(status: int) -> NoReturn:
    if _process_of_users_code.get() == os.getpid():
        raise SystemExit(status)
    _end_process(status)
