"""Device style: what the device compiler demands and g++ does not check, kept by convention and by this lint."""

import re
from pathlib import Path

import pytest

KERNELS = Path(__file__).resolve().parents[2] / "aicore_kernels"
KERNEL = KERNELS / "op_kernel"
HOST = KERNELS / "op_host"
SHARED = (
    "ms_scatter_pa_op_info.h",
    "ms_scatter_pa_tiling_data.h",
    "ms_scatter_pa_shares.h",
    "ms_scatter_pa_float.h",
)  # for host and kernel: MSSP_FN instead of __aicore__

FORBIDDEN = {
    "the standard library": r"\bstd::|#include\s*<(?!stdint\.h>)",
    "virtual functions": r"\bvirtual\b|\boverride\b",
    "exceptions": r"\b(throw|try|catch)\b",
    "double": r"\bdouble\b",
    "dynamic memory": r"\bnew\b|\bdelete\b|\bmalloc\b|\bfree\(",
    "run-time type information": r"\bdynamic_cast\b|\btypeid\b",
    "printing": r"\bprintf\b|\bcout\b",
    "assertions": r"\bassert\s*\(",
    "lambdas": r"\[[&=]?\]\s*\(",
    "static variables": r"^\s*static\s+(?!constexpr)(?!.*\()",
    "thread-local variables": r"\bthread_local\b",
    "goto": r"\bgoto\b",
    "a dtype of compilation, while one binary serves all dtypes": r"\b(ORIG_)?DTYPE_\w+",
}
# What a function may look like: `[template] __aicore__ inline [static] type Name(...)`.
DEFINITION = re.compile(
    r"^[ \t]*((?:[\w:<>*&,]+[ \t]+)+)([A-Z]\w*|operator\W+)\(([^;{}]*?)\)\s*(?:const\s*)?\{", re.MULTILINE
)


def _code(text: str) -> str:
    """The source without comments and string literals, line breaks kept."""
    text = re.sub(r'"(?:\\.|[^"\\\n])*"', '""', text)
    text = re.sub(r"/\*.*?\*/", lambda m: "\n" * m.group().count("\n"), text, flags=re.DOTALL)
    return re.sub(r"//[^\n]*", "", text)


def lint(name: str, text: str) -> list[str]:
    """What is wrong with one file of the kernel."""
    code = _code(text)
    wrong = []
    for what, pattern in FORBIDDEN.items():
        for match in re.finditer(pattern, code, re.MULTILINE):
            wrong.append(f"{name}:{code[: match.start()].count(chr(10)) + 1}: {what}: {match.group().strip()}")
    for match in DEFINITION.finditer(code):
        line = code[: match.start()].count("\n") + 1
        qualifiers, function = match.group(1).split(), match.group(2)
        wanted = ["MSSP_FN"] if name in SHARED else ["__aicore__"]
        if qualifiers[0] in ("return", "else", "new"):
            continue
        if not set(wanted) <= set(qualifiers):
            wrong.append(f"{name}:{line}: {function} lacks {wanted[0]}")
        if name not in SHARED and "inline" not in qualifiers and "__global__" not in qualifiers:
            wrong.append(f"{name}:{line}: {function} lacks inline")
        if _calls_itself(code, match.end(), function):
            wrong.append(f"{name}:{line}: {function} calls itself")
    for match in re.finditer(r"(\w+)\s*\*\s*\)\s*\w+", code):
        before = code[max(0, match.start() - 12) : match.start()]
        if match.group(1) in ("uint8_t", "int32_t", "int64_t") and "__gm__" not in before:
            wrong.append(f"{name}: a pointer cast without __gm__: {match.group()}")
    return wrong


def _body(code: str, start: int) -> str:
    depth, end = 1, start
    while depth and end < len(code):
        depth += {"{": 1, "}": -1}.get(code[end], 0)
        end += 1
    return code[start:end]


def _calls_itself(code: str, start: int, function: str) -> bool:
    """A call of the same name in the body, but for a member of another object (`window_.Get`, `slots_->Cover`)."""
    return re.search(rf"(?<![\w.>:]){function}(?:<[\w:, ]*>)?\(", _body(code, start)) is not None


FILES = sorted(KERNEL.iterdir())


@pytest.mark.parametrize("path", FILES, ids=[path.name for path in FILES])
def test_the_kernel_keeps_to_the_device_style(path: Path) -> None:
    assert lint(path.name, path.read_text()) == []


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("#include <vector>", "standard library"),
        ("  std::min(a, b);", "standard library"),
        ("  virtual void F();", "virtual"),
        ("  throw 1;", "exceptions"),
        ("  double x = 0;", "double"),
        ("  int* p = new int;", "dynamic memory"),
        ("  static int counter;", "static variables"),
        ("  auto f = [](int x) { return x; };", "lambdas"),
        ("inline void Missing(int a) {\n}", "lacks __aicore__"),
        ("__aicore__ void Missing(int a) {\n}", "lacks inline"),
        ("__aicore__ inline int Recursive(int a) {\n  return Recursive(a - 1);\n}", "calls itself"),
        ("  x = (uint8_t*)address;", "without __gm__"),
        ("  Copy<DTYPE_KEY>();", "one binary"),
    ],
)
def test_the_lint_sees_each_offence(line: str, complaint: str) -> None:
    assert any(complaint in found for found in lint("file.h", line + "\n"))


def test_the_lint_leaves_good_code_alone() -> None:
    body = "  // std::vector and double are only words here\n  x = (__gm__ uint8_t*)a;\n"
    good = "__aicore__ inline void Good(GM_ADDR a) {\n" + body + "}\n"
    assert lint("file.h", good) == []


@pytest.mark.parametrize("folder", [KERNEL, HOST], ids=["op_kernel", "op_host"])
def test_folders_are_flat(folder: Path) -> None:
    """MindSpore's custom compiler copies top-level .cpp and .h files and nothing else."""
    assert [path.name for path in folder.iterdir() if path.is_dir() or path.suffix not in (".cpp", ".h")] == []


@pytest.mark.parametrize("path", [*FILES, *sorted(HOST.iterdir())], ids=lambda path: path.name)
def test_includes_name_files_that_are_copied(path: Path) -> None:
    known = {p.name for p in (*KERNEL.iterdir(), *HOST.iterdir())}
    for include in re.findall(r'#include "([^"]+)"', path.read_text()):
        if "ms_scatter_pa" in include:
            assert Path(include).name in known
            in_place = (path.parent / include).exists()
            assert in_place, f"{path.name} includes {include}, which is not where it says"


@pytest.mark.parametrize("path", FILES, ids=[path.name for path in FILES])
def test_files_are_short(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 300
