"""Whatever happens to the cache's files under a running mount, or to an object while it is fetched: right bytes, and a line in the log."""
import os
import signal
import subprocess

import pytest

from support.caches import MIB, assert_holds, gets, idle, read
from support.work import pattern, wait_until

BODIES = {"large": pattern(5 * MIB + 77, 1), "other": pattern(5 * MIB + 77, 2), "medium": pattern(300_000, 3), "small": pattern(4096, 4)}


def contents(disk):
    return sorted((p for p in (disk.cache / "content").rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)


@pytest.fixture
def filled(cached):
    """A mount with all files whole in its cache; they were opened, so that the daemon and the kernel know them."""
    def make(**options):
        disk = cached(BODIES, reads=2, **options)
        assert len(contents(disk)) == 3
        return disk
    return make


def flip(disk):
    for file in contents(disk):
        with open(file, "r+b") as f:
            f.seek(200_000)
            byte = f.read(1)
            f.seek(200_000)
            f.write(bytes([byte[0] ^ 16]))


def truncate(disk):
    for file in contents(disk):
        os.truncate(file, 1000)


def empty_and_grow(disk):
    for file in contents(disk):
        size = file.stat().st_size
        os.truncate(file, 0)
        os.truncate(file, size)


def delete(disk):
    for file in contents(disk):
        file.unlink()


def replace(disk):
    for file in contents(disk):
        copy = file.with_suffix(".new")
        copy.write_bytes(os.urandom(file.stat().st_size))
        copy.rename(file)


def swap(disk):
    _, one, two = contents(disk)
    moved = one.with_suffix(".moved")
    one.rename(moved)
    two.rename(one)
    moved.rename(two)


@pytest.mark.parametrize("damage", [flip, truncate, empty_and_grow, delete, replace, swap])
def test_damage_under_a_running_mount_never_reaches_a_reader(origin, filled, damage):
    disk = filled()
    damage(disk)
    assert_holds(disk, BODIES)
    idle(disk)
    assert_holds(disk, BODIES)
    disk.remount()
    assert_holds(disk, BODIES)
    idle(disk)
    assert damage in (swap, delete, replace) or "fetched again" in disk.log()
    fetched = gets(origin)
    disk.remount()
    assert_holds(disk, BODIES)
    assert gets(origin) == fetched
    assert disk.status()["cache"]["bad"] == 0


def test_what_is_damaged_while_it_is_passed_through_is_right_for_who_opens_it_next(origin, filled):
    disk = filled()
    with open(disk / "large", "rb") as held:
        assert held.read(MIB) == BODIES["large"][:MIB]
        flip(disk)
        assert read(disk / "large") == BODIES["large"]
        assert disk.status()["cache"]["bad"] >= 1
        assert gets(origin) >= 1
    idle(disk)
    assert read(disk / "large") == BODIES["large"]


def test_damage_found_under_one_key_is_right_under_every_other(origin, bucket, mount):
    witness = bucket(origin)
    for key in "abc":
        witness.put(key, BODIES["large"])
    disk = mount(witness)
    for _ in range(2):
        for key in "abc":
            assert (disk / key).read_bytes() == BODIES["large"]
        idle(disk)
    assert len(contents(disk)) == 1
    flip(disk)
    with open(disk / "c", "rb"):
        for key in "abc":
            assert read(disk / key) == BODIES["large"]
    idle(disk)
    assert disk.status()["cache"]["bad"] >= 1
    disk.remount()
    origin.reset_counts()
    for key in "abc":
        assert read(disk / key) == BODIES["large"]
    assert gets(origin) == 0
    assert disk.status()["cache"]["bad"] == 0


def test_a_stopped_process_that_holds_the_index_delays_nobody(origin, filled, mount):
    """The other mount holds the lock of the index when it is stopped: nothing is stored, nothing fails."""
    disk = filled()
    holder = subprocess.Popen(["python3", "-c", "import sqlite3, sys, time\nc = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
                               "c.execute('BEGIN IMMEDIATE')\nprint('held', flush=True)\ntime.sleep(1000)", disk.cache / "index.db"],
                              stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout.readline() == "held\n"
        holder.send_signal(signal.SIGSTOP)
        assert_holds(disk, BODIES)
        disk.bucket.put("new", BODIES["medium"][::-1])
        (disk / "written").write_bytes(BODIES["medium"][1:])
        wait_until(lambda: (disk / "new").exists())
        assert read(disk / "new") == BODIES["medium"][::-1]
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()
    idle(disk)
    assert_holds(disk, BODIES)
    assert read(disk / "written") == BODIES["medium"][1:]


def test_a_directory_of_somebody_else_is_refused_by_name(origin, bucket, mount, tmp_path):
    disk = mount(bucket(origin))
    disk.umount()
    (tmp_path / "foreign").mkdir(mode=0o700)
    os.chown(tmp_path / "foreign", 12345, 12345)
    disk.options["cache"] = tmp_path / "foreign"
    with pytest.raises(Exception, match="option cache: .*foreign"):
        disk.start()


def test_an_object_that_changes_while_it_is_fetched_is_cached_as_neither(origin, bucket, mount):
    """The first half is of one version, the rest of another: no reader gets both, and no version has them in the cache."""
    old, new = pattern(40 * MIB, 7), pattern(40 * MIB, 8)
    witness = bucket(origin)
    witness.put("f", old)
    disk = mount(witness, ttl="0", passthrough="off")
    with open(disk / "f", "rb", buffering=0) as f:
        assert f.read(MIB) == old[:MIB]
        witness.put("f", new)
        with pytest.raises(OSError, match="[Ss]tale"):
            at = MIB
            while at < len(old):
                part = os.pread(f.fileno(), MIB, at)
                assert part == old[at:at + len(part)]
                at += len(part)
    assert read(disk / "f") == new
    idle(disk)
    witness.put("f", old)
    assert read(disk / "f") == old
    idle(disk)
    disk.remount()
    assert read(disk / "f") == old
    witness.put("f", new)
    assert read(disk / "f") == new
    assert disk.status()["cache"]["bad"] == 0
