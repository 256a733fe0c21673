"""Listings that outlive a mount: within `ttl` the next one asks for nothing, unless something was changed from this machine."""
import os
import sqlite3
import time

import pytest

from support.caches import idle
from support.work import wait_until
from test_cache_commands import command

LONG = 600  # seconds: no test takes so long


def tree(top):
    """All names, as os.walk() finds them."""
    return sorted(os.path.relpath(os.path.join(folder, name), top) for folder, folders, files in os.walk(top)
                  for name in folders + files)


def lists(origin):
    return origin.requests().get("ListObjectsV2", 0)


def again(disk, how):
    """A new mount, as soon as what is to be kept is kept."""
    if how == "kill":
        idle(disk)
        disk.kill9()
        disk.start()
    else:
        disk.remount()


@pytest.fixture
def filled(origin, bucket, mount):
    """filled(option=value, ...): a mount of which every directory was listed; it is not said when others change something."""
    def make(**options):
        witness = bucket(origin)
        witness.put_many({"d%d/%s" % (d, name): b"x" for d in range(3) for name in ("a", "b", "sub/c")})
        witness.put("top", b"x")
        disk = mount(witness, **{"ttl": LONG, **options})
        disk.keeps_listings = True
        disk.names = tree(disk.path)
        assert len(disk.names) == 16
        return disk
    return make


@pytest.mark.parametrize("how", ["umount", "kill"])
def test_within_ttl_the_next_mount_lists_nothing(origin, filled, how):
    disk = filled()
    again(disk, how)
    origin.reset_counts()
    assert tree(disk.path) == disk.names
    assert not (disk / "d1" / "absent").exists()
    assert (disk / "d1" / "sub" / "c").stat().st_size == 1
    assert origin.requests() == {}


@pytest.mark.parametrize("how", ["umount", "kill"])
def test_2000_small_files_are_read_again_without_a_request(origin, bucket, mount, how):
    witness = bucket(origin)
    files = {"d%02d/f%02d" % (d, f): b"%d %d" % (d, f) for d in range(20) for f in range(100)}
    witness.put_many(files)
    disk = mount(witness, ttl=LONG)
    disk.keeps_listings = True

    def read_all():
        return {os.path.join(os.path.relpath(folder, disk.path), name): open(os.path.join(folder, name), "rb").read()
                for folder, _, names in os.walk(disk.path) for name in names}
    assert read_all() == files
    again(disk, how)
    origin.reset_counts()
    assert read_all() == files
    assert origin.requests() == {}


def test_a_large_directory_is_not_listed_again(origin, bucket, mount):
    witness = bucket(origin)
    names = ["n%05d" % i for i in range(7000)]
    witness.put_many(dict.fromkeys(names, b""))
    disk = mount(witness, ttl=LONG)
    disk.keeps_listings = True
    assert sorted(os.listdir(disk.path)) == names
    again(disk, "kill")
    origin.reset_counts()
    assert sorted(os.listdir(disk.path)) == names
    assert not (disk / "n").exists() and (disk / names[-1]).stat().st_size == 0
    assert lists(origin) == 0


def test_past_ttl_it_is_listed_again_and_shows_what_others_changed(origin, filled):
    disk = filled(ttl=2)
    disk.umount()
    disk.bucket.put("d0/new", b"x")
    disk.bucket.delete("d1/a")
    time.sleep(2)
    origin.reset_counts()
    disk.start()
    assert tree(disk.path) == sorted(set(disk.names) - {"d1/a"} | {"d0/new"})
    counts = origin.requests()
    assert 1 <= counts.pop("ListObjectsV2") <= 7
    assert set(counts) <= {"HeadObject"}  # a sample of what is new


def test_within_ttl_what_others_changed_shows_after_it(origin, filled):
    disk = filled(ttl=5)
    disk.umount()
    disk.bucket.put("d0/new", b"x")
    disk.start()
    wait_until(lambda: (disk / "d0" / "new").exists())


@pytest.mark.parametrize("options", [{"ttl": 0}, {"cache": "none"}])
def test_without_ttl_or_cache_everything_is_listed_again(origin, filled, options):
    disk = filled(**options)
    disk.remount()
    origin.reset_counts()
    assert tree(disk.path) == disk.names
    assert lists(origin) >= 1


def test_what_was_kept_is_not_used_with_ttl_0(origin, filled):
    disk = filled()
    disk.remount(ttl=0)
    disk.bucket.put("d0/new", b"x")
    assert (disk / "d0" / "new").exists()


