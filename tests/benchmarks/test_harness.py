"""How times are taken, compared, shown and kept."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import cli, core_bench, harness, plot
from benchmarks.cases import Memory, Workload
from benchmarks.harness import Case, Contender


class Clock:
    """Time that passes by sleeping only, so that a busy machine changes nothing."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


clock = Clock()


@pytest.fixture
def slept_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(harness, "time", clock)


def sleeper(name: str, milliseconds: float, calls: int = 1) -> Contender:
    return Contender(name, [lambda: clock.sleep(milliseconds / 1e3)], calls)


def result(seconds: dict[str, list[float]], **options: object) -> harness.Result:
    contenders = [Contender(name, []) for name in seconds]
    return harness.Result(Case("case", "group", 1, contenders, **options), seconds)  # type: ignore[arg-type]


def test_medians_are_compared_with_the_best_limit() -> None:
    measured = result({"limit, a": [3.0, 2.0, 9.0], "limit, b": [4.0, 4.0, 4.0], "way": [6.0, 1.0, 6.0]})
    assert measured.limit == 3.0 and measured.ratio("way") == 2.0
    assert result({"way": [1.0]}).ratio("way") is None


def test_a_missed_goal_is_marked() -> None:
    table = harness.table([result({"limit": [1.0], "way": [2.0], "other": [1.5]}, goal={"way": 1.9, "other": 1.9})])
    assert "(2.00x)!" in table and "(1.50x)!" not in table


@pytest.mark.usefixtures("slept_time")
def test_times_are_per_call_and_the_finish_is_part_of_them() -> None:
    waits = Contender("waits", [lambda: None], finish=lambda: clock.sleep(0.004))
    case = Case("case", "group", 1, [sleeper("four", 8, calls=4), waits], calls_per_sample=2)
    measured = harness.measure(case, seconds=0.01)
    assert len(measured.samples["four"]) >= 7
    assert measured.median("four") == pytest.approx(0.002, rel=1e-9)
    assert measured.median("waits") == pytest.approx(0.002, rel=1e-9)


@pytest.mark.usefixtures("slept_time")
def test_a_pause_is_not_part_of_the_time() -> None:
    measured = harness.measure(Case("case", "group", 1, [sleeper("way", 1)], pause=0.02), seconds=0.01)
    assert measured.median("way") == pytest.approx(0.001)


def test_every_sample_takes_other_regions() -> None:
    taken: list[int] = []
    variants = [lambda i=i: taken.append(i) for i in range(5)]
    harness.measure(Case("case", "group", 1, [Contender("way", variants)], calls_per_sample=2), seconds=0.0)
    assert taken == [i % 5 for i in range(len(taken))] and len(taken) >= 14


@pytest.mark.usefixtures("slept_time")
def test_every_contender_settles_before_its_sample_and_that_is_not_timed() -> None:
    log: list[str] = []

    def contender(name: str) -> Contender:
        return Contender(name, [lambda: log.append(name)], finish=lambda: log.append(f"{name} waits"))

    case = Case("case", "group", 1, [contender("a"), contender("b")], settling_calls=3)
    measured = harness.measure(case, seconds=0.0)
    own = {name: [name] * 3 + [f"{name} waits", name, f"{name} waits"] for name in ("a", "b")}
    assert len(log) % 6 == 0
    for begin in range(0, len(log), 6):
        assert log[begin : begin + 6] == own[log[begin]]
    slow = harness.measure(Case("case", "group", 1, [sleeper("way", 4)], settling_calls=10**6), seconds=0.0)
    assert measured.median("a") == 0.0 and slow.median("way") == pytest.approx(0.004, rel=1e-9)


@pytest.mark.usefixtures("slept_time")
def test_cases_beyond_the_total_time_are_named_as_not_measured() -> None:
    make = [lambda: Case("slow", "group", 1, [sleeper("way", 5)])] * 3
    said = io.StringIO()
    assert len(harness.run(make, seconds_per_case=0.01, total_seconds=0.02, out=said)) < 3
    assert "of 3 cases were not measured" in said.getvalue()


