"""A directory bucket, as tests/origin has them: sessions, RenameObject, listings without order."""
import os
import threading
import time

import pytest

from support.work import run, wait_until

DIRECTORY = "mount-%d-%d--use1-az4--x-s3"


class Directory:
    """The witness. boto3 makes sessions of its own, so it counts only where a test resets the counts after it."""

    numbers = iter(range(1000000))

    def __init__(self, server):
        self.server = server
        self.name = DIRECTORY % (os.getpid(), next(self.numbers))
        server.create_directory(self.name)
        self.s3 = server.client()
        self.source = "s3://" + self.name

    def put(self, key, body=b""):
        return self.s3.put_object(Bucket=self.name, Key=key, Body=body)["ETag"]

    def get(self, key):
        return self.s3.get_object(Bucket=self.name, Key=key)["Body"].read()


@pytest.fixture
def directory(origin):
    origin.settings(session_ms=0)
    yield Directory(origin)
    origin.settings(session_ms=0)


def test_files_are_made_read_renamed_and_removed(origin, directory, mount):
    disk = mount(directory)
    (disk / "d").mkdir()
    (disk / "d" / "a").write_bytes(b"bytes")
    run("chmod", "600", disk / "d" / "a")
    os.rename(disk / "d" / "a", disk / "b c")
    assert (disk / "b c").read_bytes() == b"bytes"
    assert os.stat(disk / "b c").st_mode & 0o777 == 0o600
    assert os.listdir(disk / "d") == []
    (disk / "big").write_bytes(bytes(20 << 20))
    os.unlink(disk / "big")
    assert sorted(os.listdir(disk.path)) == ["b c", "d"]
    os.rename(disk / "d", disk / "e")
    os.rmdir(disk / "e")
    disk = disk.remount(attrs="head")
    assert os.listdir(disk.path) == ["b c"]
    assert directory.get("b c") == b"bytes"
    assert os.stat(disk / "b c").st_mode & 0o777 == 0o600


def test_a_rename_is_one_request_and_keeps_everything(origin, directory, mount):
    disk = mount(directory)
    (disk / "a").write_bytes(b"new")
    (disk / "b").write_bytes(b"old")
    os.setxattr(disk / "a", "user.mine", b"value")
    os.close(os.open(disk / "a", os.O_RDONLY))
    with open(disk / "a", "rb") as f:
        os.fsync(f.fileno())
    before = os.stat(disk / "a").st_mtime_ns
    origin.reset_counts()
    os.rename(disk / "a", disk / "b")
    assert origin.requests() == {"RenameObject": 1}
    assert (disk / "b").read_bytes() == b"new"
    disk = disk.remount(attrs="head")
    assert os.getxattr(disk / "b", "user.mine") == b"value"
    assert os.stat(disk / "b").st_mtime_ns == before


def test_a_rename_does_not_replace_what_others_wrote(origin, directory, mount):
    disk = mount(directory, ttl="inf")
    (disk / "a").write_bytes(b"mine")
    (disk / "b").write_bytes(b"known")
    directory.put("b", b"theirs")
    with pytest.raises(OSError):
        os.rename(disk / "a", disk / "b")
    assert directory.get("b") == b"theirs" and directory.get("a") == b"mine"


def test_a_rename_whose_answer_is_lost_is_done_once(origin, directory, mount):
    disk = mount(directory)
    (disk / "a").write_bytes(b"bytes")
    origin.fault("execute_then_reset", kind="RenameObject", count=1)
    os.rename(disk / "a", disk / "b")
    assert os.listdir(disk.path) == ["b"]
    assert directory.get("b") == b"bytes"


def test_a_listing_of_many_pages_is_whole(origin, directory, mount):
    origin.synthetic(bucket=directory.name, prefix="d/f", count=2500, size=1)
    origin.synthetic(bucket=directory.name, prefix="d/sub/f", count=3, size=1)
    disk = mount(directory)
    assert sorted(os.listdir(disk / "d")) == ["f%06d" % i for i in range(2500)] + ["sub"]


