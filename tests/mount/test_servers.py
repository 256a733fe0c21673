"""Servers that are not AWS's own: what they lack is found out once, on scratch keys, remembered, and taken into account."""
import contextlib
import os
import threading

import pytest

from support import mounts
from support.work import wait_until

CONDITIONS = ["put-if-absent", "put-if-match", "multipart-if-absent", "multipart-if-match", "copy-if-absent", "copy-if-match",
              "copy-source-if-match", "part-copy-source-if-match", "delete-if-match", "delete-many-if-match"]


@pytest.fixture
def lacking(origin):
    """lacking(ignore=[...], refuse=[...], addressing=...): the origin without these."""
    yield lambda **what: origin.settings(**what)
    origin.settings(ignore=[], refuse=[], addressing="any")


def write_quietly(path):
    """For a daemon that dies meanwhile."""
    with contextlib.suppress(OSError):
        path.write_bytes(b"x")


def remembered(disk):
    """What the mount has written down of the server, by name."""
    files = list((disk.state / "servers").iterdir())
    assert len(files) == 1
    return dict(line.split(" ", 1) for line in files[0].read_text().splitlines()[:-1])


def test_the_first_write_finds_out_what_the_server_can_do_and_leaves_nothing(server, bucket, mount):
    disk = mount(bucket(server), fresh=True)
    os.listdir(disk.path)
    assert not list((disk.state / "servers").iterdir())
    (disk / "f").write_bytes(b"hello")
    assert remembered(disk)["put-if-match"] == "yes"
    assert disk.bucket.keys() == ["f"]
    assert disk.bucket.uploads() == []


def test_what_was_found_out_is_not_asked_again_by_the_next_mount(origin, bucket, mount):
    disk = mount(bucket(origin), fresh=True)
    (disk / "f").write_bytes(b"hello")
    disk.remount()
    os.listdir(disk.path)
    origin.reset_counts()
    (disk / "g").write_bytes(b"hello")
    disk.umount()
    assert origin.requests() == {"PutObject": 1}


def test_a_damaged_memory_is_asked_again(origin, bucket, mount):
    disk = mount(bucket(origin), fresh=True)
    (disk / "f").write_bytes(b"hello")
    disk.umount()
    next((disk.state / "servers").iterdir()).write_text("awsfs-server 1\nput-if-match yes\n")
    disk.start()
    (disk / "g").write_bytes(b"hello")
    assert "is asked again" in disk.log()
    assert remembered(disk)["copy"] == "yes"


def test_a_read_only_mount_writes_nothing_into_the_bucket(origin, bucket, mount):
    witness = bucket(origin)
    witness.put("f", b"hello")
    origin.reset_counts()
    disk = mount(witness, fresh=True, ro=True)
    assert (disk / "f").read_bytes() == b"hello"
    with pytest.raises(OSError):
        (disk / "g").write_bytes(b"x")
    disk.umount()
    assert set(origin.requests()) <= {"ListObjectsV2", "GetObject", "HeadObject"}


def test_a_probe_that_is_cut_off_leaves_nothing_and_the_write_goes_on(origin, bucket, mount):
    disk = mount(bucket(origin), fresh=True)
    origin.fault("reset", kind="CopyObject", key="*awsfs-probe*", count=-1)
    (disk / "f").write_bytes(b"hello")
    assert disk.bucket.keys() == ["f"]
    assert "could not be found out" in disk.log()


def test_no_upload_is_begun_where_it_could_not_be_aborted(origin, bucket, mount):
    origin.fault({"status": 403}, kind="AbortMultipartUpload", key="*awsfs-probe*")
    disk = mount(bucket(origin), fresh=True)
    (disk / "f").write_bytes(b"hello")
    assert disk.bucket.uploads() == []
    assert disk.bucket.keys() == ["f"]
    assert remembered(disk)["put-if-match"] == "yes"
    assert remembered(disk)["multipart-if-match"] == "unknown"


