"""Runs steps side by side, adds up what they count, and ends in time: the machinery of stages.py."""
import os
import shutil
import signal
import subprocess
import sys
import threading
import time

MARK = "AWSFS_SANITIZER_DIR"
SHOWN_LINES = 15


class Failed(Exception):
    """A step that could not be done; `log` has more, and its end is shown."""

    def __init__(self, text, log=None):
        super().__init__(text)
        self.log = log


class Step:
    """One step: a name, what it does, the names of the steps it needs, and the stage it belongs to if it is tests."""

    def __init__(self, name, work, needs=(), stage=None):
        self.name, self.work, self.needs, self.stage = name, work, list(needs), stage
        self.done = threading.Event()
        self.good = False


class Run:
    """Counts, output, and the processes under way. Its methods may be called from every lane."""

    def __init__(self, build, minutes, started):
        self.build, self.logs = build, os.path.join(build, "logs")
        self.minutes, self.deadline = minutes, float(started) + 60 * minutes
        self.passed = self.failed = self.skipped = 0
        self.failures = []
        self.stopped = None
        self.lock = threading.RLock()
        self.processes = set()
        self.env = dict(os.environ)
        self.env[MARK] = os.path.join(self.logs, "sanitizer")
        shutil.rmtree(self.env[MARK], ignore_errors=True)
        os.makedirs(self.env[MARK])
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda *_: setattr(self, "deadline", 0))

    def log(self, name):
        return os.path.join(self.logs, name + ".log")

    @staticmethod
    def forget(path):
        if os.path.exists(path):
            os.unlink(path)

    def say(self, text, details=()):
        with self.lock:
            print(time.strftime("%H:%M:%S"), text)
            for line in details:
                print("    |", line)
            sys.stdout.flush()

    def fail(self, text, log=None):
        """Counts one failure and shows the end of the log."""
        details = []
        if log and os.path.exists(log):
            with open(log, encoding="utf-8", errors="replace") as written:
                details = written.read().splitlines()[-SHOWN_LINES:]
        with self.lock:
            self.failed += 1
            self.failures += ["FAILED: " + text] + ["    | " + line for line in details]
            self.say("FAILED: " + text, details)

    def add(self, stage, passed, failed, skipped, lines=()):
        with self.lock:
            self.passed, self.failed, self.skipped = self.passed + passed, self.failed + failed, self.skipped + skipped
            for line in lines:
                self.say("  " + line)
            self.failures += [line for line in lines if not line.startswith("SKIPPED")]
            self.say("%s: %d passed, %d failed, %d skipped" % (stage, passed, failed, skipped))

    def count(self, stage, read, path, status, log):
        """Adds up what a runner wrote. A runner that failed without a failed test counts as one, as does one cut off."""
        counts, lines = [0, 0, 0], []
        try:
            counts, lines = read(path)
        except (OSError, ValueError, SyntaxError) as problem:
            lines = ["%s: %s" % (path, problem)] if not status else []
            status = status or 1
        self.add(stage, *counts, lines)
        if status and not counts[1] and not self.stopped:
            self.fail("%s ended with status %d" % (stage, status), log)
        elif counts[1]:
            self.say("%s: more in %s" % (stage, log))

    def command(self, command, log, env=None, stdout=None, nice=0):
        """Runs one program with its output at the end of `log`; its status."""
        with open(log, "ab") as out:
            with self.lock:
                if self.stopped:
                    return 1
                process = subprocess.Popen(["nice", "-n", str(nice)] + command, stdin=subprocess.DEVNULL, stdout=stdout or out,
                                           stderr=out, env={**self.env, **(env or {})}, start_new_session=True)
                self.processes.add(process)
        status = process.wait()
        with self.lock:
            self.processes.discard(process)
        return status

    def go(self, lanes, stages):
        """Runs the steps of these stages and what they need."""
        known = {step.name: step for lane in lanes for step in lane}
        wanted = set()

        def want(step):
            if step.name not in wanted:
                wanted.add(step.name)
                for name in step.needs:
                    # Waiting for the tests of another lane only keeps things apart: those not asked for are not run.
                    if not known[name].stage:
                        want(known[name])

        for step in known.values():
            if step.stage in stages:
                want(step)
        threads = [threading.Thread(target=self._lane, args=([s for s in lane if s.name in wanted], known, wanted), daemon=True)
                   for lane in lanes]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            if time.time() > self.deadline and not self.stopped:
                self._stop()
            time.sleep(0.1)

    def _lane(self, lane, known, wanted):
        for step in lane:
            needs = [known[name] for name in step.needs if name in wanted]
            for need in needs:
                need.done.wait()
            broken = [need.name for need in needs if not need.good and not need.stage]
            try:
                if self.stopped or broken:
                    raise Failed("%s is not run: %s" % (step.name, self.stopped or "no " + ", ".join(broken)))
                self._do(step)
                step.good = not self.stopped
            except Failed as problem:
                self.fail(str(problem), problem.log)
            except Exception as problem:
                self.fail("%s: %r" % (step.name, problem))
            finally:
                step.done.set()

    def _do(self, step):
        self.forget(self.log(step.name))
        started = time.monotonic()
        self.say(step.name + " begins")
        try:
            step.work()
        finally:
            if self.stopped:
                self.fail("%s is stopped: %s" % (step.name, self.stopped), self.log(step.name))
            self.say("%s has taken %d s" % (step.name, time.monotonic() - started))

    def _stop(self):
        """The time is up: runners write down what they have, then everything is killed."""
        with self.lock:
            self.stopped = "the run has reached %g minutes" % self.minutes if self.deadline else "interrupted"
            processes = list(self.processes)
            self.say(self.stopped)
        for process in processes:
            # pytest writes its results at SIGINT, meson at SIGTERM.
            signals(process.pid, signal.SIGINT if "pytest" in process.args else signal.SIGTERM)
        until = time.monotonic() + 20
        while time.monotonic() < until and any(process.poll() is None for process in processes):
            time.sleep(0.1)
        for process in processes:
            signals(-process.pid, signal.SIGKILL)
        kill_marked(self.env[MARK])

    def finish(self):
        """Looks at the sanitizers' reports, says once more what failed, above the last line (a log may be kept only from its
        end), and returns the status of the run."""
        for name in sorted(os.listdir(self.env[MARK])):
            # The file is named after the test that ran.
            report = os.path.join(self.env[MARK], name)
            if is_finding(report):
                self.fail("sanitizer report " + report, report)
        for line in self.failures:
            print(line)
        print("%d passed, %d failed%s" % (self.passed, self.failed, ", %d skipped" % self.skipped if self.skipped else ""))
        return 0 if self.passed and not self.failed else 1


def is_finding(report):
    """LeakSanitizer writes a line where a thread ends while it looks for leaks, and goes on without what that one held."""
    with open(report, encoding="utf-8", errors="replace") as lines:
        return any(line.strip() and "Unable to get registers from thread" not in line for line in lines)


def signals(pid, number):
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def kill_marked(mark):
    """Ends the daemons that have left their process group, and takes down the mounts that are dead."""
    needle = ("%s=%s" % (MARK, mark)).encode()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/environ" % pid, "rb") as environ:
                ours = needle in environ.read().split(b"\0")
        except OSError:
            continue
        if ours and int(pid) != os.getpid():
            signals(int(pid), signal.SIGKILL)
    with open("/proc/self/mountinfo", encoding="utf-8") as table:
        points = [line.split()[4].encode().decode("unicode_escape") for line in table if " - fuse.awsfs " in line]
    for point in points:
        try:
            os.stat(point)
        except OSError:
            subprocess.run(["fusermount3", "-u", "-z", point], capture_output=True, check=False)
