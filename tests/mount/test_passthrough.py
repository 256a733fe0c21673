"""Files that are whole in the cache are read from there by the kernel itself; who has one open so is never disturbed."""
import errno
import fcntl
import mmap
import os
import shutil
import subprocess
import threading

import pytest

from support.caches import MIB, gets, idle
from support.work import pattern, wait_until

BODY = pattern(3 * MIB + 123, 1)
OTHER = pattern(2 * MIB + 45, 2)


def passed(disk):
    """Opens that the kernel serves by itself, and bytes that the daemon gave, since the mount."""
    now = disk.status()
    return now["kernel"]["passthrough_opens"], now["files"]["bytes_read"]


def read_all(fd):
    """All of an open file, past the page cache of a mapping or an earlier read."""
    size = os.fstat(fd).st_size
    parts = []
    while sum(map(len, parts)) < size:
        part = os.pread(fd, MIB, sum(map(len, parts)))
        if not part:
            break
        parts.append(part)
    return b"".join(parts)


@pytest.fixture
def disk(cached):
    """disk(): "f" with BODY was read once and is whole in the cache; skips where the kernel or the user may not."""
    def make(**options):
        disk = cached({"f": BODY}, **options)
        if not disk.status()["kernel"]["passthrough"]:
            pytest.skip("no passthrough: " + disk.log())
        return disk
    return make


class Reader:
    """Has a file open by passthrough, with a mapping of it."""

    def __init__(self, disk, name="f", body=BODY):
        opens, _ = passed(disk)
        self.fd = os.open(disk / name, os.O_RDONLY)
        assert passed(disk)[0] == opens + 1
        self.map = mmap.mmap(self.fd, 0, mmap.MAP_SHARED, mmap.PROT_READ)
        self.body = body

    def check(self):
        parts = [os.pread(self.fd, MIB, at) for at in range(0, len(self.body), MIB)]
        assert b"".join(parts) == self.body
        assert self.map[:] == self.body

    def close(self):
        self.check()
        os.close(self.fd)
        assert self.map[:] == self.body
        self.map.close()


def test_what_is_whole_in_the_cache_is_read_without_the_daemon(origin, disk):
    disk = disk()
    opens, given = passed(disk)
    for _ in range(5):
        assert (disk / "f").read_bytes() == BODY
    assert passed(disk) == (opens + 5, given)
    disk.remount()
    assert (disk / "f").read_bytes() == BODY
    idle(disk)
    opens, given = passed(disk)
    assert (disk / "f").read_bytes() == BODY
    assert passed(disk) == (opens + 1, given)
    assert gets(origin) == 0


def test_with_the_option_off_the_daemon_gives_all(origin, bucket, mount):
    witness = bucket(origin)
    witness.put("f", BODY)
    disk = mount(witness, passthrough="off")
    for _ in range(2):
        assert (disk / "f").read_bytes() == BODY
        idle(disk)
    now = disk.status()["kernel"]
    assert (now["passthrough"], now["passthrough_opens"]) == (0, 0)


@pytest.fixture
def overlay(tmp_path):
    """A directory on a stacked file system, as a container's is."""
    lower, upper, scratch, top = (tmp_path / name for name in ("lower", "upper", "scratch", "top"))
    for one in (lower, upper, scratch, top):
        one.mkdir()
    options = "lowerdir=%s,upperdir=%s,workdir=%s" % (lower, upper, scratch)
    if subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, top], capture_output=True, check=False).returncode:
        pytest.skip("no overlay can be mounted here")
    yield top
    subprocess.run(["umount", "-l", top], check=True)


def test_from_a_cache_that_the_kernel_refuses_files_are_copied_and_the_log_says_so_once(overlay, origin, bucket, mount):
    witness = bucket(origin)
    for name in "fg":
        witness.put(name, BODY)
    disk = mount(witness, cache=overlay / "cache")
    if not disk.status()["kernel"]["passthrough"]:
        pytest.skip("no passthrough: " + disk.log())
    for name in "fgfg":
        assert (disk / name).read_bytes() == BODY
        idle(disk)
    assert disk.status()["kernel"]["passthrough_opens"] == 0
    assert disk.log().count("no passthrough") == 1
    assert gets(origin) > 0


