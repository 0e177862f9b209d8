"""``python -m op_info``: writes every file that follows from the table; ``--check`` only tells which are not current."""

import argparse
import subprocess
import sys
from pathlib import Path

from . import cpp_headers, documents, op_host, python_module, test_header
from .load import Table, load

ROOT = Path(__file__).resolve().parent.parent


def outputs(table: Table) -> dict[str, str]:
    """Path from the repository's root -> what the file must be."""
    texts = {
        python_module.PATH: python_module.render(table),
        cpp_headers.SHARED: cpp_headers.render_shared(table),
        cpp_headers.CPU: cpp_headers.render_cpu(table),
        cpp_headers.MINDSPORE: cpp_headers.render_mindspore(table),
        op_host.PATH: op_host.render(table),
        op_host.PAGED_PATH: op_host.render_paged(table),
        test_header.PATH: test_header.render(table),
        test_header.NAMES_PATH: test_header.render_names(table),
    }
    texts = {path: _formatted(path, text) for path, text in texts.items()}
    for operator in table.operators:
        for target in table.targets:
            if target.device == "Ascend":
                texts[documents.msopgen_path(operator, target)] = documents.msopgen_json(table, operator, target)
    for path, block in documents.DOCUMENTS.items():
        texts[path] = documents.replace_block((ROOT / path).read_text(encoding="utf-8"), block, table)
    return texts


def _formatted(path: str, text: str) -> str:
    tools = Path(sys.executable).parent
    if path.endswith(".py"):
        command = [str(tools / "ruff"), "format", "--quiet", "--stdin-filename", path, "-"]
    else:
        command = [str(tools / "clang-format"), f"--assume-filename={path}"]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=True, cwd=ROOT).stdout


def main(arguments: list[str] | None = None) -> int:
    """Returns 1 when ``--check`` finds a file that is not current."""
    parser = argparse.ArgumentParser(prog="python -m op_info", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; name the files that are not current")
    check = parser.parse_args(arguments).check
    status = 0
    texts = outputs(load())
    for path, text in texts.items():
        file = ROOT / path
        if file.is_file() and file.read_text(encoding="utf-8") == text:
            continue
        if check:
            print(f"{path} is not what op_info says: run python -m op_info", file=sys.stderr)
            status = 1
        else:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
            print(f"wrote {path}")
    for stale in sorted({*(ROOT / "op_info" / "msopgen").glob("*.json")} - {ROOT / path for path in texts}):
        if check:
            print(
                f"{stale.relative_to(ROOT)} is of no operator that op_info has: run python -m op_info", file=sys.stderr
            )
            status = 1
        else:
            stale.unlink()
            print(f"removed {stale.relative_to(ROOT)}")
    return status


if __name__ == "__main__":
    raise SystemExit(main())
