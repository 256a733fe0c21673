"""The bounds of the rows, judged: what was promised, what it is."""
MIB = 1 << 20
NAMES = {"seconds": "time", "cpu_s": "daemon CPU", "peak_bytes": "peak memory", "requests": "requests",
         "fetched_per_item": "bytes fetched for each"}
OTHERS = ("s3fs", "goofys", "geesefs", "mount-s3", "rclone")


def shown(metric, value):
    if metric in ("seconds", "cpu_s"):
        return "%.3f s" % value
    if metric == "peak_bytes":
        return "%.0f MiB" % (value / MIB)
    return "%.0f KiB" % (value / 1024) if metric == "fetched_per_item" else "%d" % value


def value_of(cells, name, metric):
    cell = cells.get(name)
    return cell[metric] if cell and "failed" not in cell else None


def limit_of(bound, cells, results):
    """(text, number): the number is None where what it refers to was not measured."""
    if bound.floor:
        base = value_of(cells, bound.floor, bound.metric)
        limit, text = base and base * bound.limit, "%.2f of %s" % (bound.limit, bound.floor)
        if bound.least:
            other = value_of(cells, bound.least[1], bound.metric)
            limit = max(limit, other * bound.least[0]) if limit and other else None
            text += ", or %.3f of %s" % bound.least
        return text, limit
    if bound.others:
        values = [value for value in (value_of(cells, name, bound.metric) for name in OTHERS) if value]
        return "%.2f of the best other tool" % bound.limit, min(values) * bound.limit if values else None
    if bound.row:
        base = value_of(results.get(bound.row, {"tools": {}})["tools"], "awsfs", bound.metric)
        return "%.2f of the row %s" % (bound.limit, bound.row), base and base * bound.limit
    return "", bound.limit


def judge(row, bound, results):
    """One line of the table: work, bound, limit, value, verdict."""
    cells = results[row.name]["tools"]
    text, limit = limit_of(bound, cells, results)
    value = value_of(cells, "awsfs", bound.metric)
    what = NAMES[bound.metric] + (": " + text if text else "")
    if limit is None or value is None:
        return [row.title, what, "not measured" if limit is None else shown(bound.metric, limit),
                "not measured" if value is None else shown(bound.metric, value), "?"]
    over = "" if value <= limit else ", %.1f times the limit" % (value / limit) if limit else ""
    return [row.title, what, shown(bound.metric, limit), shown(bound.metric, value), ("yes" if value <= limit else "**no**") + over]


def lines(rows, results):
    return [judge(row, bound, results) for row in rows for bound in row.bounds if results[row.name]["scale"] == "full"]
