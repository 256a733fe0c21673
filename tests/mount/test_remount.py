"""Attributes that outlive a mount: what was known of a version is not asked for again, and never shown for another one."""
import os
import sqlite3
import stat
import time

import pytest

from support.caches import idle
from support.work import run, wait_until

SETTLE_S = 3  # src/backends/s3/headers.h


def settled():
    """What was put before lies so far back that its Last-Modified is its own."""
    time.sleep(SETTLE_S + 1)


def walk(disk):
    """What `ls -lR` shows of everything, and what extended attributes and targets there are."""
    shown = {}
    for folder, folders, files in os.walk(disk.path):
        for name in folders + files:
            path = os.path.join(folder, name)
            s = os.lstat(path)
            target = os.readlink(path) if stat.S_ISLNK(s.st_mode) else None
            xattrs = {n: os.getxattr(path, n) for n in os.listxattr(path)} if stat.S_ISREG(s.st_mode) else None
            shown[os.path.relpath(path, disk.path)] = (s.st_mode, s.st_uid, s.st_gid, s.st_size, s.st_mtime_ns, target, xattrs)
    return shown


def heads(origin):
    return origin.requests().get("HeadObject", 0)


def make_tree(root):
    for d in range(4):
        folder = root / ("d%d" % d)
        folder.mkdir(mode=0o750)
        for f in range(30):
            path = folder / ("f%d" % f)
            path.write_bytes(b"%d" % f)
            path.chmod(0o600 + f % 8)
        os.utime(folder / "f1", ns=(1, 1234567890123456789))
        os.setxattr(folder / "f2", "user.colour", b"blue")
        os.symlink("f3", folder / "link")
        (folder / "empty").touch()
        os.rename(folder / "f4", folder / "renamed")
    os.rename(root / "d3", root / "moved")


def remount(disk, how):
    if how == "kill":
        idle(disk)
        disk.kill9()
        disk.start()
    else:
        disk.remount()


@pytest.mark.parametrize("how", ["umount", "kill"])
def test_a_tree_that_was_written_here_is_shown_again_without_a_head_a_file(origin, bucket, mount, how):
    disk = mount(bucket(origin))
    make_tree(disk.path)
    shown = walk(disk)
    if how == "kill":
        disk.terminate()  # what has no close is sent within a second: all of it
        disk.start()
        walk(disk)
    remount(disk, how)
    origin.reset_counts()
    assert walk(disk) == shown
    counts = origin.requests()
    assert counts.pop("HeadObject", 0) <= 4  # a listing that groups the names below tells nothing of a directory's own object
    assert counts.pop("ListObjectsV2", 0) <= 6
    assert set(counts) <= {"GetObject"}


@pytest.mark.parametrize("cache", [True, False])
def test_the_mode_of_a_directory_is_shown_again_where_there_are_no_files(origin, bucket, mount, cache):
    disk = mount(bucket(origin), **({} if cache else {"cache": "none"}))
    for name in "abc":
        (disk / name).mkdir(mode=0o700)
    disk.remount()
    with os.scandir(disk.path) as entries:
        assert {entry.name: entry.stat().st_mode & 0o777 for entry in entries} == {"a": 0o700, "b": 0o700, "c": 0o700}


def posix(mode, **more):
    return {"Metadata": dict({"mode": str(stat.S_IFREG | mode), "uid": "1000", "gid": "1000", "mtime": "1600000000"}, **more)}


@pytest.fixture
def foreign(origin, bucket, mount):
    """A mount of a bucket that another tool filled, of which everything was looked at."""
    witness = bucket(origin)
    for i in range(40):
        witness.put("d/f%02d" % i, b"%d" % i, **posix(0o600 + i % 8))
    settled()
    disk = mount(witness)
    assert {s[0] & 0o777 for name, s in walk(disk).items() if name != "d"} == set(range(0o600, 0o610))
    idle(disk)
    return disk


@pytest.mark.parametrize("how", ["umount", "kill"])
def test_what_others_stored_is_asked_for_once_and_shown_by_every_later_mount(origin, foreign, how):
    shown = walk(foreign)
    remount(foreign, how)
    origin.reset_counts()
    assert walk(foreign) == shown
    assert heads(origin) <= 1  # whether the directory has an object of its own
    assert origin.requests().get("ListObjectsV2", 0) <= 3


