"""The file system whose power can be cut: what it keeps and what it forgets, and that a careless program is found out."""
import contextlib
import ctypes
import errno
import fcntl
import mmap
import os

import pytest

from support.mounts import name_of, sanitizer_reports
from support.powerloss import Disk
from support.work import Script, errno_of

PAGE = 4096
libc = ctypes.CDLL(None, use_errno=True)


@pytest.fixture
def power(request, tmp_path):
    who = name_of(request.node)
    disk = Disk(tmp_path / "power", who)
    try:
        yield disk
    finally:
        disk.close()
    assert sanitizer_reports(who) == []


def opened(path, flags=0):
    return contextlib.closing(Fd(os.open(path, os.O_RDWR | os.O_CREAT | flags, 0o644)))


class Fd(int):
    def close(self):
        os.close(self)


def sync_dir(path):
    with contextlib.closing(Fd(os.open(path, os.O_RDONLY | os.O_DIRECTORY))) as fd:
        os.fsync(fd)


def put(path, data, sync=True):
    with opened(path) as fd:
        os.write(fd, data)
        if sync:
            os.fsync(fd)


def durable(path, data):
    put(path, data)
    sync_dir(path.parent)


def sync_file_range(fd, flags=7):
    assert libc.sync_file_range(fd, ctypes.c_int64(0), ctypes.c_int64(0), ctypes.c_uint(flags)) == 0


def fallocate(fd, mode, offset, length):
    assert libc.fallocate(fd, mode, ctypes.c_int64(offset), ctypes.c_int64(length)) == 0


KEEP_SIZE, PUNCH_HOLE = 1, 2


# ---- What is kept

def by_fsync(fd, data):
    os.write(fd, data)
    os.fsync(fd)


def by_fdatasync(fd, data):
    os.write(fd, data)
    os.fdatasync(fd)


def by_rwf_dsync(fd, data):
    os.pwritev(fd, [data], 0, os.RWF_DSYNC)


def by_rwf_sync(fd, data):
    os.pwritev(fd, [data], 0, os.RWF_SYNC)


def by_mapping(fd, data):
    os.ftruncate(fd, len(data))
    with mmap.mmap(fd, len(data)) as mapping:
        mapping[:] = data
        mapping.flush()


def by_mapping_and_fsync(fd, data):
    os.ftruncate(fd, len(data))
    with mmap.mmap(fd, len(data)) as mapping:
        mapping[:] = data
        os.fsync(fd)


def by_direct_writes(fd, data):
    """From aligned memory."""
    os.ftruncate(fd, len(data))
    with opened("/proc/self/fd/%d" % fd, os.O_DIRECT | os.O_DSYNC) as direct, mmap.mmap(-1, 4 * PAGE) as memory:
        memory[:len(data)] = data
        os.pwritev(direct, [memoryview(memory)[:3 * PAGE]], 0)
    os.pwrite(fd, data[3 * PAGE:], 3 * PAGE)
    os.fdatasync(fd)


def by_copy(fd, data):
    with opened("/proc/self/fd/%d" % fd) as other:
        os.pwrite(other, data, 0)
    os.copy_file_range(fd, fd, len(data), 0, len(data))
    os.ftruncate(fd, len(data))
    os.fsync(fd)


@pytest.mark.parametrize("write, flags", [
    (by_fsync, 0), (by_fdatasync, 0), (by_rwf_dsync, 0), (by_rwf_sync, 0), (by_mapping, 0), (by_mapping_and_fsync, 0), (by_copy, 0),
    (by_direct_writes, 0),
    (os.write, os.O_DSYNC), (os.write, os.O_SYNC), (os.write, os.O_DSYNC | os.O_APPEND)], ids=lambda x: getattr(x, "__name__", str(x)))
def test_bytes_that_were_synced_are_there_after_any_loss(power, write, flags):
    data = os.urandom(3 * PAGE + 100)
    for how, seed in [("all", 0)] + [("some", n) for n in range(5)]:
        name = power / ("f-%s-%d" % (how, seed))
        with opened(name, flags) as fd:
            write(fd, data)
        sync_dir(power.path)
        power.cut(how, seed)
        assert name.read_bytes() == data


