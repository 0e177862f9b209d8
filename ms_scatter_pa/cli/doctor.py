"""``python -m ms_scatter_pa doctor``: what is built, what is found, which path a call takes and why, and what to do.

Exit status: 0 calls take the intended path, 1 they work by a slower one, 2 they fail.
"""

import argparse
import json
import textwrap
from dataclasses import asdict, dataclass, field

from . import doctor_checks as checks
from .doctor_checks import Finding

SLOWER, FAILS = 1, 2


@dataclass
class Report:
    """Everything that doctor found.

    Attributes:
        findings: in the order in which they are printed.
        device_target: MindSpore's, or None where MindSpore does not start.
        pynative, graph: the path that a call takes there, or None where it fails.
        status: the exit status.
    """

    findings: list[Finding] = field(default_factory=list)
    device_target: str | None = None
    pynative: str | None = None
    graph: str | None = None
    status: int = 0

    def add(self, finding: Finding, weight: int = 0) -> Finding:
        """Takes a finding; one that is needed and not well raises the exit status to ``weight``."""
        self.findings.append(finding)
        if finding.needed and not finding.well:
            self.status = max(self.status, weight)
        return finding


def diagnose() -> Report:
    """Looks at this machine and this environment; loads MindSpore, and the libraries that a call would load."""
    report = Report()
    if not report.add(checks.mindspore(), FAILS).well:
        return report
    report.add(checks.numpy(), FAILS)
    report.device_target = checks.device_target()
    report.add(checks.processor())
    library = report.add(checks.cpu_library(), FAILS if report.device_target == "CPU" else 0)
    if report.device_target == "CPU":
        report.add(checks.cpu_operators(), FAILS)
        extension = report.add(checks.extension(), SLOWER)
        networks = report.add(checks.builtins(), FAILS)
        if library.well and (networks.well or not networks.needed):
            report.pynative = "pyboost extension" if extension.well else "pointers after a sync"
            report.graph = "ops.Custom with the CPU library" if report.add(checks.graph(), FAILS).well else None
    report.add(checks.npu(report.device_target), SLOWER)
    report.add(checks.cann())
    if report.device_target == "Ascend":
        _ascend(report)
    else:
        report.add(checks.package(needed=False))
    return report


def _ascend(report: Report) -> None:
    switch = report.add(checks.switch(), FAILS)
    found = [switch, report.add(checks.part(), FAILS)]
    if "cann" in switch.found:
        report.add(checks.package(needed=False))
        report.add(checks.ascend_operators(canns_write=True))
        if all(finding.well for finding in found):
            report.pynative = "an extension that calls CANN's operator (aclnnScatterPaKvCache)"
        return
    found += [report.add(checks.package(needed=True), FAILS), report.add(checks.infer_library(), FAILS)]
    report.add(checks.ascend_operators(canns_write=False), FAILS)
    report.add(checks.callback(), SLOWER)
    extension = report.add(checks.ascend_extension(), SLOWER)
    if all(finding.well for finding in found):
        report.graph = f"ops.Custom with the Ascend operator (aclnn{checks.OP_NAME})"
        report.pynative = "pyboost extension with the Ascend operator" if extension.well else report.graph


def _wrapped(line: str) -> list[str]:
    return textwrap.wrap(line, 120, subsequent_indent=" " * 6, break_long_words=False, break_on_hyphens=False)


def text(report: Report) -> str:
    """The report for people."""
    lines = []
    for finding in report.findings:
        line = f"{'ok  ' if finding.well else finding.mark}  {finding.name}: {finding.found}"
        operators = finding.name == "networks" and finding.well  # two long lists; elsewhere are paths to copy
        lines.extend(_wrapped(line) if operators else [line])
        if finding.advice:
            lines.append(f"      -> {finding.advice}")
    lines.append("")
    lines.append(f"device target: {report.device_target or 'unknown'}")
    for mode, path in (("PyNative", report.pynative), ("graph", report.graph)):
        lines.append(f"a call in {mode} mode: {path or 'fails; see above'}")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """The subcommand."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    options = parser.parse_args(arguments)
    report = diagnose()
    if options.json:
        print(json.dumps(asdict(report), indent=2))
    else:
        print(text(report))
    return report.status


if __name__ == "__main__":
    raise SystemExit(main())
