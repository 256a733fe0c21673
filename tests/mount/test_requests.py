"""Requests are money and time: what each operation may send, counted by the server."""
import errno
import os
import time

import pytest

from support.work import errno_of, pattern, run, wait_until


@pytest.fixture
def counted(origin, bucket, mount):
    """make(objects, option=...): a mount of a bucket with these objects, its counts at zero."""
    def make(objects=(), **options):
        witness = bucket(origin)
        for key, body in dict(objects).items():
            witness.put(key, body)
        disk = mount(witness, **{"ttl": 60, **options})
        os.listdir(disk.path)
        origin.reset_counts()
        return disk
    return make


def test_a_new_small_file_is_one_put(origin, counted):
    disk = counted()
    (disk / "f").write_bytes(b"hello")
    disk.umount()
    assert origin.requests() == {"PutObject": 1}


def test_ten_new_small_files_are_ten_puts(origin, counted):
    disk = counted()
    for i in range(10):
        (disk / str(i)).write_bytes(b"hello")
    disk.umount()
    assert origin.requests() == {"PutObject": 10}


def test_a_small_file_whose_directory_was_just_listed_is_read_with_one_get(origin, counted):
    disk = counted({"f": b"hello"})
    assert (disk / "f").read_bytes() == b"hello"
    assert origin.requests() == {"GetObject": 1}
    assert (disk / "f").read_bytes() == b"hello"
    assert origin.requests() == {"GetObject": 1}


def test_a_name_that_the_last_listing_denies_costs_nothing(origin, counted):
    disk = counted({"f": b"hello"})
    for name in ("none", "a", "z", "f0"):
        assert not (disk / name).exists()
    assert origin.requests() == {}


def test_ls_l_of_2500_files_at_the_root_is_3_lists_and_at_most_2_heads(origin, bucket, mount):
    witness = bucket(origin)
    witness.put_many({"f%04d" % i: b"x" for i in range(2500)})
    disk = mount(witness)
    origin.reset_counts()
    assert len(run("ls", "-l", disk.path).splitlines()) == 2501
    requests = origin.requests()
    assert requests.pop("HeadObject", 0) <= 2
    assert requests == {"ListObjectsV2": 3}


def test_a_file_named_100_percent_has_that_key(origin, counted):
    disk = counted()
    (disk / "100%").write_bytes(b"all")
    assert disk.bucket.keys() == ["100%"]
    assert origin.counts()["by_key"][disk.bucket.name + "/100%"] == {"PutObject": 1}


def test_a_lookup_that_nothing_answers_is_one_list_that_brings_the_neighbours_too(origin, bucket, mount):
    witness = bucket(origin)
    for i in range(50):
        witness.put("d/f%02d" % i, b"x")
    disk = mount(witness)
    origin.reset_counts()
    assert os.stat(disk / "d" / "f20").st_size == 1
    first = origin.requests()
    assert first.get("ListObjectsV2", 0) <= 2 and first.get("HeadObject", 0) <= 2
    os.stat(disk / "d" / "f21")
    assert origin.requests() == first


def test_many_new_files_in_one_directory_are_one_list_a_ttl_and_a_put_each(origin, counted):
    disk = counted({"d/%d" % i: b"x" for i in range(20)}, ttl=2)
    os.listdir(disk / "d")
    time.sleep(2.2)
    origin.reset_counts()
    start = time.monotonic()
    for i in range(60):
        (disk / "d" / ("new%d" % i)).write_bytes(b"hello")
    periods = int((time.monotonic() - start) / 2) + 1
    requests = origin.requests()
    # The directory's own name is asked for in its parent too.
    assert requests.pop("ListObjectsV2") <= 2 * periods
    assert requests == {"PutObject": 60}


def test_stat_of_what_is_within_ttl_costs_nothing(origin, counted):
    disk = counted({"f": b"x"})
    for _ in range(20):
        os.stat(disk / "f")
    assert origin.requests() == {}


def test_an_overwrite_of_a_listed_object_sends_one_head_and_one_put(origin, counted):
    disk = counted({"f": b"x", "g": b"x"})
    (disk / "f").write_bytes(b"changed")
    requests = origin.requests()
    assert requests.pop("HeadObject", 0) <= 1
    # Whether the bucket has ACLs at all is asked once.
    assert requests.pop("GetBucketOwnershipControls", 0) <= 1
    assert requests == {"PutObject": 1}
    origin.reset_counts()
    (disk / "g").write_bytes(b"changed")
    disk.umount()
    requests = origin.requests()
    assert requests.pop("HeadObject", 0) <= 1
    assert requests == {"PutObject": 1}


def test_chmod_after_a_write_is_merged_with_its_put_while_the_file_is_open(origin, counted):
    disk = counted()
    with open(disk / "f", "wb") as f:
        f.write(b"x")
        os.fchmod(f.fileno(), 0o600)
        os.utime(f.fileno(), (1, 1))
    disk.umount()
    assert origin.requests() == {"PutObject": 1}


