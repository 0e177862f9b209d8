"""The host model and the kernel under AddressSanitizer and UndefinedBehaviorSanitizer, on calls of every kind."""

import os
import subprocess
import sys
from pathlib import Path

import ms_scatter_pa
from tests.ascendc.host_model.runner import build

SCRIPT = """
import sys
from pathlib import Path
sys.path[:0] = sys.argv[2:]
import numpy as np
from ms_scatter_pa.rules.table import CACHE_MODES, COMPRESSED_MODES
from tests.ascendc import ascendc_cases as cases
from tests.ascendc.test_compressed import make_call
from tests.ascendc.planted_faults import tokens
from tests.ascendc.host_model.runner import HostModel
host_model = HostModel(Path(sys.argv[1]))
calls = [tokens(layout, runs) for layout in CACHE_MODES for runs in (True, False)]
rng = np.random.default_rng(0)
for mode in COMPRESSED_MODES:
    for packed in (False, True):
        for dtype in ("float16", "float32", "int8", "hifloat8"):
            calls.append(make_call(rng, mode, packed, dtype, 2, 30, 2, (33, 64), 16, "int64"))
for call in calls:
    want, got = cases.expect(call), cases.copy_of(call)
    assert host_model.run(got, cores=3).status == want.status
    for fault in ("", "two cores write one address"):
        try:
            host_model.plant("addresses", fault)
        except Exception as error:
            assert fault
print("clean")
"""


def _runtime(name: str) -> str:
    done = subprocess.run(["g++", f"-print-file-name={name}"], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_no_undefined_behaviour_and_no_bad_address(tmp_path: Path) -> None:
    library = build(tmp_path, "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
    environment = os.environ | {
        # The interpreter is linked with neither; without libstdc++ AddressSanitizer cannot follow exceptions.
        "LD_PRELOAD": f"{_runtime('libasan.so')} {_runtime('libstdc++.so.6')}",
        "ASAN_OPTIONS": "detect_leaks=0",  # the interpreter leaks by design
        "UBSAN_OPTIONS": "print_stacktrace=1",
    }
    package = str(Path(ms_scatter_pa.__file__).parent.parent)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(library), str(Path(__file__).parent), package],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    assert "clean" in done.stdout