def test_names_are_there_once_their_directory_was_synced(power):
    (power / "d").mkdir()
    durable(power / "d/old", b"old")
    durable(power / "d/gone", b"gone")
    durable(power / "d/kept", b"kept")
    put(power / "d/new", b"new")
    os.rename(power / "d/new", power / "d/old")
    os.unlink(power / "d/gone")
    os.link(power / "d/kept", power / "d/linked")
    sync_dir(power / "d")
    sync_dir(power.path)
    for n in range(5):
        power.cut("some", n)
        assert sorted(os.listdir(power / "d")) == ["kept", "linked", "old"]
        assert (power / "d/old").read_bytes() == b"new"
        assert (power / "d/linked").read_bytes() == b"kept" and os.stat(power / "d/kept").st_nlink == 2


def test_a_rename_between_directories_is_there_once_one_of_them_was_synced(power):
    for name in ("a", "b"):
        (power / name).mkdir()
    durable(power / "a/x", b"1")
    durable(power / "a/y", b"2")
    sync_dir(power.path)
    os.rename(power / "a/x", power / "b/x")
    sync_dir(power / "a")
    os.rename(power / "a/y", power / "b/y")
    sync_dir(power / "b")
    power.cut("all")
    assert os.listdir(power / "a") == [] and sorted(os.listdir(power / "b")) == ["x", "y"]


def test_all_is_there_where_nothing_is_lost(power):
    put(power / "a", b"a" * 10000, sync=False)
    os.rename(power / "a", power / "b")
    (power / "d").mkdir()
    os.truncate(power / "b", 5000)
    power.cut("none")
    assert (power / "b").read_bytes() == b"a" * 5000 and sorted(os.listdir(power.path)) == ["b", "d"]


# ---- What is not

def unsynced(fd, data):
    os.write(fd, data)


def only_ranges(fd, data):
    os.write(fd, data)
    sync_file_range(fd)


def only_syncfs(fd, data):
    os.write(fd, data)
    assert libc.syncfs(fd) == 0
    os.sync()


@pytest.mark.parametrize("write", [unsynced, only_ranges, only_syncfs], ids=lambda x: x.__name__)
def test_bytes_that_were_not_synced_are_lost(power, write):
    durable(power / "f", b"old")
    with opened(power / "f") as fd:
        write(fd, b"new and longer")
    counts = power.cut("all")
    assert (power / "f").read_bytes() == b"old"
    assert counts["pages_lost"] == 1 and counts["sizes_lost"] == 1


def test_names_are_lost_with_a_synced_file_where_the_directory_was_not(power):
    durable(power / "old", b"old")
    put(power / "new", b"new")
    os.rename(power / "old", power / "moved")
    (power / "d").mkdir()
    sync_dir(power / "d")
    counts = power.cut("all")
    assert os.listdir(power.path) == ["old"] and counts["names_lost"] == 3


def test_a_truncation_that_was_not_synced_brings_the_old_bytes_back(power):
    durable(power / "f", b"o" * 10000)
    with opened(power / "f", os.O_TRUNC) as fd:
        os.write(fd, b"new")
    power.cut("all")
    assert (power / "f").read_bytes() == b"o" * 10000


def test_a_removal_that_was_not_synced_brings_the_file_back(power):
    durable(power / "f", b"f")
    os.unlink(power / "f")
    power.cut("all")
    assert (power / "f").read_bytes() == b"f"


def test_each_state_that_a_disk_may_leave_is_seen(power):
    """Of two pages that were appended and not synced: each lost or not, a size without bytes, bytes torn between sectors."""
    seen = set()
    for seed in range(120):
        durable(power / "f", b"o" * 100)
        with opened(power / "f") as fd:
            os.pwrite(fd, b"a" * (PAGE - 100) + b"b" * PAGE, 100)
        power.cut("some", seed)
        data = (power / "f").read_bytes()
        assert data[:100] == b"o" * 100 and len(data) in (100, PAGE, 2 * PAGE)
        first, second = data[100:PAGE], data[PAGE:]
        assert set(first) <= {0, ord("a")} and set(second) <= {0, ord("b")}
        seen.add((len(data), *("none" if not part.strip(b"\0") else "whole" if b"\0" not in part else "torn" for part in (first, second))))
        if "torn" in (first, second):
            assert (len(data.rstrip(b"\0"))) % 512 == 0
        os.unlink(power / "f")
        sync_dir(power.path)
    assert {(100, "none", "none"), (2 * PAGE, "whole", "none"), (2 * PAGE, "none", "whole"), (2 * PAGE, "whole", "whole"),
            (2 * PAGE, "none", "none"), (PAGE, "whole", "none")} <= seen
    assert any("torn" in state for state in seen)


