"""The benchmark still works: a run with the smallest sets, of which no time is looked at; and how its bounds are judged."""
import json
import os
import subprocess
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "mount")]

import bounds  # noqa: E402
import data  # noqa: E402
import report  # noqa: E402
import workloads  # noqa: E402
from measure import Cell  # noqa: E402
from rows import Bound, Row  # noqa: E402

ROWS = "big,random,files-one,flat,new-files,new-files-back,held,mount"


@pytest.mark.skipif(os.geteuid() != 0 or not os.path.exists("/dev/fuse"), reason="needs root and /dev/fuse")
def test_a_run_with_tiny_sets_fills_every_cell(tmp_path):
    command = [os.path.join(HERE, "run"), "--tiny", "--tools", "awsfs", "--rows", ROWS, "--no-plots", "--out", str(tmp_path),
               "--timeout", "60"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=150, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    rows = json.loads((tmp_path / "results.json").read_text())["rows"]
    wanted = {row.name for scenario in workloads.scenarios(data.TINY) if scenario.name in ROWS.split(",") for row in scenario.rows}
    assert set(rows) == wanted
    for name, row in rows.items():
        for tool, cell in row["tools"].items():
            assert "failed" not in cell, "%s, %s: %s" % (name, tool, cell)
    cold = rows["cold"]["tools"]
    assert cold["awsfs"]["bytes"] == cold["curl 8"]["bytes"] == data.TINY.big
    assert cold["awsfs"]["fetched"] >= data.TINY.big and cold["awsfs"]["peak_bytes"] > 0
    assert cold["curl 8"]["by_kind"] == {"GetObject": 8}
    assert cold["null"]["bytes"] == cold["null + curl 8"]["bytes"] == data.TINY.big
    assert rows["new-one"]["tools"]["awsfs"]["by_kind"]["PutObject"] >= data.TINY.new_few
    back = rows["new-one-back"]["tools"]["awsfs"]
    # The directory may have an object of its own, if its first file came late.
    assert data.TINY.new_few <= back["by_kind"]["PutObject"] <= data.TINY.new_few + 1 and data.TINY.new_few <= back["syncs"]
    assert "| read 1 GiB, nothing cached |" in (tmp_path / "results.md").read_text()


def test_rows_have_names_of_their_own_and_repeat_lines_that_are_there():
    rows = [row for scenario in workloads.scenarios(data.FULL) for row in scenario.rows]
    assert len({row.name for row in rows}) == len(rows)
    known = report.earlier()["rows"]
    assert {row.earlier for row in rows if row.earlier} == set(known)


@pytest.mark.parametrize("bound, limit, verdict", [
    (Bound("seconds", 2.0), "2.000 s", "yes"),
    (Bound("seconds", 1.0), "1.000 s", "**no**, 2.0 times the limit"),
    (Bound("seconds", 4.0, floor="curl 8"), "2.000 s", "yes"),
    (Bound("seconds", 0.5, others=True), "1.500 s", "**no**, 1.3 times the limit"),
    (Bound("seconds", 1.25, row="before"), "2.500 s", "yes"),
    (Bound("seconds", 1.0, floor="curl 8", least=(0.5, "curl 1")), "2.000 s", "yes"),
    (Bound("seconds", 1.0, floor="curl 9"), "not measured", "?"),
    (Bound("requests", 0), "0", "**no**"),
    (Bound("fetched_per_item", 131072), "128 KiB", "yes"),
])
def test_a_bound_is_judged_by_what_it_refers_to(bound, limit, verdict):
    def cell(seconds):
        return report.median([Cell(seconds, requests=7, items=2, fetched=1000)])

    results = {"row": {"tools": {"awsfs": cell(2.0), "curl 8": cell(0.5), "curl 1": cell(4.0), "s3fs": cell(3.0),
                                 "rclone": {"failed": "over 1 s"}}},
               "before": {"tools": {"awsfs": cell(2.0)}}}
    line = bounds.judge(Row("row", "work", None), bound, results)
    assert (line[2], line[4]) == (limit, verdict)


def test_a_cell_is_the_median_and_a_failure_where_most_runs_failed():
    assert report.median([Cell(3.0), Cell(1.0), Cell(2.0)])["seconds"] == 2.0
    assert report.median([Cell(1.0), "over 5 s"])["seconds"] == 1.0
    assert report.median([Cell(1.0), "over 5 s", "over 5 s"]) == {"failed": "over 5 s"}