def test_small_files_and_those_written_here_are_not_passed_through(disk):
    disk = disk(ttl="0")
    (disk / "mine").write_bytes(OTHER)
    disk.bucket.put("small", OTHER[:MIB - 1])
    for name in ("mine", "small", "mine", "small"):
        opens, _ = passed(disk)
        assert len((disk / name).read_bytes()) >= MIB - 1
        idle(disk)
        assert passed(disk)[0] == opens
    disk.remount()
    assert (disk / "mine").read_bytes() == OTHER
    idle(disk)
    opens, _ = passed(disk)
    assert (disk / "mine").read_bytes() == OTHER
    assert passed(disk)[0] == opens + 1


def append(disk):
    with open(disk / "f", "ab") as f:
        f.write(b"more")
    return BODY + b"more"


def overwrite(disk):
    fd = os.open(disk / "f", os.O_RDWR)
    os.pwrite(fd, b"in the middle", MIB)
    os.fsync(fd)
    os.close(fd)
    return BODY[:MIB] + b"in the middle" + BODY[MIB + 13:]


def rewrite(disk):
    (disk / "f").write_bytes(OTHER)
    return OTHER


def truncate(disk):
    os.truncate(disk / "f", MIB)
    fd = os.open(disk / "f", os.O_RDONLY)
    os.fsync(fd)
    os.close(fd)
    return BODY[:MIB]


def move_over(disk):
    (disk / "g").write_bytes(OTHER)
    os.rename(disk / "g", disk / "f")
    return OTHER


def remove_and_make(disk):
    os.unlink(disk / "f")
    (disk / "f").write_bytes(OTHER)
    return OTHER


def replace_in_s3(disk):
    disk.bucket.put("f", OTHER)
    return OTHER


@pytest.mark.parametrize("change", [append, overwrite, rewrite, truncate, move_over, remove_and_make, replace_in_s3])
def test_a_change_leaves_open_readers_their_version_and_gives_others_the_new_one(disk, change):
    disk = disk(ttl="0")
    reader = Reader(disk)
    now = change(disk)
    reader.check()
    assert disk.bucket.get("f") == now
    late = os.open(disk / "f", os.O_RDONLY)
    assert read_all(late) == now
    os.close(late)
    assert (disk / "f").read_bytes() == now
    reader.close()
    assert (disk / "f").read_bytes() == now


def test_attributes_changed_while_it_is_read_so_reach_the_object(disk):
    disk = disk()
    reader = Reader(disk)
    os.chmod(disk / "f", 0o640)
    with open(disk / "f", "ab") as f:
        f.write(b"x")
    reader.close()
    disk.remount()
    assert os.stat(disk / "f").st_mode & 0o7777 == 0o640
    assert (disk / "f").read_bytes() == BODY + b"x"


def test_what_is_open_so_is_not_evicted_and_a_cache_that_is_deleted_disturbs_nobody(origin, disk):
    disk = disk(cache_size="32M", ttl="0")
    reader = Reader(disk)
    for n in range(6):
        disk.bucket.put("other%d" % n, pattern(8 * MIB, 10 + n))
        assert (disk / ("other%d" % n)).read_bytes() == pattern(8 * MIB, 10 + n)
        idle(disk)
    reader.check()
    origin.reset_counts()
    assert (disk / "f").read_bytes() == BODY
    assert gets(origin) == 0
    subprocess.run(["find", disk.cache, "-type", "f", "-delete"], check=True)
    reader.close()
    assert (disk / "f").read_bytes() == BODY


