"""Lookups and walks by listings without delimiter, counted by the server on trees that it computes."""
import concurrent.futures
import os

import pytest

from support.families import Family
from support.work import run, wait_until

LATENCY_MS = 10


@pytest.fixture
def tree(origin, bucket, mount):
    """make(name, each): a mount of a bucket with files of 4 KiB of these names, its connections warm, 10 ms a request. What is listed
    stays so for as long as a test takes."""
    def make(name, each, **options):
        witness = bucket(origin)
        origin.family(witness.name, Family(name, each, 4096))
        witness.put_many({"warm/w%02d" % i: b"x" for i in range(16)})
        disk = mount(witness, **{"ttl": 600, **options})
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            list(pool.map(lambda i: (disk / "warm" / ("w%02d" % i)).read_bytes(), range(16)))
        origin.network(latency_ms=LATENCY_MS)
        origin.reset_counts()
        return disk
    yield make
    origin.clear_network()


def key(i):
    return "small/d%02d/f%05d" % (i % 20, i // 20)


def read(disk, i):
    assert len((disk / key(i)).read_bytes()) == 4096


def test_files_of_twenty_directories_in_turn_are_two_listings_and_no_head(origin, tree):
    disk = tree("small/d%02d/f%05d", [20, 20])
    for i in range(400):
        read(disk, i)
    assert origin.requests() == {"GetObject": 400, "ListObjectsV2": 1}


def test_who_reads_a_fifth_of_each_directory_wastes_little(origin, tree):
    disk = tree("small/d%02d/f%05d", [20, 100])
    for i in range(400):
        read(disk, i)
    requests = origin.requests()
    # What was ahead of the reader when it stopped: a few files of each directory, more where the machine is slow.
    assert requests.pop("GetObject") <= 400 + 20 * 8
    assert requests == {"ListObjectsV2": 2}


def test_two_thousand_files_by_sixteen_readers_are_at_most_a_listing_a_directory(origin, tree):
    disk = tree("small/d%02d/f%05d", [20, 100])
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda part: [read(disk, i) for i in range(part, 2000, 16)], range(16)))
    requests = origin.requests()
    assert requests["GetObject"] == 2000
    assert sum(requests.values()) <= 2021


def test_find_over_10000_files_in_110_directories_is_fourteen_requests(origin, tree):
    disk = tree("tree/a%02d/b%02d/f%04d", [10, 11, 91], ttl=60)
    found = run("find", disk / "tree", "-size", "+3k", "-type", "f")
    assert len(found.splitlines()) == 10 * 11 * 91
    requests = origin.requests()
    assert requests.get("HeadObject", 0) <= 2
    assert sum(requests.values()) <= 14
    origin.reset_counts()
    run("du", "-s", disk / "tree")
    assert origin.requests() == {}


@pytest.mark.parametrize("program", [("sh", "-c", "grep -r nowhere $0; true"), ("cp", "-r")])
def test_who_reads_a_tree_asks_for_each_file_once_and_lists_a_page_at_a_time(origin, tree, tmp_path, program):
    disk = tree("tree/a%02d/b%02d/f%04d", [3, 5, 60], ttl=60)
    with_target = [tmp_path / "copy"] if program[0] == "cp" else []
    run(*program, disk / "tree", *with_target)
    requests = origin.requests()
    assert requests.pop("GetObject") == 900
    assert requests.pop("HeadObject", 0) <= 2
    assert requests.pop("ListObjectsV2") <= 3
    assert requests == {}


def test_walkers_find_what_a_listing_with_delimiter_finds(origin, tree):
    disk = tree("tree/a%02d/b%02d/f%04d", [5, 7, 60], ttl=60)
    origin.clear_network()
    with concurrent.futures.ThreadPoolExecutor(5) as pool:
        parts = list(pool.map(lambda a: run("find", disk / "tree" / ("a%02d" % a), "-type", "f").splitlines(), range(5)))
    expected = [str(disk / "tree" / ("a%02d" % a) / ("b%02d" % b) / ("f%04d" % f)) for a in range(5) for b in range(7) for f in range(60)]
    assert sorted(sum(parts, [])) == expected


