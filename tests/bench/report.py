"""Results: kept as JSON row by row, shown as tables of Markdown (results.md) and, by plots.py, as SVG."""
import dataclasses
import datetime
import json
import os
import platform
import statistics
import subprocess
import sys

import bounds
from measure import Cell

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
MIB = 1 << 20
ORDER = ["awsfs", "s3fs", "goofys", "geesefs", "mount-s3", "rclone"]


def median(cells):
    """The cell with the median time, whole, so that its numbers belong together; a text where most runs failed."""
    good = sorted((cell for cell in cells if isinstance(cell, Cell)), key=lambda cell: cell.seconds)
    if 2 * len(good) < len(cells):
        return {"failed": next(cell for cell in cells if not isinstance(cell, Cell))}
    middle = dataclasses.asdict(good[(len(good) - 1) // 2])
    return {**middle, "fetched_per_item": good[0].fetched_per_item, "all_seconds": [round(cell.seconds, 4) for cell in good]}


def machine():
    with open("/proc/cpuinfo", encoding="utf-8") as info:
        model = next((line.partition(":")[2].strip() for line in info if line.startswith("model name")), "?")
    return "%d processors (%s), Linux %s" % (os.cpu_count(), model, platform.release())


def commit():
    result = subprocess.run(["git", "-C", TOP, "describe", "--always", "--dirty"], capture_output=True, text=True, check=False)
    return result.stdout.strip() or "?"


class Results:
    """results.json of a directory. Rows that are not run again keep what they had."""

    def __init__(self, out, scale, versions, note):
        self.path = os.path.join(out, "results.json")
        self.about = {"date": datetime.date.today().isoformat(), "commit": commit(), "scale": scale.name, "machine": machine(),
                      "note": note}
        self.versions = versions
        self.rows = load(out)["rows"] if os.path.exists(self.path) else {}
        os.makedirs(out, exist_ok=True)

    def add(self, scenario, cells):
        for row in scenario.rows:
            if cells.get(row.name):
                tools = {name: median(runs) for name, runs in cells[row.name].items()}
                self.rows[row.name] = {**self.about, "link": scenario.link(), "versions": self.versions, "tools": tools}

    def write(self):
        with open(self.path, "w", encoding="utf-8") as out:
            json.dump({"rows": self.rows}, out, indent=1, sort_keys=True)
            out.write("\n")


def load(out):
    with open(os.path.join(out, "results.json"), encoding="utf-8") as results:
        return json.load(results)


def earlier():
    with open(os.path.join(HERE, "earlier.json"), encoding="utf-8") as data:
        return json.load(data)


def table(head, lines):
    return ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)] + ["| " + " | ".join(line) + " |" for line in lines] + [""]


def number(value):
    return "%.0f" % value if value >= 100 else "%.1f" % value if value >= 10 else "%.2f" % value if value >= 0.1 else "%.4f" % value


def time_cell(cell):
    if cell is None:
        return ""
    return cell["failed"] if "failed" in cell else "%s / %d" % (number(cell["seconds"]), cell["requests"])


def good(cells, name):
    return cells.get(name) if "failed" not in cells.get(name, {"failed": 1}) else None


def best_other(cells, metric="seconds"):
    """(tool, value) of the best tool beside awsfs; None where there is none."""
    values = [(good(cells, name)[metric], name) for name in ORDER[1:] if good(cells, name)]
    return min(values)[::-1] if values else None


def times(rows, results):
    tools = [name for name in ORDER if any(name in results[row.name]["tools"] for row in rows)]
    lines = []
    for row in rows:
        cells = results[row.name]["tools"]
        floors = ", ".join("%s (%s)" % (number(cells[f]["seconds"]), f) for f in row.floors if good(cells, f))
        lines.append([row.title, results[row.name]["link"]] + [time_cell(cells.get(name)) for name in tools] + [floors])
    return table(["work", "link"] + tools + ["floor"], lines)


def ratio(above, below):
    return "%.2f" % (above / below) if above is not None and below else ""


