"""Every example runs, quickly, and asserts what it shows; here its words are looked at too."""

import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.support.children import HANGS_AFTER

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"

# File, arguments, and what it must print.
CASES = {
    "chunked_prefill": (["--count", "12"], "the North Wind and the Sun. ", "and agreed that"),
    "float8_cache": ([], "one scale per head", "no scales"),
    "interleaved_pool": ([], "block by block in one pool", "both modes wrote one sequence of 7 tokens"),
    "kv_compression": ([], "Alibi  the local ones", "Omni   the others"),
    "network_for_npus": ([], "PyNative: prefill of [5, 2] tokens", "graph: prefill of [5, 2] tokens and 4 steps"),
    "paged_attention": ([], "graph", "differs from plain attention"),
    "prefix_gather": ([], "differs from attention without a cache", "a second prompt reuses 3 blocks"),
    "prefix_sharing": (["--count", "12"], "Neither I nor you:", "Neither you nor I:"),
    "quantised_cache": ([], "int8", "float8_e4m3fn", "float8_e5m2"),
    "text_generation": (["--count", "14", "--layout", "PA_NZ"], "Twinkle, twinkle, little star,", "sat on a wall"),
}
ELSEWHERE = {
    "mindformers_generation": "needs mindformers, which the package index has without its dependencies; tools/try_network.py",
    "graph_mode": "tests/modes/test_torch_npu_examples.py",
    "single_operator": "tests/modes/test_torch_npu_examples.py",
    "tensor_parallel": "test_tensor_parallel.py",
    "train_byte_model": "needs torch, which the tests do without; test_byte_model.py looks at what it made",
}

# One process for all: MindSpore takes seconds to start, and examples leave settings changed.
RUN_ALL = """
import contextlib, io, json, os, runpy, sys, traceback
results = {}
for name, path, arguments in json.loads(sys.argv[1]):
    sys.argv = [path, *arguments]
    sys.path.insert(0, os.path.dirname(path))  # as for a script
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said):
            runpy.run_path(path, run_name="__main__")
        results[name] = [True, said.getvalue()]
    except BaseException:
        results[name] = [False, traceback.format_exc()]
print("RESULTS " + json.dumps(results))
"""


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> dict[str, list]:
    folder = tmp_path_factory.mktemp("examples")
    jobs = []
    for name, (arguments, *_) in CASES.items():
        jobs.append([name, str(EXAMPLES / f"{name}.py"), arguments])
    command = [sys.executable, "-c", RUN_ALL, json.dumps(jobs)]
    environment = {**os.environ, "GLOG_v": "4"}
    result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=HANGS_AFTER)
    line = next((line for line in result.stdout.splitlines() if line.startswith("RESULTS ")), None)
    assert line is not None, result.stdout[-2000:] + result.stderr[-2000:]
    return json.loads(line.removeprefix("RESULTS "))


@pytest.mark.parametrize("name", CASES)
def test_example(name, results):
    passed, said = results[name]
    if name == "network_for_npus" and version("mindspore").startswith("2.7.1"):
        pytest.skip("FlashAttentionScore of MindSpore 2.7.1 takes no mask of floats")
    assert passed, said
    for words in CASES[name][1:]:
        assert words.lower() in said.lower()


def test_no_example_is_left_out():
    assert {path.stem for path in EXAMPLES.glob("*.py")} == {*CASES, *ELSEWHERE}