def test_no_scratch_object_is_put_where_it_could_not_be_removed(origin, bucket, mount):
    origin.fault({"status": 403}, kind="DeleteObject", key="*awsfs-probe*")
    disk = mount(bucket(origin), fresh=True)
    (disk / "f").write_bytes(b"hello")
    assert disk.bucket.keys() == ["f"]
    assert "s3:DeleteObject is denied" in disk.log()


@pytest.mark.parametrize("during", ["CopyObject", "CompleteMultipartUpload"])
def test_what_a_daemon_left_that_was_killed_while_it_asked_is_removed_by_the_next(origin, bucket, mount, during):
    disk = mount(bucket(origin), fresh=True)
    origin.fault("hang", kind=during, key="*awsfs-probe*")
    writer = threading.Thread(target=write_quietly, args=(disk / "f",))
    writer.start()
    wait_until(lambda: during in origin.requests())
    disk.kill9()
    writer.join()
    origin.clear_faults()
    assert [key for key in disk.bucket.keys() if "awsfs-probe" in key] or disk.bucket.uploads()
    disk.start()
    assert [key for key in disk.bucket.keys() if "awsfs-probe" in key] == []
    assert disk.bucket.uploads() == []
    assert [f for f in os.listdir(disk.state / "servers") if f.startswith("scratch-")] == []


@pytest.mark.parametrize("kind, action, count, skip", [("CreateMultipartUpload", "execute_then_reset", 1, 0),
                                                       ("CreateMultipartUpload", "malformed_xml", 1, 0),
                                                       ("AbortMultipartUpload", {"status": 503}, 3, 1)])
def test_no_scratch_upload_is_left_whose_id_is_not_known_any_more(origin, bucket, mount, kind, action, count, skip):
    disk = mount(bucket(origin), fresh=True)
    origin.fault(action, kind=kind, key="*awsfs-probe*", count=count, skip=skip)
    (disk / "f").write_bytes(b"hello")
    assert disk.bucket.uploads() == []
    assert disk.bucket.keys() == ["f"]
    assert [f for f in os.listdir(disk.state / "servers") if f.startswith("scratch-")] == []


def test_scratch_keys_of_a_daemon_that_lives_are_left_alone(origin, bucket, mount):
    disk = mount(bucket(origin), fresh=True)
    origin.fault("hang", kind="CopyObject", key="*awsfs-probe*", count=1)
    writer = threading.Thread(target=(disk / "f").write_bytes, args=(b"x",))
    writer.start()
    wait_until(lambda: "CopyObject" in origin.requests())
    there = disk.bucket.keys()
    other = mount(disk.bucket, state=disk.state)
    os.listdir(other.path)
    assert disk.bucket.keys() == there
    origin.release()
    writer.join()
    assert remembered(disk)["copy"] == "yes"


@pytest.mark.parametrize("how", ["ignore", "refuse"])
def test_without_conditions_no_update_of_others_is_lost_that_was_there_before(origin, bucket, mount, lacking, how):
    conditions = CONDITIONS if how == "ignore" else [c for c in CONDITIONS if c != "delete-many-if-match"]
    lacking(**{how: conditions})
    witness = bucket(origin)
    witness.put("changed", b"base")
    disk = mount(witness, fresh=True, ttl=3600)
    os.listdir(disk.path)
    files = {"changed": os.open(disk / "changed", os.O_RDWR), "new": os.open(disk / "new", os.O_RDWR | os.O_CREAT | os.O_EXCL)}
    for name, fd in files.items():
        os.write(fd, b"MINE")
        witness.put(name, b"theirs")
        with pytest.raises(OSError):
            os.fsync(fd)
        with contextlib.suppress(OSError):
            os.close(fd)
    assert witness.get("changed") == b"theirs"
    assert witness.get("new") == b"theirs"
    assert "does not honour these conditions: put-if-absent, put-if-match" in disk.log()


