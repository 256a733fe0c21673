"""Runs scenarios: every tool and floor in turns, so that a drift of the machine meets all of them alike."""
import concurrent.futures
import os
import shutil
import subprocess
import threading
import time

import measure
from jobs import Mount, Sequential
from measure import Cell, JobFailed
from support.mounts import mounted

FLOOR_SECONDS = 10


WHOLE_READS = 20


def is_variant(floor):
    """awsfs with an option. It has its turn right before awsfs itself: a machine drifts by more than what such a pair differs by."""
    return floor.startswith("awsfs ")


class Turns:
    """`cells` is filled: {row name: {tool or floor: [Cell or the text of a failure, one a repetition]}}."""

    def __init__(self, server, data, programs, tools, timeout, say):
        self.server, self.data, self.programs = server, data, programs
        self.tools, self.timeout, self.say = tools, timeout, say
        self.cells = {}

    def run(self, scenario, repetitions):
        bucket = self.data.fill(scenario.data)
        for row in scenario.rows:
            self.cells[row.name] = {}
        for repetition in range(repetitions):
            order = self._order(scenario, repetition)
            for tool in order:
                if tool.name == "awsfs":
                    self._floors(scenario, bucket, is_variant)
                self._tool(scenario, bucket, tool)
            self._floors(scenario, bucket, lambda floor: not is_variant(floor))
        self.server.link(0)

    def _floors(self, scenario, bucket, wanted):
        for row in scenario.rows:
            for floor in filter(wanted, row.floors):
                self._keep(row, floor, lambda row=row, floor=floor: self._floor(scenario, bucket, row, floor))

    def _order(self, scenario, repetition):
        if not scenario.option:
            return self.tools[repetition % len(self.tools):] + self.tools[:repetition % len(self.tools)]
        return [tool.variant(scenario.option) for tool in self.tools if tool.name == "awsfs"]

    def _keep(self, row, name, work):
        """Does the work, and keeps its cell or the text of its failure."""
        try:
            cell = work()
            self.say("  %-12s %-12s %8.3f s, %d requests" % (row.name, name, cell.seconds, cell.requests))
        except JobFailed as problem:
            cell = str(problem)
            self.say("  %-12s %-12s %s" % (row.name, name, cell))
        self.cells[row.name].setdefault(name, []).append(cell)
        return isinstance(cell, Cell)

    def _tool(self, scenario, bucket, tool):
        """All rows on one mount. After a failure the rest is left out: what they would measure is not what they say."""
        self.server.link(0)
        try:
            tool.mount(bucket)
            self._warm(scenario, tool)
            for row in scenario.rows:
                if not self._keep(row, tool.name, lambda row=row: self._on_mount(scenario, bucket, row, tool)):
                    break
        except JobFailed as problem:
            self.cells[scenario.rows[0].name].setdefault(tool.name, []).append(str(problem))
            self.say("  %s %s: %s" % (scenario.name, tool.name, problem))
        except OSError as problem:
            self.cells[scenario.rows[0].name].setdefault(tool.name, []).append("failed: " + problem.strerror)
            self.say("  %s %s: %s" % (scenario.name, tool.name, problem))
        finally:
            self.server.link(0)
            tool.close()
            if scenario.data == "write":
                self.server.empty_bucket(bucket)

    def _warm(self, scenario, tool):
        """Opens connections, and leaves nothing known of what the rows are about. Requests wait as they will in the rows: else
        one connection could serve all of them, one after another."""
        def touch(name):
            try:
                with open(os.path.join(tool.mountpoint, name), "rb") as f:
                    f.read()
            except OSError:
                return

        if scenario.data == "write":
            # What a server can do is found out at the first write; it is not what the rows are about.
            with open(os.path.join(tool.mountpoint, "first"), "wb") as f:
                f.write(b"x")
            if scenario.option:
                tool.finish()
        self.server.link(scenario.delay_ms)
        threads = [threading.Thread(target=touch, args=(name,)) for name in scenario.warm]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(self.timeout)

    def _on_mount(self, scenario, bucket, row, tool):
        if row.name in tool.gives_up and self.data.scale.name == "full":
            raise JobFailed(tool.gives_up[row.name])
        self._before(scenario, bucket, row, tool)
        self.server.link(scenario.delay_ms, scenario.connection_bps)
        if row.before == "rest":
            return self._rest(tool)
        if isinstance(row.job, Mount):
            return self._mount(bucket, tool)
        started = time.monotonic()
        syncs = tool.syncs() if scenario.option else 0
        cell = measure.measured(self.server, row.job.at(self.programs, tool.mountpoint), tool.pid, self.timeout,
                                finish=tool.finish if scenario.option else None)
        cell.syncs = tool.syncs() - syncs if scenario.option else 0
        if row.durable:
            cell.seconds += self._wait_durable(bucket, row, started + cell.seconds)
        return cell

    def _before(self, scenario, bucket, row, tool):
        words = row.before.split()
        if "idle" in words:
            tool.wait_idle(self.timeout)
        if "whole" in words:
            self._whole(row, tool)
        if "remount" in words:
            self.server.link(0)
            tool.unmount()
            tool.mount(bucket, fresh=False)
            self._warm(scenario, tool)
        if "unmounted" in words or "index" in words:
            tool.background(bucket)
            tool.unmount()
            tool.make_directories(fresh=True)
        if "index" in words:
            origin = "%s %s" % (self.server.endpoint, bucket)
            subprocess.run([self.programs.index, tool.cache, words[1], origin], check=True)
        if {"drop", "remount", "index", "again"} & set(words):
            measure.drop_page_cache()
        if "again" in words:
            subprocess.run([tool.program, "--version"], check=True, stdout=subprocess.DEVNULL)
        if "mkdir" in words:
            os.mkdir(os.path.join(tool.mountpoint, words[1]))

    def _whole(self, row, tool):
        for _ in range(WHOLE_READS):
            tool.wait_idle(self.timeout)
            before = tool.left_out()
            measure.drop_page_cache()
            measure.run(row.job.at(self.programs, tool.mountpoint), self.timeout)
            tool.wait_idle(self.timeout)
            if tool.left_out() == before:
                return
        raise JobFailed("not whole in the cache after %d reads" % WHOLE_READS)

    def _rest(self, tool):
        """How long the tool goes on by itself, and what of the processor that takes."""
        before, started = measure.cpu_seconds(tool.pid), time.monotonic()
        tool.wait_idle(self.timeout)
        return Cell(time.monotonic() - started, cpu_s=measure.cpu_seconds(tool.pid) - before, peak_bytes=measure.peak_bytes(tool.pid))

    def _mount(self, bucket, tool):
        cell = measure.measured(self.server, tool.background(bucket), None, self.timeout, tool.environment())
        subprocess.run([tool.program, "umount", tool.mountpoint], check=True)
        return cell

    def _wait_durable(self, bucket, row, ended):
        """Seconds after the end of the job until the server has the object."""
        deadline = ended + self.timeout
        while not self.server.has(bucket, *row.durable):
            if time.monotonic() > deadline:
                raise JobFailed("not in S3 after %d s" % self.timeout)
            time.sleep(0.05)
        return max(0, time.monotonic() - ended)

    def _awsfs(self):
        awsfs = next((tool for tool in self.tools if tool.name == "awsfs"), None)
        if not awsfs:
            raise JobFailed("awsfs is not among the tools")
        return awsfs

    def _variant(self, scenario, bucket, row, option):
        other = self._awsfs().variant(option)
        try:
            self.server.link(0)
            other.mount(bucket)
            self._warm(scenario, other)
            return self._on_mount(scenario, bucket, row, other)
        finally:
            self.server.link(0)
            other.close()
            if scenario.data == "write":
                self.server.empty_bucket(bucket)

    def _floor(self, scenario, bucket, row, floor):
        kind, _, detail = floor.partition(" ")
        if kind == "awsfs":
            return self._variant(scenario, bucket, row, detail)
        if kind == "curl":
            self.server.link(scenario.delay_ms, scenario.connection_bps)
            command = row.job.wire(self.programs, self.server, bucket, int(detail))
            cell = measure.measured(self.server, command, None, self.timeout)
            if scenario.data == "write":
                self.server.empty_bucket(bucket)
            return cell
        if kind == "version":
            return self._version()
        if kind == "null":
            return self._null(bucket, row, detail)
        if kind == "bindfs":
            return self._bindfs(row)
        directory = self.data.local(scenario.data)
        if detail == "warm":
            subprocess.run(row.job.at(self.programs, directory), stdout=subprocess.DEVNULL, check=True)
        else:
            measure.drop_page_cache()
        return measure.run(row.job.at(self.programs, directory), self.timeout)

    def _bindfs(self, row):
        """On the local disk through a FUSE file system that only hands on: what FUSE alone costs."""
        if not shutil.which("bindfs"):
            raise JobFailed("bindfs is not installed")
        behind, directory = (os.path.join(self.programs.directory, name) for name in ("behind", "bound"))
        for path in (behind, directory):
            os.makedirs(path, exist_ok=True)
        daemon = subprocess.Popen(["bindfs", "-f", behind, directory], stdin=subprocess.DEVNULL)
        try:
            self._wait_for_mount(daemon, directory, "bindfs")
            return measure.run(row.job.at(self.programs, directory), self.timeout)
        finally:
            subprocess.run(["fusermount3", "-u", directory], capture_output=True, check=False)
            daemon.wait()
            shutil.rmtree(behind, ignore_errors=True)

    @staticmethod
    def _wait_for_mount(daemon, directory, name):
        deadline = time.monotonic() + FLOOR_SECONDS
        while not mounted(directory):
            if daemon.poll() is not None or time.monotonic() > deadline:
                raise JobFailed("no mount of " + name)
            time.sleep(0.02)

    def _version(self):
        measure.drop_page_cache()
        started = time.monotonic()
        subprocess.run([self._awsfs().program, "--version"], check=True, stdout=subprocess.DEVNULL)
        return Cell(time.monotonic() - started)

    def _null(self, bucket, row, beside):
        """On a file system that keeps nothing (null.c); `beside` "warm": what was read once before, and is in the kernel's page cache;
        "+ curl N": with curl fetching as much at the same time. The time is that of the longer one, processor time that of all."""
        directory = os.path.join(self.programs.directory, "null")
        os.makedirs(directory, exist_ok=True)
        daemon = subprocess.Popen([self.programs.null, directory], stdin=subprocess.DEVNULL)
        try:
            self._wait_for_mount(daemon, directory, "the null file system")
            if isinstance(row.job, Sequential):
                self._make_readable(directory, row.job)
            commands = [row.job.at(self.programs, directory)]
            if beside == "warm":
                measure.run(commands[0], self.timeout)
            elif beside:
                commands.append(row.job.wire(self.programs, self.server, bucket, int(beside.split()[-1])))
            with concurrent.futures.ThreadPoolExecutor(len(commands)) as pool:
                cells = list(pool.map(lambda command: measure.run(command, self.timeout), commands))
            cells[0].seconds = max(cell.seconds for cell in cells)
            cells[0].cpu_s = measure.cpu_seconds(daemon.pid) + sum(cell.cpu_s for cell in cells)
            return cells[0]
        finally:
            subprocess.run(["fusermount3", "-u", "-z", directory], capture_output=True, check=False)
            daemon.terminate()
            daemon.wait()

    @staticmethod
    def _make_readable(directory, job):
        """A file of that size, and requests as large as awsfs's."""
        device = os.stat(directory).st_dev
        with open("/sys/class/bdi/%d:%d/read_ahead_kb" % (os.major(device), os.minor(device)), "w", encoding="ascii") as f:
            f.write("1024")
        with open(os.path.join(directory, job.key), "wb") as f:
            f.truncate(job.size)