def test_the_pictures_show_every_way(tmp_path: Path) -> None:
    results = []
    for group in plot.PER_LAYOUT:
        for layout in ("Norm", "PA_NZ"):
            for x in (1, 2):
                measured = result({"limit": [1e-6], "core": [2e-6], "PyNative": [3e-6]})
                results.append({**measured.as_json(), "group": group.format(layout), "x": x})
    source = tmp_path / "results.json"
    source.write_text(json.dumps({"about": {"kernels": "avx2", "threads": 2}, "results": results}))
    plot.draw(source, tmp_path / "results.svg")
    plot.draw_growth(source, tmp_path / "growth.svg")
    for name in ("results.svg", "growth.svg"):
        assert "<svg" in (tmp_path / name).read_text()


CHOICES = st.lists(st.sampled_from(core_bench.workloads()), max_size=6, unique=True)
CONTENDERS = st.sets(st.sampled_from(("core", "core, helper's cache", "PyNative", "NumPy")))


@settings(max_examples=12, deadline=None)
@given(workloads=CHOICES, contenders=CONTENDERS, times=st.sampled_from((0.0, 1e-6, 1.0)))
def test_any_choice_of_cases_is_drawn_or_left_out(
    tmp_path_factory: pytest.TempPathFactory, workloads: list[Workload], contenders: set[str], times: float
) -> None:
    folder = tmp_path_factory.mktemp("pictures")
    results = []
    for workload in workloads:
        measured = result({"limit, memcpy": [1e-6], **{name: [times] for name in sorted(contenders)}})
        results.append({**measured.as_json(), "name": workload.name, "group": workload.group, "x": workload.x})
    source = folder / "results.json"
    source.write_text(json.dumps({"about": {"kernels": "avx2", "threads": 2}, "results": results}))
    for draw in (plot.draw, plot.draw_growth):
        target = folder / f"{draw.__name__}.svg"
        assert draw(source, target) == target.is_file()


def test_the_table_and_the_numbers_are_kept_whatever_the_picture_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "Memory", lambda library: Memory(library, 8 << 20))
    name = "Norm random T=16 BS=16 8x128"
    narrow = ["--only", name, "--no-mindspore", "--no-peers", "--seconds", "0.01", "--out", str(tmp_path / "out")]
    assert cli.main(narrow) == 0
    assert (tmp_path / "out" / "results.svg").is_file()

    def fail(*_: Any) -> bool:
        raise RuntimeError("no font")

    monkeypatch.setattr(plot, "draw", fail)
    assert cli.main(narrow) == 0
    printed = capsys.readouterr()
    assert printed.out.count(name) > 1 and "no font" in printed.err
    assert len(json.loads((tmp_path / "out" / "results.json").read_text())["results"]) >= 1


def test_a_choice_of_no_case_is_said_before_anything_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        cli.main(["--only", "no such case"])
    assert "--only: no case's name contains 'no such case'" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["--only", "dispatch", "--no-mindspore"],
        ["--only", "gather", "--quick", "--no-mindspore"],
        ["--only", "gather", "--threads", "1"],
        ["--networks", "--only", "nonsense"],
    ],
)
def test_options_that_leave_no_case_keep_the_last_results(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    (tmp_path / "results.json").write_text("kept")
    with pytest.raises(SystemExit, match="2"):
        cli.main([*arguments, "--out", str(tmp_path)])
    assert "--only: no case's name contains" in capsys.readouterr().err
    assert [path.read_text() for path in tmp_path.iterdir()] == ["kept"]


@pytest.mark.parametrize(
    "option",
    [
        ["--seconds", "0"],
        ["--seconds", "nan"],
        ["--seconds", "a while"],
        ["--total-seconds", "-1"],
        ["--threads", "-3"],
        ["--threads", "two"],
    ],
)
def test_numbers_that_mean_nothing_are_refused(capsys: pytest.CaptureFixture[str], option: list[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        cli.main(option)
    assert f"argument {option[0]}: given '{option[1]}', expected a number " in capsys.readouterr().err


def test_results_that_have_no_place_are_refused_before_anything_is_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit, match="2"):
        cli.main(["--out", str(tmp_path / "file")])
    assert "file is no folder and cannot be made one: File exists" in capsys.readouterr().err