def test_attributes_that_others_changed_meanwhile_are_shown_although_the_etag_is_the_same(origin, foreign):
    witness = foreign.bucket
    foreign.umount()
    before = witness.head("d/f07")
    witness.s3.copy_object(Bucket=witness.name, Key="d/f07", CopySource={"Bucket": witness.name, "Key": "d/f07"},
                           MetadataDirective="REPLACE", **posix(0o444))
    after = witness.head("d/f07")
    assert after["ETag"] == before["ETag"] and after["LastModified"] > before["LastModified"]
    origin.reset_counts()
    foreign.start()
    assert (foreign / "d" / "f07").stat().st_mode & 0o777 == 0o444
    assert (foreign / "d" / "f06").stat().st_mode & 0o777 == 0o606
    assert heads(origin) <= 1


def test_other_bytes_have_other_attributes(foreign):
    foreign.umount()
    foreign.bucket.put("d/f07", b"7", **posix(0o444))
    foreign.bucket.put("d/f08", b"other", **posix(0o440))
    foreign.start()
    assert (foreign / "d" / "f07").stat().st_mode & 0o777 == 0o444
    assert (foreign / "d" / "f08").stat().st_mode & 0o777 == 0o440


def test_two_changes_of_one_second_are_told_apart(origin, bucket, mount):
    """The second one changes neither ETag nor Last-Modified: what was seen before it must not be remembered."""
    witness = bucket(origin)
    witness.put("d/a", b"x", **posix(0o600))
    disk = mount(witness)
    for _ in range(20):
        witness.put("d/f", b"x", **posix(0o600))
        first = witness.head("d/f")
        wait_until(lambda: (disk / "d" / "f").exists())
        (disk / "d" / "f").stat()
        witness.s3.copy_object(Bucket=witness.name, Key="d/f", CopySource={"Bucket": witness.name, "Key": "d/f"},
                               MetadataDirective="REPLACE", **posix(0o444))
        if witness.head("d/f")["LastModified"] == first["LastModified"]:
            break
        witness.delete("d/f")
        disk.remount()
    else:
        pytest.fail("no two changes in one second")
    disk.remount()
    assert (disk / "d" / "f").stat().st_mode & 0o777 == 0o444


@pytest.mark.parametrize("write", ["through", "back"])
def test_of_two_changes_made_here_in_one_second_the_second_is_shown_after_a_kill(origin, bucket, mount, write):
    """What is noted of the first one may be on the disk when the daemon is killed, and of the second one not."""
    witness = bucket(origin)
    disk = mount(witness, write=write)
    for k in range(8):
        for name, make in ("d%d" % k, os.mkdir), ("f%d" % k, lambda path: open(path, "xb").close()):
            make(disk / name)
            os.chmod(disk / name, 0o700)
            fd = os.open(disk / name, os.O_RDONLY)
            os.fsync(fd)
            time.sleep(0.1)
            os.chmod(disk / name, 0o711)
            os.fsync(fd)
            os.close(fd)
    disk.kill9()
    disk.start()
    assert {oct(os.stat(disk / name).st_mode & 0o777) for name in os.listdir(disk.path)} == {"0o711"}


def test_a_change_carries_along_what_the_store_has_and_not_what_was_remembered(foreign):
    witness = foreign.bucket
    foreign.umount()
    witness.s3.put_object_tagging(Bucket=witness.name, Key="d/f03", Tagging={"TagSet": [{"Key": "team", "Value": "x"}]})
    foreign.start()
    assert (foreign / "d" / "f03").stat().st_mode & 0o777 == 0o603
    (foreign / "d" / "f03").write_bytes(b"new")
    (foreign / "d" / "f05").chmod(0o640)
    foreign.umount()
    assert witness.tags("d/f03") == {"team": "x"}
    assert witness.head("d/f03")["Metadata"]["mode"] == str(0o100603)
    assert witness.head("d/f05")["Metadata"]["mode"] == str(0o100640)
    assert witness.head("d/f05")["Metadata"]["uid"] == "1000"


