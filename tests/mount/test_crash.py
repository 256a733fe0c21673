"""kill -9 at any moment: every path is then as the program's calls that returned have left it, or as the one under way may have."""
import contextlib
import ctypes
import errno
import json
import os
import pathlib
import random
import re
import subprocess
import time

import pytest

from support.caches import gets
from support.mounts import environment, mounted, program, threads_of
from support.torture import Worker
from support.work import Script, errno_of, run, wait_until

WORKERS = 3
KINDS = ["PutObject", "CopyObject", "DeleteObject", "UploadPart", "CompleteMultipartUpload", "CreateMultipartUpload", "HeadObject",
         "ListObjectsV2", "GetObject", "DeleteObjects"]
# What a crash may leave in the journal; the end of a record that was being written is kept as unreadable.
LEFT = ["unfinished", "unanswered", "unreadable"]
# What a mount says of what it found in the journal and could not use.
UNUSABLE = "what was written to .* cannot be sent|nothing readable in the journal|damaged at byte|what it holds cannot be read"
FAULTS = [{"status": 503, "code": "SlowDown"}, "reset", "execute_then_reset"]


def spoil(origin, rng):
    """A few requests to come fail, which the daemon has to get over."""
    origin.clear_faults()
    for kind in rng.sample(KINDS, 4):
        origin.fault(rng.choice(FAULTS), kind=kind, count=rng.randrange(1, 3), skip=rng.randrange(0, 20))


def seen_in_store(witness, worker):
    objects = {key: witness.get(key) for key in witness.keys(worker + "/") if not key.endswith("/")}
    return {key.split("/", 1)[1]: data for key, data in objects.items()}


def seen_in_mount(disk, worker):
    """Files with their bytes, and the names of directories."""
    paths = list((disk / worker).iterdir())
    return {p.name: p.read_bytes() for p in paths if p.is_file()}, {p.name for p in paths if p.is_dir()}


def no_upload_left(disk):
    """Those whose id was told have parts; the id of one that was cut off at its beginning may not be known to anybody here."""
    for upload in disk.witness.uploads():
        parts = disk.witness.s3.list_parts(Bucket=disk.witness.name, Key=upload["Key"], UploadId=upload["UploadId"]).get("Parts", [])
        if parts:
            return False
    return True


def journal(disk, *arguments):
    return run(program(), "journal", *arguments, "-o", "state=%s" % disk.state, env=environment("journal"))


class Torture:
    def __init__(self, disk, origin, rng):
        self.disk, self.origin, self.rng = disk, origin, rng
        self.files = {"w%d" % k: {} for k in range(WORKERS)}
        self.folders = {name: set() for name in self.files}
        self.running = []
        self.calls = self.cut_off = 0
        for name in self.files:
            (disk / name).mkdir()

    def crash(self):
        """After some calls, which a machine with other work takes long for, and a moment that ends inside of one."""
        calls, deadline = self.rng.randrange(40), time.monotonic() + 10
        while (sum(len(w.done) for w in self.running) < calls and any(w.is_alive() for w in self.running)
               and time.monotonic() < deadline):
            time.sleep(0.005)
        time.sleep(self.rng.uniform(0, 0.1))
        self.disk.kill9()

    def worker(self, name, files):
        return Worker(self.disk / name, random.Random(self.rng.random()), files)

    def round(self):
        workers = {name: self.worker(name, files) for name, files in self.files.items()}
        spoil(self.origin, self.rng)
        self.running = list(workers.values())
        for name, worker in workers.items():
            worker.folders, worker.durable_folders = set(self.folders[name]), set(self.folders[name])
            worker.start()
        self.crash()
        for worker in workers.values():
            worker.stop.set()
            worker.join(90)
            assert not worker.is_alive(), threads_of(os.getpid())
            self.calls += len(worker.done)
            self.cut_off += bool(worker.possible)
        if self.rng.random() < 0.5:
            self.origin.clear_faults()
        self.recover(workers)

    def recover(self, workers):
        self.disk.start()
        self.flush()
        self.origin.clear_faults()
        for name, worker in workers.items():
            in_store, (in_mount, folders) = seen_in_store(self.disk.witness, name), seen_in_mount(self.disk, name)
            worker.check(in_store, folders)
            assert in_mount == in_store
            self.files[name], self.folders[name] = worker.files, folders
        self.nothing_is_left()
        assert mounted(self.disk.path)

    def flush(self):
        # The daemon's socket comes a moment after the mount.
        wait_until(lambda: subprocess.run([program(), "flush", self.disk.path], env=environment("flush"), timeout=300,
                                          check=False).returncode == 0, seconds=120, what="a flush")

    def nothing_is_left(self):
        wait_until(lambda: no_upload_left(self.disk), what="uploads that were cut off to be aborted")
        assert "conflict" not in " ".join(self.disk.witness.keys())


@pytest.mark.parametrize("mode, kills", [("through", 10), ("back", 10), pytest.param("through", 1000, marks=pytest.mark.long),
                                         pytest.param("back", 1000, marks=pytest.mark.long)])
@pytest.mark.timeout(5400)
def test_whenever_the_daemon_is_killed_nothing_that_returned_is_lost(origin, bucket, mount, rng, mode, kills):
    disk = mount(bucket(origin), write=mode, ttl=1, timeout=20)
    torture = Torture(disk, origin, random.Random(rng.random()))
    for _ in range(kills):
        torture.round()
    disk.umount()
    # The kills hit calls that were under way, and not too many of them.
    assert torture.cut_off >= kills // 2 and torture.calls > 3 * kills
    entries = json.loads(journal(disk, "list", "--json"))
    left = [entry for entry in entries if entry["kind"] not in LEFT]
    assert left == [], disk.log()[-20_000:]
    assert re.findall(UNUSABLE, disk.log()) == []
    # What is left in the store was begun without an answer, and is known.
    unanswered = [entry for entry in entries if entry["kind"] == "unanswered"]
    assert {upload["Key"] for upload in disk.witness.uploads()} <= {entry["key"] for entry in unanswered}
    for entry in unanswered:
        journal(disk, "discard", entry["name"])
    assert disk.witness.uploads() == []