CHANGES = {
    "create": lambda d: (d / "new").write_text("x"),
    "overwrite": lambda d: (d / "a").write_text("longer"),
    "append": lambda d: open(d / "a", "a").write("longer") and None,
    "remove": lambda d: (d / "a").unlink(),
    "rename": lambda d: (d / "a").rename(d / "renamed"),
    "rename away": lambda d: (d / "a").rename(d.parent / "renamed"),
    "rename over": lambda d: (d / "a").rename(d / "b"),
    "rename a directory": lambda d: (d / "sub").rename(d / "other"),
    "mkdir": lambda d: (d / "made").mkdir(),
    "mkdir and create": lambda d: ((d / "made").mkdir(), (d / "made" / "f").write_text("x")),
    "remove a directory": lambda d: ((d / "sub" / "c").unlink(), (d / "sub").rmdir()),
    "symlink and fsync": lambda d: (os.symlink("a", d / "link"), flush(d / "link")),
}


def flush(path):
    fd = os.open(path.parent, os.O_RDONLY)
    os.fsync(fd)
    os.close(fd)


def shown(disk):
    return [(name, os.lstat(disk / name).st_size if not (disk / name).is_dir() else None) for name in tree(disk.path)]


@pytest.mark.parametrize("write", ["through", "back"])
@pytest.mark.parametrize("change", CHANGES)
def test_what_a_mount_has_changed_is_there_after_it_was_killed(filled, change, write):
    disk = filled(write=write)
    CHANGES[change](disk / "d1")
    now = shown(disk)
    assert [name for name, _ in now] != disk.names or change in ("overwrite", "append")
    disk.kill9()
    disk.start()
    assert shown(disk) == now


@pytest.fixture
def second(mount):
    """second(disk, option=value, ...): another mount with the same cache, beside it."""
    def make(disk, **options):
        other = mount(disk.bucket, **{**disk.options, **{"state": None, "log": disk.directory / "second.log"}, **options})
        other.keeps_listings = True
        return other
    return make


def test_another_mount_with_the_same_cache_lists_nothing_either(origin, filled, second):
    disk = filled()
    other = second(disk, state=disk.directory / "second")
    origin.reset_counts()
    assert tree(other.path) == disk.names
    assert lists(origin) == 0


@pytest.mark.parametrize("change", ["create", "remove", "mkdir", "rename a directory"])
def test_what_another_mount_has_changed_is_not_missing_from_what_was_kept(filled, second, change):
    disk = filled()
    other = second(disk, state=disk.directory / "second")
    CHANGES[change](other / "d1")
    now = shown(other)
    again(disk, "kill")
    assert shown(disk) == now


def test_what_is_not_sent_yet_is_in_no_listing_that_is_kept(origin, filled, second):
    disk = filled(write="back")
    origin.fault({"status": 503, "code": "SlowDown"}, kind="PutObject")
    (disk / "d1" / "unsent").write_text("x")
    assert (disk / "d1" / "unsent").exists()
    disk.kill9()
    other = second(disk, state=disk.directory / "second", write="through")
    assert tree(other.path) == disk.names  # another mount knows nothing of it, and says nothing of it
    other.umount()
    origin.heal()
    disk.start()
    assert tree(disk.path) == sorted(disk.names + ["d1/unsent"])


def test_who_asks_in_another_way_is_told_by_the_server(origin, filled, second):
    disk = filled()
    other = second(disk, state=disk.directory / "second", requester_pays=True)
    origin.reset_counts()
    assert tree(other.path) == disk.names
    assert lists(origin) >= 1


def test_a_mount_of_a_prefix_uses_what_the_whole_bucket_listed(origin, filled, second):
    disk = filled()
    other = second(disk, state=disk.directory / "second", source=disk.source + "/d1")
    origin.reset_counts()
    assert tree(other.path) == ["a", "b", "sub", "sub/c"]
    assert lists(origin) == 0
    (other / "a").unlink()
    again(disk, "kill")
    assert tree(disk.path) == [name for name in disk.names if name != "d1/a"]


@pytest.mark.parametrize("damage", ["UPDATE listing SET body = substr(body, 1, length(body) - 3)",
                                    "UPDATE listing SET body = zeroblob(length(body))", "UPDATE listing SET guard = 17"])
def test_damaged_listings_are_dropped_with_a_line_and_asked_for_again(origin, filled, damage):
    disk = filled()
    disk.umount()
    with sqlite3.connect(disk.cache / "index.db") as db:
        db.execute(damage)
    db.close()
    origin.reset_counts()
    disk.start()
    assert tree(disk.path) == disk.names
    assert lists(origin) >= 1
    assert disk.log().count('the listing of "%s/" is dropped' % disk.bucket.name) == 1


@pytest.mark.parametrize("on", ["mounted", "unmounted"])
def test_a_cleared_cache_has_no_listings(origin, filled, on):
    disk = filled()
    if on == "unmounted":
        disk.umount()
    command(disk, "clear")
    with sqlite3.connect(disk.cache / "index.db") as db:
        assert db.execute("SELECT count(*) FROM listing").fetchone()[0] == 0
    db.close()
    if on == "mounted":
        disk.kill9()
    origin.reset_counts()
    disk.start()
    assert tree(disk.path) == disk.names
    assert lists(origin) >= 1