def ratio_line(row, cells, before):
    """awsfs to the floor and to the best other tool, the best other to the floor, now and in the earlier table."""
    ours, floor, other = good(cells, "awsfs"), row.floors and good(cells, row.floors[0]), best_other(cells)
    ours, floor = ours and ours["seconds"], floor and floor["seconds"]
    then = before.get(row.earlier)
    then_ratio = min(then["tools"].values()) / then["floor"] if then and then["floor"] else None
    return [row.title, ratio(ours, floor), ratio(other and other[1], floor),
            "%s (%s)" % (ratio(ours, other[1]), other[0]) if ours and other else "",
            "%.2f" % then_ratio if then_ratio else "", ratio(ours / floor, then_ratio) if ours and floor and then_ratio else ""]


def ratios(rows, results):
    before = earlier()["rows"]
    return table(["work", "awsfs / floor", "best other / floor", "awsfs / best other", "best other / floor, earlier",
                  "awsfs / floor to that"],
                 [ratio_line(row, results[row.name]["tools"], before) for row in rows])


def costs(rows, results):
    """Processor seconds, peak memory and bytes of each tool."""
    lines = []
    for row in rows:
        for name in ORDER:
            cell = good(results[row.name]["tools"], name)
            if cell:
                kinds = ", ".join("%d %s" % (n, kind) for kind, n in sorted(cell["by_kind"].items()))
                kinds += "; %d syncs of the journal" % cell["syncs"] if cell.get("syncs") else ""
                first = "%.0f" % (1000 * cell["first_s"]) if cell["first_s"] >= 0 else ""
                lines.append([row.title, name, "%.2f" % cell["cpu_s"], "%.0f" % (cell["peak_bytes"] / MIB), first,
                              "%.1f" % (cell["fetched"] / MIB), kinds])
    return table(["work", "tool", "daemon CPU s", "peak MiB", "first byte or entry, ms", "MiB fetched", "requests by kind"], lines)


def about(rows, results):
    """Under what circumstances the rows were measured: one line for each run."""
    runs = {}
    for row in rows:
        r = results[row.name]
        load = max((cell.get("load", 0) for cell in r["tools"].values()), default=0)
        key = (r["date"], r["commit"], r["scale"], r["machine"], r["note"], ", ".join(v for v in r["versions"].values()))
        runs.setdefault(key, []).append((row.name, load))
    return ["- %s, commit %s, %s sets, %s%s. Load up to %.0f. Rows: %s. %s." % (
        *key[:4], "; " + key[4] if key[4] else "", max(load for _, load in names), ", ".join(n for n, _ in names), key[5])
        for key, names in runs.items()] + [""]


def write_page(out, scenarios):
    """results.md of a directory, from its results.json."""
    results = load(out)["rows"]
    rows = [row for scenario in scenarios for row in scenario.rows if row.name in results]
    lines = ["# Results of tests/bench", "", "Written by tests/bench/run; docs/benchmarks.md says how to read it.", ""]
    lines += about(rows, results)
    lines += ["## Seconds / requests", ""] + times(rows, results)
    lines += ["## Ratios", "", "Earlier: " + earlier()["source"], ""] + ratios(rows, results)
    lines += ["## Bounds", ""] + table(["work", "bound", "limit", "is", "holds"], bounds.lines(rows, results))
    lines += ["## What it cost", ""] + costs(rows, results)
    with open(os.path.join(out, "results.md"), "w", encoding="utf-8") as page:
        page.write("\n".join(lines))


def draw(out):
    """The plots, by matplotlib in an environment of its own that is made on first use."""
    pins = os.path.join(HERE, "requirements.txt")
    setup = subprocess.run([os.path.join(TOP, "packaging", "setup"), "venv", pins], stdout=subprocess.PIPE, text=True, check=False)
    if setup.returncode:
        print("no plots: matplotlib could not be installed", file=sys.stderr)
        return
    subprocess.run([os.path.join(setup.stdout.strip(), "bin", "python"), os.path.join(HERE, "plots.py"), out], check=True)