def abort(disk):
    """umount -f, without a process: that would close its copies of descriptors first, and wait in that."""
    ctypes.CDLL(None).umount2(os.fsencode(str(disk.path)), 1)


@contextlib.contextmanager
def freed(disk, *scripts):
    """Who still waits for the daemon at the end of the block does not wait for ever."""
    try:
        yield
    finally:
        for script in scripts:
            if script.process.poll() is None:
                abort(disk)
            script.close()


@pytest.fixture
def telling(origin, bucket, mount):
    """telling(ttl): a mount, and a descriptor of its d/changed, which others have changed, too: at its fsync the kernel is told of the
    name. Copies never end, so a move of d/moved keeps the directory's lock."""
    def make(ttl):
        witness = bucket(origin)
        for name in ("d/moved", "d/changed", "d/other"):
            witness.put(name, b"base")
        disk = mount(witness, ttl=ttl)
        changed = os.open(disk / "d/changed", os.O_RDWR | os.O_APPEND)
        os.write(changed, b" mine")
        wait_until(lambda: gets(origin) >= 1, what="the rest of a small object to be fetched")
        witness.put("d/changed", b"theirs")
        origin.fault("hang", kind="CopyObject")
        return disk, changed
    return make


def moving(origin, disk):
    """A program that waits in the move of d/moved."""
    script = Script("print('go'); os.rename(sys.argv[1] + '/moved', sys.argv[1] + '/to')", disk / "d")
    script.line()
    wait_until(lambda: origin.requests().get("CopyObject", 0) >= 1)
    return script


def test_a_daemon_killed_with_a_name_to_tell_of_frees_who_waits_in_its_directory(origin, telling):
    """The kernel takes the directory's lock to forget a name; a program whose request is not answered has it."""
    disk, changed = telling(ttl=60)
    mover = moving(origin, disk)
    with freed(disk, mover):
        assert errno_of(os.fsync, changed) == errno.ESTALE
        time.sleep(0.3)
        disk.kill9()
        mover.process.wait(10)
    errno_of(os.close, changed)


def test_a_daemon_killed_while_it_tells_of_a_name_frees_who_waits_in_its_directory(origin, telling):
    """Where requests come and go all the time, names are told although one waits. The daemon's thread then waits for the kernel's lock
    of the directory, and no signal ends that."""
    disk, changed = telling(ttl=0)
    looker = Script("os.stat(sys.argv[1])\nprint('go')\nwhile True:\n    os.stat(sys.argv[1])", disk / "d/other")
    looker.line()  # what is looked up for the first time waits for the directory's lock, what is only asked for again does not
    mover = moving(origin, disk)
    with freed(disk, mover, looker):
        assert errno_of(os.fsync, changed) == errno.ESTALE
        wait_until(lambda: stuck_in_the_kernel(disk.pid), what="a thread that tells the kernel of the name")
        disk.kill9()
        mover.process.wait(10)
        looker.process.wait(10)
    errno_of(os.close, changed)


def test_who_gets_the_directory_before_a_killed_daemon_lets_go_of_it_is_freed_too(origin, telling):
    """What nobody has read yet of the kernel's queue, once the move that is under way has ended with its daemon."""
    disk, changed = telling(ttl=0)
    looker = Script("os.stat(sys.argv[1])\nprint('go')\nwhile True:\n    os.stat(sys.argv[1])", disk / "d/other")
    looker.line()
    mover = moving(origin, disk)
    late = Script("print('go'); os.stat(sys.argv[1])", disk / "d/never-seen")
    late.line()
    with freed(disk, mover, looker, late):
        wait_until(lambda: stuck_in_the_kernel(late.process.pid), what="a program that waits for the directory")
        assert errno_of(os.fsync, changed) == errno.ESTALE
        wait_until(lambda: stuck_in_the_kernel(disk.pid), what="a thread that tells the kernel of the name")
        disk.kill9()
        for script in (mover, looker, late):
            script.process.wait(10)
    errno_of(os.close, changed)


LOOK_UNTIL_IT_IS_GONE = """
os.chdir(sys.argv[1])
print("go")
for i in range(1 << 30):
    try:
        os.stat("never-seen-%d" % i)
    except OSError as problem:
        if problem.errno == errno.ENOTCONN:
            break
print("gone")
"""


def test_who_is_still_inside_is_answered_while_a_daemon_that_was_told_to_end_sends_what_is_left(origin, bucket, mount):
    disk = mount(bucket(origin), write="back", timeout=300)
    origin.fault("hang", kind="PutObject")
    (disk / "f").write_bytes(b"not sent yet")
    looker = Script(LOOK_UNTIL_IT_IS_GONE, disk.path)
    looker.line()
    with freed(disk, looker):
        disk.process.terminate()
        looker.process.wait(60) # what is left is sent for five minutes
        assert looker.line() == "gone"
        assert disk.process.poll() is None
        disk.kill9()


def stuck_in_the_kernel(pid):
    """Whether a thread sleeps where no signal wakes it, and longer than for a disk."""
    def asleep():
        return {task.name for task in pathlib.Path("/proc/%d/task" % pid).iterdir()
                if (task / "stat").read_text().rpartition(")")[2].split()[0] == "D"}

    before = asleep()
    time.sleep(0.2)
    return before & asleep()
