"""What a dead process has left in the log that Ray keeps of it: the error that it died of, or its last lines."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from prepo_rlhf.ray.worker_logs import LONGEST_LINE, WorkerLog, read_files

STEM = "worker-4482f7e01bacbbef-01000000-4763"
MARKS = ":job_id:01000000\n:actor_name:RolloutEngine\n"
CORE = "(EngineCore pid=4877) "
CORE_ERROR = CORE + "ERROR 11-28 17:24:39 [core.py:1376] "
ACTOR_ERROR = "ERROR 11-28 17:24:39 [async_llm.py:819] "
TRACEBACK = ["Traceback (most recent call last):", '  File "x.py", line 5, in draw', "    gather(index)", "    ^^^^^^"]
ELSEWHERE = "vllm.v1.engine.exceptions.EngineDeadError: EngineCore encountered an issue. See stack trace (above) for"


def lines(head: str, *texts: str) -> str:
    return "".join(f"{head}{text}\r\n" for text in texts)


CORE_DIED = lines(
    CORE_ERROR, "EngineCore encountered a fatal error.", *TRACEBACK, "RuntimeError: index 8 is out of bounds"
)
PASSED_ON = lines(ACTOR_ERROR, "AsyncLLM output_handler failed.", *TRACEBACK, ELSEWHERE)


@pytest.mark.parametrize(
    ("out", "err", "error", "suffix"),
    [
        pytest.param(CORE_DIED + PASSED_ON, "", "RuntimeError: index 8 is out of bounds", ".out", id="vLLM's core"),
        pytest.param(
            CORE_DIED + PASSED_ON, lines("", *TRACEBACK, "ValueError: of the actor, later"),
            "RuntimeError: index 8 is out of bounds", ".out", id="the core before the actor",
        ),
        pytest.param(
            "", lines(CORE, "Process EngineCore:", *TRACEBACK, "OSError: no model"), "OSError: no model", ".err",
            id="while it starts",
        ),
        pytest.param(
            lines(CORE, TRACEBACK[0]) + lines("", "INFO of another") + lines(CORE, *TRACEBACK[1:], "KeyError: 'a'"),
            "", "KeyError: 'a'", ".out", id="lines that alternate",
        ),
        pytest.param(
            "", lines("", *TRACEBACK, "KeyError: 1", "", "During handling of the above", *TRACEBACK, "OSError: 2"),
            "OSError: 2", ".err", id="one after the other",
        ),
        pytest.param(
            "", "Fatal Python error: Segmentation fault\n\nThread 0x7f (most recent call first):\n  File 'a'\n",
            "Fatal Python error: Segmentation fault", ".err", id="a crash",
        ),
        pytest.param(
            "", "terminate called after throwing an instance of 'c10::Error'\n  what():  CUDA error: illegal access\n",
            "what():  CUDA error: illegal access", ".err", id="an error of C++",
        ),
        pytest.param("", lines("\x1b[36m", *TRACEBACK[:1], "\x1b[0mOSError: 3"), "OSError: 3", ".err", id="in colour"),
        pytest.param("", lines("", *TRACEBACK, "OSError: " + "x" * 999), f"OSError: {'x' * 999}"[:LONGEST_LINE], ".err",
                     id="a long one"),
    ],
)  # fmt: skip
def test_the_error_that_it_died_of(out: str, err: str, error: str, suffix: str, tmp_path: Path) -> None:
    (tmp_path / f"{STEM}.out").write_text(MARKS + out)
    (tmp_path / f"{STEM}.err").write_text(MARKS + err)
    log = read_files(tmp_path, 4763)
    assert log == WorkerLog(str(tmp_path / f"{STEM}{suffix}"), error)
    assert str(log) == f"the last error in its log is {error} ({log.path})"


def test_its_last_lines_where_there_is_no_error(tmp_path: Path) -> None:
    (tmp_path / f"{STEM}.out").write_text(MARKS + "one\n\ntwo\nthree\n")
    noise = f"{CORE}\r{CORE}Loading shards: 100% Completed | 1/1 [00:00]\n{CORE}\n"
    noise += "x.py:49: UserWarning: not writable\n  tensor = from_numpy(array)\n)\n\rforward:  50%|#####     | 1/2\n"
    (tmp_path / f"{STEM}.err").write_text(f"{MARKS}{CORE}four\n{noise}")
    log = read_files(tmp_path, 4763)
    assert str(log) == f"its log holds no error and ends with: two | three | four ({tmp_path / STEM}.*)"
    (tmp_path / f"{STEM}.out").write_text(MARKS)
    (tmp_path / f"{STEM}.err").unlink()
    assert str(read_files(tmp_path, 4763)) == f"its log holds no error ({tmp_path / STEM}.*)"


def test_the_newest_process_of_an_id_and_none_of_another(tmp_path: Path) -> None:
    for number, name in enumerate(("worker-b-01000000-4763.err", "worker-a-02000000-4763.err")):
        (tmp_path / name).write_text(lines("", *TRACEBACK, f"OSError: {number}"))
        os.utime(tmp_path / name, (number, number))
    log = read_files(tmp_path, 4763)
    assert log is not None and log.error == "OSError: 1"
    assert read_files(tmp_path, 763) is None
    assert str(WorkerLog("worker-*-4763.* on node n")) == "its log cannot be reached (worker-*-4763.* on node n)"


def test_a_long_log_is_read_from_its_end(tmp_path: Path) -> None:
    noise = lines("INFO 11-28 17:24:28 [model.py:684] ", "words") * 40_000
    (tmp_path / f"{STEM}.out").write_text(lines("", *TRACEBACK, "OSError: early") + noise + CORE_DIED)
    log = read_files(tmp_path, 4763)
    assert log is not None and log.error == "RuntimeError: index 8 is out of bounds"