def test_a_new_file_that_replaces_one_unsynced_may_be_there_without_its_bytes(power):
    """What a program that saves by rename without fsync has to fear."""
    seen = set()
    for seed in range(60):
        durable(power / "f", b"old")
        put(power / "f.new", b"new", sync=False)
        os.rename(power / "f.new", power / "f")
        power.cut("some", seed)
        seen.add((power / "f").read_bytes())
    assert {b"old", b"new", b""} <= seen <= {b"old", b"new", b"", b"\0\0\0"}


def test_changes_of_different_names_survive_in_any_combination_those_of_one_name_in_order(power):
    seen = set()
    for seed in range(100):
        for name in ("a", "b", "c"):
            durable(power / name, name.encode())
        for name in set(os.listdir(power.path)) - {"a", "b", "c"}:
            os.unlink(power / name)
        sync_dir(power.path)
        os.unlink(power / "a")
        os.rename(power / "b", power / "a")
        os.rename(power / "c", power / "d")
        power.cut("some", seed)
        seen.add((tuple(sorted(os.listdir(power.path))), (power / "a").read_bytes() if (power / "a").exists() else None))
    assert seen == {(("a", "b", "c"), b"a"), (("b", "c"), None), (("a", "c"), b"b"), (("a", "b", "d"), b"a"), (("b", "d"), None),
                    (("a", "d"), b"b")}


def test_a_directory_is_not_gone_before_what_was_in_it(power):
    for seed in range(30):
        if not (power / "d").exists():
            (power / "d").mkdir()
        durable(power / "d/f", b"f")
        sync_dir(power.path)
        os.unlink(power / "d/f")
        os.rmdir(power / "d")
        power.cut("some", seed)
        assert os.listdir(power.path) in ([], ["d"])


def test_a_hole_is_punched_or_not(power):
    seen = set()
    for seed in range(30):
        durable(power / "f", b"x" * (3 * PAGE))
        with opened(power / "f") as fd:
            fallocate(fd, PUNCH_HOLE | KEEP_SIZE, PAGE, PAGE)
            assert os.pread(fd, 3 * PAGE, 0) == b"x" * PAGE + b"\0" * PAGE + b"x" * PAGE
            assert os.lseek(fd, 0, os.SEEK_HOLE) == PAGE and os.lseek(fd, PAGE, os.SEEK_DATA) == 2 * PAGE
        power.cut("some", seed)
        data = (power / "f").read_bytes()
        assert data[:PAGE] == data[2 * PAGE:] == b"x" * PAGE
        seen.add(data[PAGE:2 * PAGE].strip(b"\0"))
    assert b"" in seen and b"x" * PAGE in seen


def test_what_is_reserved_is_zeros_and_its_size_not_durable(power):
    with opened(power / "f") as fd:
        os.posix_fallocate(fd, 0, 3 * PAGE)
        os.write(fd, b"x")
        fallocate(fd, KEEP_SIZE, 0, 100 * PAGE)
        assert os.fstat(fd).st_size == 3 * PAGE
    sync_dir(power.path)
    power.cut("all")
    assert (power / "f").read_bytes() == b""


def test_mode_and_times_need_more_than_fdatasync(power):
    durable(power / "f", b"f")
    with opened(power / "f") as fd:
        os.fchmod(fd, 0o600)
        os.utime(fd, (1, 1))
        os.fdatasync(fd)
        power.cut("all")
    assert os.stat(power / "f").st_mode & 0o777 == 0o644 and os.stat(power / "f").st_mtime != 1
    with opened(power / "f") as fd:
        os.fchmod(fd, 0o600)
        os.utime(fd, (1, 1))
        os.fsync(fd)
    power.cut("all")
    assert os.stat(power / "f").st_mode & 0o777 == 0o600 and os.stat(power / "f").st_mtime == 1