def test_chmod_chown_and_touch_of_a_closed_file_are_one_copy(origin, counted):
    disk = counted()
    (disk / "f").write_bytes(b"x")
    origin.reset_counts()
    (disk / "f").chmod(0o600)
    os.utime(disk / "f", (1, 1))
    os.chown(disk / "f", 1, 1)
    disk.umount()
    assert origin.requests() == {"CopyObject": 1}


def test_a_rename_is_one_copy_and_one_delete(origin, counted):
    disk = counted()
    (disk / "a").write_bytes(b"x")
    origin.reset_counts()
    os.rename(disk / "a", disk / "b")
    requests = origin.requests()
    assert requests.pop("CopyObject") == 1
    assert sum(requests.values()) == 1 and set(requests) <= {"DeleteObject", "DeleteObjects"}


def test_an_unlink_is_one_delete(origin, counted):
    disk = counted({"f": b"x", "g": b"x"})
    (disk / "f").unlink()
    assert origin.requests() == {"DeleteObject": 1}


def test_rm_of_a_large_file_that_is_open_fetches_nothing(origin, bucket, mount):
    witness = bucket(origin)
    origin.synthetic(bucket=witness.name, key="big", size=1 << 30, seed=1)
    disk = mount(witness)
    fd = os.open(disk / "big", os.O_RDONLY)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)
    head = os.pread(fd, 4096, 0)
    origin.reset_counts()
    (disk / "big").unlink()
    assert origin.requests() == {"DeleteObject": 1}
    assert os.pread(fd, 4096, 0) == head
    assert errno_of(os.pread, fd, 4096, 900 << 20) == errno.ESTALE
    os.close(fd)


def test_rm_of_a_small_file_that_is_open_fetches_what_was_not_read_once(origin, bucket, mount):
    witness = bucket(origin)
    data = pattern(3 << 20)
    witness.put("f", data)
    disk = mount(witness)
    fd = os.open(disk / "f", os.O_RDONLY)
    origin.reset_counts()
    (disk / "f").unlink()
    counts = origin.counts()
    assert counts["bytes_out"] < len(data) * 1.1
    assert witness.keys() == []
    assert os.pread(fd, 4 << 20, 0) == data
    os.close(fd)


def test_a_random_read_of_4_kib_fetches_at_most_128_kib(origin, bucket, mount, rng):
    witness = bucket(origin)
    origin.synthetic(bucket=witness.name, key="big", size=256 << 20, seed=1)
    disk = mount(witness)
    fd = os.open(disk / "big", os.O_RDONLY)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)
    os.pread(fd, 4096, 200 << 20)
    time.sleep(0.5)
    before = origin.counts()["bytes_out"]
    for i in range(20):
        os.pread(fd, 4096, rng.randrange(0, 200 << 20, 4 << 20))
    time.sleep(0.5)
    os.close(fd)
    assert origin.counts()["bytes_out"] - before <= 20 * (128 << 10) + 100_000


def test_a_sequential_read_is_fetched_once_and_in_parallel(origin, bucket, mount):
    witness = bucket(origin)
    origin.synthetic(bucket=witness.name, key="big", size=128 << 20, seed=1)
    origin.fault({"delay_ms": 20}, kind="GetObject")
    disk = mount(witness)
    origin.reset_counts()
    run("dd", "if=%s" % (disk / "big"), "of=/dev/null", "bs=1M")
    counts = origin.counts()
    assert counts["bytes_out"] < (128 << 20) * 1.1
    assert counts["max_parallel"] >= 2


def test_connections_are_reused(origin, counted):
    disk = counted()
    for i in range(50):
        (disk / str(i)).write_bytes(b"x")
    assert origin.counts()["connections"] <= 8


def test_rm_r_deletes_in_few_requests_or_one_each_but_never_asks_before(origin, counted):
    disk = counted({"d/%d" % i: b"x" for i in range(20)})
    os.listdir(disk / "d")
    origin.reset_counts()
    for name in os.listdir(disk / "d"):
        (disk / "d" / name).unlink()
    requests = origin.requests()
    assert set(requests) <= {"DeleteObject", "DeleteObjects", "PutObject"} and requests.get("PutObject", 0) <= 1


def test_find_over_a_tree_of_a_hundred_directories_needs_no_head(origin, bucket, mount):
    witness = bucket(origin)
    for i in range(100):
        witness.put("t/d%02d/f" % i, b"x")
    disk = mount(witness)
    origin.reset_counts()
    assert len(run("find", disk / "t").splitlines()) == 201
    requests = origin.requests()
    # Two children of each directory may be sampled for POSIX metadata.
    assert requests.get("ListObjectsV2", 0) <= 105


def test_an_idle_mount_sends_nothing(origin, counted):
    counted({"f": b"x"}, ttl=1)
    time.sleep(4)
    assert origin.requests() == {}


def test_the_daemon_waits_for_what_is_due_after_umount_and_sends_it_once(origin, counted):
    disk = counted()
    (disk / "f").write_bytes(b"x")
    (disk / "f").chmod(0o600)
    disk.umount()
    wait_until(lambda: origin.requests().get("PutObject") == 1)
    assert origin.requests() in ({"PutObject": 1, "CopyObject": 1}, {"PutObject": 2})