def test_what_programs_do_with_a_file_works_on_one_that_is_passed_through(origin, disk, tmp_path):
    disk = disk(file_mode="0755")
    reader = Reader(disk)
    out = os.open(tmp_path / "sent", os.O_RDWR | os.O_CREAT)
    while os.sendfile(out, reader.fd, os.fstat(out).st_size, len(BODY)):
        pass
    assert read_all(out) == BODY
    os.close(out)
    os.posix_fadvise(reader.fd, 0, 0, os.POSIX_FADV_WILLNEED)
    fcntl.flock(reader.fd, fcntl.LOCK_EX)
    assert os.lseek(reader.fd, 0, os.SEEK_DATA) == 0
    assert os.lseek(reader.fd, 0, os.SEEK_HOLE) == len(BODY)
    assert os.fstat(reader.fd).st_size == len(BODY)
    direct = os.open(disk / "f", os.O_RDONLY | os.O_DIRECT)
    page = mmap.mmap(-1, MIB)
    assert os.preadv(direct, [page], MIB) == MIB
    assert page[:] == BODY[MIB:2 * MIB]
    os.close(direct)
    again = os.open("/proc/self/fd/%d" % reader.fd, os.O_RDONLY)
    assert read_all(again) == BODY
    os.close(again)
    subprocess.run(["cp", disk / "f", disk / "copy"], check=True)
    assert disk.bucket.get("copy") == BODY
    subprocess.run(["cp", disk / "f", tmp_path / "out"], check=True)
    assert (tmp_path / "out").read_bytes() == BODY
    reader.close()
    assert gets(origin) == 1 # the one above, of the copy


def test_a_program_runs_from_a_file_that_is_passed_through(disk):
    disk = disk(file_mode="0755", ttl="0")
    program = shutil.which("bash")
    with open(program, "rb") as f:
        body = f.read()
    assert len(body) > MIB
    disk.bucket.put("programs/bash", body)
    for _ in range(2):
        assert (disk / "programs/bash").read_bytes() == body
        idle(disk)
    opens, given = passed(disk)
    result = subprocess.run([disk / "programs/bash", "-c", "echo $((6 * 7))"], capture_output=True, text=True, check=True)
    assert result.stdout == "42\n"
    now = passed(disk)
    assert now[0] > opens and now[1] == given


@pytest.mark.tsan
def test_readers_and_writers_of_one_file_never_meet_an_error(disk):
    disk = disk(ttl="0")
    errors, stop, theirs = [], threading.Event(), [0] # theirs: odd while another program replaces the file in the bucket
    begun, ended = [0], [0]                           # replacements

    def read_on():
        while not stop.is_set():
            before, opened, done = theirs[0], False, ended[0]
            try:
                with open(disk / "f", "rb") as f:
                    opened = True
                    data = f.read()
                # One version, from its beginning to its end: the first byte says which.
                assert data == bodies[data[0]], "a mixture"
            except (OSError, AssertionError, KeyError) as error:
                # What a reader has not got yet of a version that others replaced is nowhere any more.
                stale = getattr(error, "errno", 0) == errno.ESTALE
                gone = opened and stale and (before % 2 or theirs[0] != before)
                # The kernel looks a name up once more, and no third time: the second replacement within one open is told.
                twice = not opened and stale and begun[0] - done >= 2
                errors.extend([] if gone or twice else [repr(error)])

    bodies = {n: bytes([n]) * (MIB + 1000 * n) for n in range(12)}
    disk.bucket.put("f", bodies[0])
    readers = [threading.Thread(target=read_on) for _ in range(3)]
    for one in readers:
        one.start()
    try:
        for n in range(1, 12):
            begun[0] += 1
            if n % 3 == 0:
                theirs[0] += 1
                disk.bucket.put("f", bodies[n])
                theirs[0] += 1
                wait_until(lambda: (disk / "f").stat().st_size == len(bodies[n]))
            else:
                (disk / "new").write_bytes(bodies[n])
                os.rename(disk / "new", disk / "f")
            with open(disk / "f", "r+b") as f: # excludes passthrough, and changes nothing
                assert f.read(1) == bytes([n])
            ended[0] += 1
    finally:
        stop.set()
        for one in readers:
            one.join()
    assert errors == []
