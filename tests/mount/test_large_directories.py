"""Directories of very many names: listed by several requests at once, shown as they come, remembered in few bytes."""
import os

import pytest

from support import families

NAMES = 25_000
PAGES = 25


@pytest.fixture
def large(origin, bucket, mount):
    witness = bucket(origin)
    origin.family(witness.name, families.Family("d/f%06d", each=[NAMES], size=100))
    disk = mount(witness, ttl=300, attrs="list")
    origin.reset_counts()
    return disk


def lists(origin):
    return origin.counts()["by_kind"].get("ListObjectsV2", 0)


def test_a_large_directory_is_listed_once_with_few_requests_more_than_pages(origin, large):
    names = os.listdir(large / "d")
    assert sorted(names) == ["f%06d" % i for i in range(NAMES)]
    asked = lists(origin)
    assert PAGES <= asked <= PAGES * 3 // 2
    assert os.listdir(large / "d") == names
    assert lists(origin) == asked


def test_what_is_listed_is_looked_up_without_a_request(origin, large):
    with os.scandir(large / "d") as entries:
        assert sum(entry.stat().st_size == 100 and entry.is_file() for entry in entries) == NAMES
    asked = lists(origin)
    for i in (0, 9_999, 10_000, 20_001, NAMES - 1):
        assert os.stat(large / ("d/f%06d" % i)).st_size == 100
    assert not os.path.exists(large / "d/f0000000")
    assert lists(origin) == asked
    assert list(origin.counts()["by_kind"]) == ["ListObjectsV2"]


def test_the_first_names_are_shown_while_the_others_hang(origin, large):
    os.stat(large / "d")
    origin.fault("hang", kind="ListObjectsV2", skip=1, count=-1)
    try:
        with os.scandir(large / "d") as entries:
            assert [next(entries).name for i in range(100)] == ["f%06d" % i for i in range(100)]
    finally:
        origin.heal()


def test_an_error_in_the_middle_is_no_end(origin, bucket, mount):
    witness = bucket(origin)
    origin.family(witness.name, families.Family("d/f%06d", each=[5_000], size=100))
    disk = mount(witness, ttl=300, attrs="list")
    origin.fault({"status": 403, "code": "AccessDenied"}, kind="ListObjectsV2", key="*/d/", skip=2, count=1)
    with pytest.raises(PermissionError):
        os.listdir(disk / "d")
    assert len(os.listdir(disk / "d")) == 5_000


def test_a_server_that_cannot_begin_at_a_key_is_listed_page_by_page(origin, bucket, mount):
    witness = bucket(origin)
    origin.family(witness.name, families.Family("d/f%06d", each=[NAMES], size=100))
    disk = mount(witness, ttl=300, attrs="list")
    origin.settings(ignore=["start-after"])
    try:
        origin.reset_counts()
        assert sorted(os.listdir(disk / "d")) == ["f%06d" % i for i in range(NAMES)]
        assert lists(origin) <= PAGES + 3
    finally:
        origin.settings(ignore=[])
