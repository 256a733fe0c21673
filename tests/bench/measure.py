"""One job, timed, with what it cost: processor and memory of the daemon, requests and bytes of the server."""
import dataclasses
import json
import os
import re
import signal
import subprocess
import tempfile
import threading
import time

TICKS = os.sysconf("SC_CLK_TCK")


class JobFailed(Exception):
    """What a table shows instead of a number."""


@dataclasses.dataclass
class Cell:
    """What one job on one tool cost. cpu_s and peak_bytes are the daemon's, for a floor those of the program itself.
    syncs: of the journal of write=back, as the tool counts them."""

    seconds: float
    first_s: float = -1
    bytes: int = 0
    items: int = 0
    cpu_s: float = 0
    peak_bytes: int = 0
    requests: int = 0
    by_kind: dict = dataclasses.field(default_factory=dict)
    fetched: int = 0
    sent: int = 0
    load: float = 0
    syncs: int = 0

    @property
    def fetched_per_item(self):
        return self.fetched / self.items if self.items else 0


def cpu_seconds(pid):
    with open("/proc/%d/stat" % pid, encoding="ascii") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def reset_peak(pid):
    """VmHWM counts from now on."""
    with open("/proc/%d/clear_refs" % pid, "w", encoding="ascii") as clear:
        clear.write("5")


def peak_bytes(pid):
    with open("/proc/%d/status" % pid, encoding="ascii") as status:
        return int(re.search(r"VmHWM:\s+(\d+) kB", status.read()).group(1)) * 1024


def drop_page_cache():
    """Clean pages of the whole machine, so that only disk, daemon and server remain. Needs root."""
    os.sync()
    try:
        with open("/proc/sys/vm/drop_caches", "w", encoding="ascii") as drop:
            drop.write("1")
    except OSError as problem:
        raise JobFailed("page cache not dropped: " + problem.strerror) from None


def run(command, timeout, environment=None):
    """Runs one program; what it says of itself in a line of JSON, else what is seen from outside. Killed after `timeout` seconds."""
    expired = threading.Event()
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as errors:
        started = time.monotonic()
        process = subprocess.Popen(command, stdout=out if os.path.isabs(command[0]) else subprocess.DEVNULL, stderr=errors,
                                   stdin=subprocess.DEVNULL, env={**(environment or os.environ), "LC_ALL": "C"}, start_new_session=True)

        def expire():
            expired.set()
            os.killpg(process.pid, signal.SIGKILL)

        watchdog = threading.Timer(timeout, expire)
        watchdog.start()
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.monotonic() - started
        watchdog.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
        if expired.is_set():
            raise JobFailed("over %d s" % timeout)
        out.seek(0)
        errors.seek(0)
        if process.returncode:
            raise JobFailed("failed: " + (errors.read().strip().splitlines() or ["status %d" % process.returncode])[-1][-100:])
        said = out.read()
    done = {"seconds": seconds, "first_s": -1, "bytes": 0, "items": 0, **(json.loads(said) if said else {})}
    return Cell(**done, cpu_s=usage.ru_utime + usage.ru_stime, peak_bytes=usage.ru_maxrss * 1024)


def measured(server, command, pid, timeout, environment=None, finish=None):
    """Runs the job and adds what it cost: of the daemon `pid` where there is one, and of the server. `finish` is called behind it,
    untimed: what is asked of the server until it returns is the job's cost too."""
    if pid:
        reset_peak(pid)
    load = os.getloadavg()[0]
    before = cpu_seconds(pid) if pid else 0
    server.reset_counts()
    cell = run(command, timeout, environment)
    if finish:
        finish()
    counts = server.settled()
    if pid:
        cell.cpu_s, cell.peak_bytes = cpu_seconds(pid) - before, peak_bytes(pid)
    cell.by_kind = {kind: n for kind, n in counts["by_kind"].items() if n}
    cell.requests, cell.fetched, cell.sent, cell.load = counts["total"], counts["bytes_out"], counts["bytes_in"], load
    return cell
