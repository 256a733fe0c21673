"""Read-ahead across the files of a directory, counted by the server."""
import concurrent.futures
import os

import pytest

from support.work import pattern, wait_until

DIRS = 20


def key(i):
    return "small/d%02d/f%05d" % (i % DIRS, i)


def body(i):
    return pattern(4096, seed=i)


@pytest.fixture
def small(origin, bucket, mount):
    """small(n, option=...): a mount with n files of 4 KiB, file i in directory i mod 20, of which nothing is known yet; 10 ms a GET."""
    def make(n, **options):
        witness = bucket(origin)
        witness.put_many({key(i): body(i) for i in range(n)})
        disk = mount(witness, **options)
        origin.fault({"delay_ms": 10}, kind="GetObject")
        origin.reset_counts()
        return disk
    return make


def check(disk, i):
    assert (disk / key(i)).read_bytes() == body(i), key(i)


def ahead(disk):
    status = disk.status()
    return {k: v for k, v in status["files"].items() if k.startswith("files_ahead")}


def test_files_of_several_directories_in_turn_are_asked_for_once_each_and_before_they_are_read(origin, small):
    disk = small(400)
    for i in range(400):
        check(disk, i)
    requests = origin.requests()
    assert requests["GetObject"] == 400
    # The first two of each directory are read before anything is known of the reader, but for the last ones of the second round.
    n = ahead(disk)
    assert n["files_ahead_used"] == n["files_ahead"] >= 400 - 2 * DIRS and n["files_ahead_unused"] == 0


def test_a_reader_that_stops_leaves_little_behind(origin, small):
    disk = small(800)
    for i in range(400):
        check(disk, i)
    # With so much between two files of a directory, one file ahead of the reader is in time.
    assert origin.requests()["GetObject"] <= 400 + 2 * DIRS


def test_sixteen_readers_ask_for_each_file_once(origin, small):
    disk = small(1000)
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda part: [check(disk, i) for i in range(part, 1000, 16)], range(16)))
    assert origin.requests()["GetObject"] == 1000


def test_readers_of_a_part_each_ask_for_each_file_once(origin, small):
    disk = small(800)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda part: [check(disk, i) for i in range(part * 100, part * 100 + 100)], range(8)))
    assert origin.requests()["GetObject"] == 800


def test_one_directory_is_read_in_parallel(origin, bucket, mount):
    witness = bucket(origin)
    witness.put_many({"d/%04d" % i: body(i) for i in range(300)})
    disk = mount(witness)
    names = sorted(os.listdir(disk / "d"))
    origin.fault({"delay_ms": 20}, kind="GetObject")
    origin.reset_counts()
    for i, name in enumerate(names):
        assert (disk / "d" / name).read_bytes() == body(i)
    counts = origin.counts()
    assert origin.requests() == {"GetObject": 300}
    assert counts["max_parallel"] >= 8


def test_a_shuffled_reader_wastes_little(origin, small, rng):
    disk = small(1000)
    order = list(range(1000))
    rng.shuffle(order)
    for i in order[:300]:
        check(disk, i)
    n = ahead(disk)
    wasted = n["files_ahead"] - n["files_ahead_used"]
    assert wasted <= 40 + n["files_ahead_used"]
    assert origin.requests()["GetObject"] == 300 + wasted


def test_what_nobody_reads_is_given_up_and_counted(origin, small):
    disk = small(200, cache="none")
    for i in range(3 * DIRS + 1):
        check(disk, i)

    def all_given_up():
        n = ahead(disk)
        return n["files_ahead_unused"] == n["files_ahead"] - n["files_ahead_used"]
    n = ahead(disk)
    assert 1 <= n["files_ahead"] - n["files_ahead_used"] <= DIRS - 1  # of the round that he has begun
    wait_until(all_given_up)
    assert ahead(disk)["files_ahead_unused"] > 0
    before = origin.requests()
    check(disk, 3 * DIRS + 1)  # it is fetched again, and what is left of the round may be
    assert 1 <= origin.requests()["GetObject"] - before["GetObject"] <= DIRS - 1


def test_a_file_that_others_replace_after_it_was_fetched_ahead_is_read_anew(origin, bucket, mount):
    witness = bucket(origin)
    witness.put_many({"d/%d" % i: b"old" for i in range(8)})
    disk = mount(witness, ttl=0)
    for i in range(2):
        assert (disk / "d" / str(i)).read_bytes() == b"old"
    wait_until(lambda: ahead(disk)["files_ahead"] == 1)
    witness.put("d/2", b"a new version")
    assert (disk / "d" / "2").read_bytes() == b"a new version"


def test_a_tree_is_read_right_with_little_memory(origin, bucket, mount):
    witness = bucket(origin)
    bodies = {"d/%03d" % i: pattern(300_000 + i, seed=i) for i in range(40)}
    witness.put_many(bodies)
    disk = mount(witness, memory="16M")
    for name, data in sorted(bodies.items()):
        assert (disk / name).read_bytes() == data
    assert origin.requests()["GetObject"] <= 40 * 3
