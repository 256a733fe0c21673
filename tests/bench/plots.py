#!/usr/bin/env python3
"""plots.py DIR: draws DIR/results.json: seconds of every tool (one SVG a group of rows). Run by the bench with its own matplotlib."""
import json
import os
import sys

import matplotlib
import matplotlib.pyplot

GROUPS = {
    "reading": ["cold", "again-dropped", "again", "remount", "slow", "one-reader", "many-readers"],
    "small-reads": ["random", "touch", "files-one", "files-many", "files-again", "files-remount"],
    "metadata": ["stat-root", "stat-deep", "ls-l", "ls-l-again", "find", "million", "million-again"],
    "writing": ["new-one", "new-many", "remove", "write-big"],
}
COLOURS = {"awsfs": "#d1495b", "s3fs": "#8d99ae", "goofys": "#edae49", "geesefs": "#66a182", "mount-s3": "#2e4057",
           "rclone": "#8f6593"}
FLOOR_COLOUR = "#dddddd"


def draw(rows, results, path):
    names = [name for name in COLOURS if any(name in results[row]["tools"] for row in rows)]
    figure, axes = matplotlib.pyplot.subplots(figsize=(9, 1.2 + 0.95 * len(rows)))
    height = 0.84 / (len(names) + 1)
    for at, row in enumerate(rows):
        cells = {name: cell for name, cell in results[row]["tools"].items() if "failed" not in cell}
        floors = [cell["seconds"] for name, cell in cells.items() if name not in COLOURS]
        bars = [(name, cells[name]["seconds"], COLOURS[name]) for name in names if name in cells]
        bars += [("floor", min(floors), FLOOR_COLOUR)] if floors else []
        for number, (_, seconds, colour) in enumerate(bars):
            y = at + number * height
            axes.barh(y, seconds, height * 0.92, color=colour)
            axes.text(seconds * 1.04, y, "%.3g" % seconds, va="center", fontsize=6.5)
    axes.set_yticks([at + 0.38 for at in range(len(rows))], rows)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.margins(x=0.12)
    axes.set_xlabel("seconds, logarithmic; less is better")
    handles = [matplotlib.patches.Patch(color=COLOURS[name], label=name) for name in names]
    handles.append(matplotlib.patches.Patch(color=FLOOR_COLOUR, label="best floor"))
    axes.legend(handles=handles, fontsize=7, ncols=len(handles), loc="lower center", bbox_to_anchor=(0.5, 1), frameon=False)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    matplotlib.pyplot.close(figure)


def main():
    # Text stays text, and the same results give the same file.
    matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "awsfs"})
    out = sys.argv[1]
    with open(os.path.join(out, "results.json"), encoding="utf-8") as data:
        results = json.load(data)["rows"]
    for group, rows in GROUPS.items():
        rows = [row for row in rows if row in results]
        if rows:
            draw(rows, results, os.path.join(out, group + ".svg"))


if __name__ == "__main__":
    main()
