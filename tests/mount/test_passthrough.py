"""Files that are whole in the cache are read from there by the kernel itself; who has one open so is never disturbed."""
import json
import mmap
import os
import subprocess
import threading

import pytest

from support.work import pattern, wait_until

MIB = 1024 * 1024
BODY = pattern(3 * MIB + 123, 1)
OTHER = pattern(2 * MIB + 45, 2)


def status(disk):
    result = subprocess.run([disk.binary, "status", "--json", disk.path], capture_output=True, text=True, check=True)
    return json.loads(result.stdout)


def idle(disk):
    wait_until(lambda: status(disk)["cache"]["pending"] == 0, 60)


def passed(disk):
    """Opens that the kernel serves by itself, and bytes that the daemon gave, since the mount."""
    now = status(disk)
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
def disk(origin, bucket, mount):
    """disk(): "f" with BODY was read once and is whole in the cache; skips where the kernel or the user may not."""
    def make(**options):
        witness = bucket(origin)
        witness.put("f", BODY)
        disk = mount(witness, **options)
        assert (disk / "f").read_bytes() == BODY
        idle(disk)
        if not status(disk)["kernel"]["passthrough"]:
            pytest.skip("no passthrough: " + disk.log())
        origin.reset_counts()
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
    assert origin.requests().get("GetObject", 0) == 0


def test_with_the_option_off_the_daemon_gives_all(origin, bucket, mount):
    witness = bucket(origin)
    witness.put("f", BODY)
    disk = mount(witness, passthrough="off")
    for _ in range(2):
        assert (disk / "f").read_bytes() == BODY
        idle(disk)
    now = status(disk)["kernel"]
    assert (now["passthrough"], now["passthrough_opens"]) == (0, 0)


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
    assert origin.requests().get("GetObject", 0) == 0
    subprocess.run(["find", disk.cache, "-type", "f", "-delete"], check=True)
    reader.close()
    assert (disk / "f").read_bytes() == BODY


def test_readers_and_writers_of_one_file_never_meet_an_error(disk):
    disk = disk(ttl="0")
    errors, stop = [], threading.Event()

    def read_on():
        while not stop.is_set():
            try:
                data = (disk / "f").read_bytes()
                # One version, from its beginning to its end: the first byte says which.
                assert data == bodies[data[0]], "a mixture"
            except (OSError, AssertionError, KeyError) as error:
                errors.append(repr(error))

    bodies = {n: bytes([n]) * (MIB + 1000 * n) for n in range(12)}
    disk.bucket.put("f", bodies[0])
    readers = [threading.Thread(target=read_on) for _ in range(3)]
    for one in readers:
        one.start()
    try:
        for n in range(1, 12):
            if n % 3 == 0:
                disk.bucket.put("f", bodies[n])
                wait_until(lambda: (disk / "f").stat().st_size == len(bodies[n]), 20)
            else:
                (disk / "new").write_bytes(bodies[n])
                os.rename(disk / "new", disk / "f")
            with open(disk / "f", "r+b") as f: # excludes passthrough, and changes nothing
                assert f.read(1) == bytes([n])
    finally:
        stop.set()
        for one in readers:
            one.join()
    assert errors == []