def test_one_session_is_enough_for_many_threads(origin, directory, mount):
    origin.synthetic(bucket=directory.name, prefix="f", count=40, size=100)
    origin.reset_counts()
    disk = mount(directory)
    readers = [threading.Thread(target=lambda i=i: (disk / ("f%06d" % i)).read_bytes()) for i in range(40)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    assert origin.requests()["CreateSession"] == 1
    assert origin.requests()["GetObject"] == 40


def test_a_session_that_ends_early_is_renewed_once_for_all(origin, directory, mount):
    origin.synthetic(bucket=directory.name, prefix="f", count=40, size=100)
    disk = mount(directory)
    os.listdir(disk.path)
    origin.reset_counts()
    origin.expire_sessions()
    readers = [threading.Thread(target=lambda i=i: (disk / ("f%06d" % i)).read_bytes()) for i in range(40)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    assert origin.requests()["CreateSession"] == 1
    statuses = [entry["status"] for entry in origin.log() if entry["kind"] == "GetObject"]
    assert statuses.count(206) + statuses.count(200) == 40


def test_a_long_read_goes_on_across_the_end_of_a_session(origin, directory, mount):
    origin.synthetic(bucket=directory.name, key="long", size=64 << 20, seed=1)
    disk = mount(directory, memory="16M")
    with open(disk / "long", "rb") as f:
        first = f.read(8 << 20)
        origin.reset_counts()
        origin.expire_sessions() # what is read ahead may be the first to notice
        rest = f.read()
    assert len(first) + len(rest) == 64 << 20
    assert origin.requests()["CreateSession"] == 1
    # As the server computes it: the middle of the object by its own hand.
    assert rest[-100:] == directory.s3.get_object(Bucket=directory.name, Key="long", Range="bytes=-100")["Body"].read()


def test_a_session_is_renewed_before_it_ends(origin, directory, mount):
    origin.synthetic(bucket=directory.name, prefix="f", count=2, size=100)
    origin.settings(session_ms=10000)
    disk = mount(directory)
    (disk / "f000000").read_bytes()
    origin.reset_counts()
    time.sleep(5.5)  # more than half of its life
    (disk / "f000001").read_bytes()
    wait_until(lambda: origin.requests().get("CreateSession") == 1)
    assert not [entry for entry in origin.log() if entry["status"] == 400]


def test_a_session_that_is_refused_is_the_mounts_error(origin, directory, mount):
    origin.fault({"status": 403, "code": "AccessDenied"}, kind="CreateSession", key=directory.name + "/*")
    with pytest.raises(Exception, match="CreateSession: AccessDenied"):
        mount(directory)


def heads(directory):
    """What is stored, by key."""
    keys = [o["Key"] for o in directory.s3.list_objects_v2(Bucket=directory.name)["Contents"]]
    return {key: directory.s3.head_object(Bucket=directory.name, Key=key) for key in keys}


def test_what_is_stored_has_the_encryption_that_the_session_was_asked_for(origin, directory, mount):
    directory.put("theirs", b"of another encryption")
    disk = mount(directory, sse="kms", sse_kms_key="key-1")
    origin.reset_counts()
    (disk / "small").write_bytes(b"x")
    (disk / "large").write_bytes(bytes(9 << 20))
    with open(disk / "theirs", "ab") as f:
        f.write(b"!")
    os.chmod(disk / "small", 0o600)
    disk.umount()
    for key, head in heads(directory).items():
        assert (head["ServerSideEncryption"], head["SSEKMSKeyId"]) == ("aws:kms", "key-1"), key
    assert directory.get("theirs") == b"of another encryption!"
    refused = [(e["kind"], e["key"]) for e in origin.log() if e["status"] == 400 and "awsfs-probe" not in (e["key"] or e["query"])]
    assert refused == []


@pytest.mark.parametrize("options, told", [
    ({"sse": "kms"}, "sse_kms_key="),
    ({"sse": "kms", "sse_kms_key": "alias/k"}, "no alias"),
    ({"sse": "kms", "sse_kms_key": "arn:aws:kms:eu-west-1:111122223333:alias/k"}, "no alias"),
], ids=["no-key", "alias", "alias-arn"])
def test_a_key_that_a_session_cannot_be_made_with_is_refused(directory, mount, options, told):
    with pytest.raises(Exception, match=told):
        mount(directory, **options)


def test_a_key_of_ones_own_is_refused(directory, mount, tmp_path):
    path = tmp_path / "key"
    path.write_text("00" * 32 + "\n")
    path.chmod(0o600)
    with pytest.raises(Exception, match="no SSE-C"):
        mount(directory, sse="c", sse_c_key_file=path)