def test_what_a_store_trigger_adds_to_a_file_written_here_survives_a_later_chmod(origin, bucket, mount):
    witness = bucket(origin)
    disk = mount(witness)
    (disk / "page").write_text("x")
    (disk / "page").chmod(0o640)
    disk.umount()
    meta = witness.head("page")["Metadata"]
    witness.s3.copy_object(Bucket=witness.name, Key="page", CopySource={"Bucket": witness.name, "Key": "page"},
                           MetadataDirective="REPLACE", ContentType="text/html", Metadata=dict(meta, by="trigger"))
    disk.start()
    assert (disk / "page").stat().st_mode & 0o777 == 0o640
    (disk / "page").chmod(0o600)
    disk.umount()
    head = witness.head("page")
    assert head["ContentType"] == "text/html" and head["Metadata"]["by"] == "trigger"
    assert head["Metadata"]["mode"] == str(0o100600)


@pytest.mark.parametrize("damage", ["UPDATE note SET body = zeroblob(length(body))", "UPDATE note SET body = substr(body, 1, 20)",
                                    "UPDATE note SET key = key || 'x'", "UPDATE note SET modified = modified + 1", "DROP TABLE note"])
def test_damaged_notes_cost_requests_and_nothing_else(foreign, damage):
    shown = walk(foreign)
    foreign.umount()
    with sqlite3.connect(foreign.cache / "index.db") as db:
        db.execute(damage)
    db.close()
    foreign.start()
    assert walk(foreign) == shown


def test_without_a_cache_everything_is_asked_again(origin, foreign):
    foreign.umount()
    foreign.options["cache"] = "none"
    origin.reset_counts()
    foreign.start()
    walk(foreign)
    assert heads(origin) >= 38


def test_a_prefix_shares_what_the_whole_bucket_knows(origin, foreign):
    foreign.umount()
    foreign.source += "/d"
    origin.reset_counts()
    foreign.start()
    assert (foreign / "f07").stat().st_mode & 0o777 == 0o607
    walk(foreign)
    assert heads(origin) == 0


def test_git_status_after_a_remount_sends_listings_only(origin, bucket, mount):
    disk = mount(bucket(origin))
    for d in range(12):
        (disk / ("d%d" % d)).mkdir()
        for f in range(20):
            (disk / ("d%d" % d) / ("f%d" % f)).write_text("%d %d\n" % (d, f))
    git = ["git", "-C", str(disk.path), "-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "gc.auto=0"]
    run(*git[:3], "init", "-q")
    run(*git, "add", ".")
    run(*git, "commit", "-q", "-m", "x")
    run(*git, "status")
    disk.remount()
    origin.reset_counts()
    assert "nothing to commit" in run(*git, "status")
    counts = origin.requests()
    assert counts.get("HeadObject", 0) <= counts.get("PutObject", 0)  # git puts its index again, with what the old one had
    assert counts["ListObjectsV2"] <= 12 + 30


def test_no_user_metadata_but_attributes_reach_the_disk(origin, bucket, mount):
    witness = bucket(origin)
    for i in range(3):
        witness.put("d/f%d" % i, b"x", **posix(0o600, secret="not-for-the-disk"))
    settled()
    disk = mount(witness)
    walk(disk)
    disk.umount()
    db = sqlite3.connect(disk.cache / "index.db")
    bodies = [body for (body,) in db.execute("SELECT body FROM note")]
    db.close()
    assert len(bodies) == 3
    assert all(b"not-for-the-disk" not in body for body in bodies)


@pytest.mark.parametrize("how", ["umount", "kill"])
def test_2000_small_files_are_read_again_with_at_most_22_requests_and_no_download(origin, bucket, mount, how):
    witness = bucket(origin)
    files = {"d%02d/f%02d" % (d, f): b"%d %d" % (d, f) for d in range(20) for f in range(100)}
    witness.put_many(files)
    disk = mount(witness)
    for key, body in files.items():
        assert (disk / key).read_bytes() == body
    remount(disk, how)
    origin.reset_counts()
    found = {}
    for folder, _, names in os.walk(disk.path):
        for name in names:
            path = os.path.join(folder, name)
            with open(path, "rb") as f:
                found[os.path.relpath(path, disk.path)] = f.read()
    assert found == files
    counts = origin.requests()
    assert counts.pop("GetObject", 0) == 0
    assert sum(counts.values()) <= 22, counts