def test_a_removal_and_a_rename_take_no_version_they_do_not_mean(origin, bucket, mount, lacking):
    lacking(ignore=CONDITIONS)
    witness = bucket(origin)
    for name in ("gone", "from", "to"):
        witness.put(name, b"base")
    disk = mount(witness, fresh=True, ttl=3600)
    (disk / "first").write_bytes(b"x")
    assert sorted(os.listdir(disk.path)) == ["first", "from", "gone", "to"]
    for name in ("gone", "to"):
        witness.put(name, b"theirs")
    with pytest.raises(OSError):
        os.rename(disk / "from", disk / "to")
    assert witness.get("to") == b"theirs"
    assert witness.get("from") == b"base"
    try:
        os.unlink(disk / "gone")
    except OSError:
        assert witness.get("gone") == b"theirs"


def test_the_warning_comes_at_the_mount_where_it_is_known(origin, bucket, mount, lacking):
    lacking(ignore=["put-if-match"])
    disk = mount(bucket(origin), fresh=True)
    (disk / "f").write_bytes(b"x")
    disk.umount()
    disk.log_file.unlink()
    disk.start()
    assert disk.log().count("does not honour these conditions: put-if-match;") == 1


def test_a_server_without_copies_lets_mv_copy(origin, bucket, mount, lacking):
    lacking(refuse=["copy"])
    disk = mount(bucket(origin), fresh=True)
    (disk / "a").write_bytes(b"bytes")
    with pytest.raises(OSError) as refused:
        os.rename(disk / "a", disk / "b")
    assert refused.value.errno == 18  # EXDEV
    assert disk.bucket.keys() == ["a"]


def test_a_server_that_cannot_begin_a_listing_at_a_name_shows_every_name(origin, bucket, mount, lacking):
    lacking(ignore=["start-after"])
    witness = bucket(origin)
    origin.synthetic(bucket=witness.name, prefix="d/f", count=2500, size=3)
    disk = mount(witness, fresh=True)
    assert os.stat(disk / "d" / "f002400").st_size == 3
    assert not (disk / "d" / "f002400x").exists()
    assert len(os.listdir(disk / "d")) == 2500


def test_a_server_that_cannot_begin_a_listing_at_a_name_is_never_asked_for_what_is_below_the_names_before_it(
        origin, bucket, mount, lacking):
    lacking(ignore=["start-after"])
    witness = bucket(origin)
    origin.synthetic(bucket=witness.name, prefix="a/f", count=20000, size=3)
    witness.put_many({"y/g%d" % i: b"x" for i in range(3)})
    disk = mount(witness, fresh=True)
    origin.reset_counts()
    assert (disk / "y" / "g1").read_bytes() == b"x"
    assert not (disk / "z").exists()
    assert origin.requests()["ListObjectsV2"] <= 5


@pytest.mark.parametrize("place", ["virtual", "path"])
def test_addressing_auto_finds_where_the_bucket_must_be_named(origin, bucket, mount, lacking, place):
    witness = bucket(origin)
    witness.put("f", b"hello")
    endpoint = "http://localhost:%d" % origin.port
    lacking(addressing="virtual")
    disk = mount(witness, fresh=True, endpoint=endpoint)
    lacking(addressing=place)
    if place == "path":
        disk.remount()
    assert (disk / "f").read_bytes() == b"hello"
    (disk / "g").write_bytes(b"x")
    assert remembered(disk)["addressing"] == place


def test_addressing_that_was_told_is_not_changed(origin, bucket, mount, lacking):
    witness = bucket(origin)
    lacking(addressing="virtual")
    with pytest.raises(mounts.MountFailed) as failed:
        mount(witness, fresh=True, endpoint="http://localhost:%d" % origin.port, addressing="path")
    assert "SecondLevelDomainForbidden" in str(failed.value)


def test_ten_first_writers_ask_once(origin, bucket, mount):
    disk = mount(bucket(origin), fresh=True)
    writers = [threading.Thread(target=(disk / str(i)).write_bytes, args=(b"x",)) for i in range(10)]
    origin.reset_counts()
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert origin.requests()["PutObjectAcl"] == 1
    assert sorted(disk.bucket.keys()) == sorted(str(i) for i in range(10))