# ---- The cut

def test_everything_fails_from_the_cut_on_until_it_is_mounted_again(power):
    durable(power / "f", b"f")
    fd = os.open(power / "f", os.O_RDWR)
    power.arm("all", after=2)
    os.write(fd, b"1")
    os.write(fd, b"2")
    assert errno_of(os.write, fd, b"3") == errno.EIO
    power.lost()
    for call in (lambda: os.fsync(fd), lambda: os.open(power / "other", os.O_RDWR | os.O_CREAT), lambda: os.unlink(power / "f"),
                 lambda: os.listdir(power.path), lambda: os.mkdir(power / "d")):
        assert errno_of(call) == errno.EIO
    power.mount()
    assert errno_of(os.fsync, fd) == errno.ENOTCONN
    os.close(fd)
    assert (power / "f").read_bytes() == b"f"


def test_a_process_goes_with_the_power(power):
    script = Script("f = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)\nprint('go')\nwhile True: os.write(f, b'x'); os.fsync(f)", power / "f")
    script.line()
    power.arm("all", after=50, pids=[script.process.pid])
    power.lost()
    assert script.process.wait(10) == -9
    script.close()


def test_files_have_other_inode_numbers_after_the_cut(power):
    durable(power / "f", b"f")
    before = os.stat(power / "f").st_ino
    power.cut("all")
    assert os.stat(power / "f").st_ino != before


def test_locks_mappings_and_unnamed_files_work(power):
    with opened(power / "f") as one, opened(power / "f") as two:
        fcntl.flock(one, fcntl.LOCK_EX)
        assert errno_of(fcntl.flock, two, fcntl.LOCK_EX | fcntl.LOCK_NB) == errno.EWOULDBLOCK
        os.ftruncate(one, PAGE)
        with mmap.mmap(one, PAGE) as a, mmap.mmap(two, PAGE) as b:
            a[:5] = b"hello"
            assert b[:5] == b"hello"
        os.unlink(power / "f")
        os.write(one, b"still")
        assert os.pread(two, 5, 0) == b"still"
    assert os.listdir(power.path) == []


# ---- That the harness can fail

CAREFUL = """
for n in range(10 ** 6):
    fd = os.open('new', os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.write(fd, (b'%%06d' %% n) * 2000)
    %s
    os.close(fd)
    os.rename('new', 'file')
    %s
    print(n)
"""
WAYS = {
    "careful": ("os.fsync(fd)", "os.fsync(d)"),
    "directory not synced": ("os.fsync(fd)", "pass"),
    "file not synced": ("pass", "os.fsync(d)"),
    "nothing synced": ("pass", "pass"),
    "synced by range": ("import ctypes; ctypes.CDLL(None).sync_file_range(fd, 0, 0, 7)", "os.fsync(d)"),
}


def losses(power, way, rounds):
    """How often a program that replaces a file finds less afterwards than it had told of."""
    lost = 0
    for seed in range(rounds):
        script = Script("os.chdir(sys.argv[1]); d = os.open('.', os.O_RDONLY)\n" + CAREFUL % WAYS[way], power.path)
        script.line()
        power.arm("some", seed, after=20 + 7 * seed, pids=[script.process.pid])
        power.lost()
        told = [0] + [int(line) for line in script.process.stdout.read().split()]
        script.close()
        power.mount()
        data = (power / "file").read_bytes() if (power / "file").exists() else b""
        lost += len(data) != 12000 or data != data[:6] * 2000 or not data[:6].isdigit() or int(data[:6]) < told[-1]
    return lost


@pytest.mark.parametrize("way", WAYS)
def test_a_program_that_forgets_to_sync_is_found_out_and_a_careful_one_loses_nothing(power, way):
    lost = losses(power, way, 12)
    assert lost == 0 if way == "careful" else lost > 0
