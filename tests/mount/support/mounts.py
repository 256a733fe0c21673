"""One mount of awsfs under test: started in the foreground, so that its process is known, and always taken down."""
import glob
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import threading
import time

from . import servers

START_SECONDS = 30
END_SECONDS = 90


class MountFailed(Exception):
    def __init__(self, status, output):
        super().__init__("awsfs ended with status %s: %s" % (status, output))
        self.status = status
        self.output = output


def mounted(path):
    """Whether something is mounted there, without asking the file system itself."""
    with open("/proc/self/mountinfo", encoding="utf-8") as table:
        return any(line.split()[4].encode().decode("unicode_escape") == str(path) for line in table)


def name_of(test):
    """A file name for what a test leaves behind, such as a sanitizer's report."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", test.name)[:150]


def holders_of(path):
    """Processes that have the directory mounted: also those that copied it into a mount namespace of their own, where it stays mounted
    whatever is unmounted here."""
    found = []
    for directory in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if " %s " % path in (directory / "mountinfo").read_text(errors="replace"):
                command = (directory / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                found.append("%s %s" % (directory.name, command[:200]))
        except OSError:
            continue
    return found or "nobody"


def threads_of(pid):
    """Where the threads of a process are: their stacks where there is a debugger, otherwise what each waits for."""
    if shutil.which("gdb"):
        stacks = subprocess.run(["gdb", "-p", str(pid), "-batch", "-ex", "thread apply all bt 16"], capture_output=True, text=True,
                                errors="replace", check=False).stdout
        return "\n".join(line for line in stacks.splitlines() if line.startswith(("Thread", "#")))
    waits = []
    for task in sorted(pathlib.Path("/proc/%d/task" % pid).iterdir()):
        waits.append("%s in %s" % ((task / "comm").read_text().strip(), (task / "wchan").read_text()))
    return "\n".join(waits)


def program():
    path = os.environ.get("AWSFS_BIN")
    if not path or not os.path.exists(path):
        raise RuntimeError("AWSFS_BIN must name the built awsfs (tests/run sets it); it is %r" % path)
    return path


def environment(who, extra=None):
    """What the daemon gets: credentials only here, no configuration of the person who runs the tests."""
    env = {k: v for k, v in servers.sanitizer_environment(who).items() if not k.startswith("AWS_")}
    env.update(AWS_ACCESS_KEY_ID=servers.ACCESS, AWS_SECRET_ACCESS_KEY=servers.SECRET, AWS_EC2_METADATA_DISABLED="true",
               AWS_CONFIG_FILE="/dev/null", AWS_SHARED_CREDENTIALS_FILE="/dev/null")
    env.update(extra or {})
    return {k: v for k, v in env.items() if v is not None}


class Mount:
    """`path` is the mounted directory; `bucket` (or parameter tree) is the witness it was made from."""

    def __init__(self, witness, directory, who, options=None, source=None, binary=None, env=None,
                 patience=180, known=None):
        self.bucket = self.parameters = self.witness = witness
        self.source = source or witness.source
        self.directory = pathlib.Path(directory)
        self.path = self.directory / "mnt"
        self.state = self.directory / "state"
        self.cache = self.directory / "cache"
        self.log_file = self.directory / "awsfs.log"
        for needed in (self.path, self.state, self.cache):
            needed.mkdir(parents=True, exist_ok=True)
        if known:
            shutil.copytree(known, self.state / "servers", copy_function=shutil.copy)
            os.chmod(self.state, 0o700)
        self.who = who
        self.binary = binary or program()
        self.options = {"endpoint": witness.server.endpoint, "region": servers.REGION, "state": self.state, "cache": self.cache,
                        "log": self.log_file}
        self.options.update(options or {})
        self.env = env or {}
        self.process = None
        self.started = None
        self.keeps_listings = False
        # A test that waits in the kernel does not hear pytest's own timeout: the end of the daemon frees it.
        self.watchdog = threading.Timer(patience + 5, self._give_up)
        self.watchdog.daemon = True
        self.watchdog.start()
        try:
            self.start()
        except MountFailed:
            self.watchdog.cancel()
            raise

    def __truediv__(self, name):
        return self.path / name

    def option_text(self):
        return ",".join(k if v is True else "%s=%s" % (k, v) for k, v in self.options.items() if v is not None and v is not False)

    def forget_listings(self):
        """As if `ttl` had passed: what is listed next is listed anew. A table of changes that is damaged tells of anything."""
        for table in (pathlib.Path(self.options["cache"]) / "changes").glob("*"):
            table.write_bytes(b"damaged")

    def start(self):
        # What others changed is seen when `ttl` has passed; who wants to see that says so.
        if self.started and not self.keeps_listings and getattr(self.witness, "changed", 0) > self.started:
            self.forget_listings()
        self.started = time.monotonic()
        # A file, not a pipe: a pipe that nobody reads would stop the daemon.
        self.output_file = self.directory / "output"
        with open(self.output_file, "ab") as output:
            self.process = subprocess.Popen([self.binary, self.source, self.path, "-f", "-o", self.option_text()],
                                            stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                                            env=environment(self.who, self.env))
        deadline = time.monotonic() + START_SECONDS
        while not mounted(self.path):
            if self.process.poll() is not None:
                raise MountFailed(self.process.returncode, self.output())
            if time.monotonic() > deadline:
                self.process.kill()
                self.process.wait()
                raise MountFailed("none after %d s" % START_SECONDS, self.output())
            time.sleep(0.02)
        return self

    def output(self):
        return self.output_file.read_text(errors="replace")

    def status(self):
        """What `awsfs status` tells of it."""
        result = subprocess.run([self.binary, "status", "--json", self.path], capture_output=True, text=True, timeout=120, check=False,
                                env=environment(self.who, self.env))
        assert result.returncode == 0, result.stderr
        return json.loads(result.stdout)

    def log(self):
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    @property
    def pid(self):
        return self.process.pid

    def umount(self, patience=60):
        """A plain umount, then waits until the daemon has sent what is due and has ended, with status 0."""
        deadline = time.monotonic() + patience
        while mounted(self.path):
            result = subprocess.run(["fusermount3", "-u", self.path], capture_output=True, text=True, check=False)
            if result.returncode and time.monotonic() > deadline:
                raise AssertionError("cannot unmount: " + result.stderr)
            if result.returncode:
                time.sleep(0.1)
        status = self.wait()
        assert status == 0, "the daemon ended with status %d: %s\nits log ends with\n%s" % (status, self.output()[-2000:],
                                                                                          self.log()[-2000:])
        self.check_sanitizers()

    def remount(self, **options):
        self.umount()
        self.options.update(options)
        return self.start()

    def terminate(self):
        self.process.terminate()
        return self.wait()

    def wait(self):
        """Waits for the end of the daemon; its exit status. One that does not end shows where its threads are."""
        try:
            return self.process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            raise AssertionError("the daemon has not ended after %d s; mounted for %s; its log ends with\n%s\nand its threads are at\n%s"
                                 % (END_SECONDS, holders_of(self.path), self.log()[-2000:], threads_of(self.pid))) from None

    def kill9(self):
        self.process.kill()
        self.process.wait(60)
        subprocess.run(["fusermount3", "-u", "-z", self.path], capture_output=True, check=False)
        assert not mounted(self.path)

    def peak_memory(self):
        """The largest resident size so far, bytes."""
        with open("/proc/%d/status" % self.pid, encoding="utf-8") as status:
            return int(re.search(r"VmHWM:\s+(\d+) kB", status.read()).group(1)) * 1024

    def state_files(self):
        return [p for p in self.state.rglob("*") if p.is_file()]

    def abort(self):
        """Ends every waiting request with an error, so that no test can leave an unkillable process."""
        for line in open("/proc/self/mountinfo", encoding="utf-8"):
            fields = line.split()
            if fields[4] == str(self.path):
                control = "/sys/fs/fuse/connections/%s/abort" % fields[2].split(":")[1]
                if os.path.exists(control):
                    pathlib.Path(control).write_text("1")

    def _give_up(self):
        print("the test takes too long: ending the daemon")
        self.process.kill()

    def check_sanitizers(self):
        reports = sanitizer_reports(self.who)
        assert not reports, "sanitizer report %s:\n%s" % (reports[0], pathlib.Path(reports[0]).read_text(errors="replace")[:4000])

    def close(self):
        """For teardown: whatever state the mount is in, nothing of it stays. A healthy one is taken down as a user would."""
        self.watchdog.cancel()
        try:
            self._close_leaked()
            if self.process.poll() is None and mounted(self.path):
                self.umount(patience=5)
        finally:
            self._force_down()
        self.check_sanitizers()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _close_leaked(self):
        """What a test that failed has left open here would keep the mount busy."""
        for name in os.listdir("/proc/self/fd"):
            try:
                if os.readlink("/proc/self/fd/" + name).startswith(str(self.path) + "/"):
                    os.close(int(name))
            except OSError:
                continue

    def _force_down(self):
        if mounted(self.path):
            self.abort()
            subprocess.run(["fusermount3", "-u", "-z", self.path], capture_output=True, check=False)
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait(20)


def what_is_known(server, bucket, directory):
    """The directory in which a mount remembers what the server can do, so that other mounts need not find it out again, in the
    middle of what a test counts."""
    known = pathlib.Path(directory)
    if not known.exists():
        first = Mount(bucket(server), known.with_name(known.name + "-first"), "learn-" + server.name)
        try:
            (first / "f").write_bytes(b"x")
            first.umount()
            shutil.copytree(first.state / "servers", known)
        finally:
            first.close()
    return known


def sanitizer_reports(who):
    directory = os.environ.get("AWSFS_SANITIZER_DIR")
    return sorted(filter(is_finding, glob.glob(glob.escape(os.path.join(directory, who)) + ".*"))) if directory else []


def is_finding(report):
    """LeakSanitizer writes a line where a thread ends while it looks for leaks, and goes on."""
    lines = pathlib.Path(report).read_text(errors="replace").splitlines()
    return any(line.strip() and "Unable to get registers from thread" not in line for line in lines)