def test_ls_of_a_directory_of_a_tree_is_two_listings_and_a_look_at_two_of_its_directories(origin, tree):
    disk = tree("tree/a%02d/b%02d/f%04d", [10, 11, 91])
    assert len(os.listdir(disk / "tree")) == 10
    requests = origin.requests()
    assert requests.pop("HeadObject", 0) <= 2
    assert requests == {"ListObjectsV2": 2}


def test_stat_of_a_name_in_the_root_is_one_listing_and_one_head_at_most(origin, bucket, mount):
    witness = bucket(origin)
    origin.family(witness.name, Family("n%06d", [3000], 4096))
    disk = mount(witness)
    assert not (disk / "zz-absent").exists()
    origin.reset_counts()
    os.stat(disk / "n001500")
    requests = origin.requests()
    assert requests.pop("ListObjectsV2") == 1
    assert requests in ({}, {"HeadObject": 1})
    os.stat(disk / "n001600")
    assert origin.requests()["ListObjectsV2"] == 1


def test_stat_by_a_path_of_which_nothing_is_known_takes_two_round_trips(origin, bucket, mount):
    witness = bucket(origin)
    origin.family(witness.name, Family("m/a/b/n%06d", [3000], 4096))
    disk = mount(witness, ttl=600)
    assert not (disk / "zz-absent").exists()
    origin.fault({"hang": True}, kind="HeadObject", key="*/m/a/b/n001500", count=1)
    origin.reset_counts()
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        found = pool.submit(os.stat, disk / "m/a/b/n001500")
        wait_until(lambda: origin.requests().get("ListObjectsV2") == 2)  # it is not behind the HEAD
        origin.release()
        assert found.result().st_size == 4096
    requests = origin.requests()
    assert requests.pop("ListObjectsV2") == 2
    assert requests == {"HeadObject": 2}  # the first one is beside the listing of the root


def test_a_policy_that_allows_listings_with_a_delimiter_only_is_enough(origin, bucket, mount):
    witness = bucket(origin)
    witness.put_many({"d/e/f%d" % i: b"x" for i in range(5)})
    disk = mount(witness)
    origin.fault({"status": 403, "code": "AccessDenied"}, kind="ListObjectsV2", count=1)
    assert (disk / "d" / "e" / "f3").read_bytes() == b"x"
    assert run("find", disk / "d", "-type", "f").count("\n") == 5


def test_a_file_is_found_before_all_of_its_page_has_come(origin, bucket, mount):
    witness = bucket(origin)
    origin.family(witness.name, Family("n%06d", [3000], 4096))
    disk = mount(witness, ttl=60)
    origin.fault({"stall_after": 60000}, kind="ListObjectsV2", count=1)
    origin.reset_counts()
    assert os.stat(disk / "n001500").st_size == 4096
    assert origin.requests() == {"ListObjectsV2": 1, "HeadObject": 1}
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        beside = pool.submit(os.stat, disk / "n001501")
        origin.release()
        assert beside.result().st_size == 4096
    assert not (disk / "n0015005").exists()


def test_a_page_that_breaks_off_behind_what_was_wanted_is_asked_for_again(origin, bucket, mount):
    witness = bucket(origin)
    origin.family(witness.name, Family("n%06d", [3000], 4096))
    disk = mount(witness, ttl=60)
    origin.fault({"cut_after": 60000}, kind="ListObjectsV2", count=1)
    origin.reset_counts()
    assert os.stat(disk / "n001500").st_size == 4096
    assert os.stat(disk / "n002400").st_size == 4096
    assert not (disk / "n0015005").exists()
    assert origin.requests()["ListObjectsV2"] <= 3
