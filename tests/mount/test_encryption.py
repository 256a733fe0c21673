"""sse=, storage_class=, acl=, requester_pays: what every request must carry. tests/origin refuses a request that lacks it."""
import base64
import errno
import os
import re
import urllib.request

import pytest

from support import mounts

KEY = bytes(range(32))


def key_headers(key=KEY):
    """As boto3 wants them."""
    return {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": key}


@pytest.fixture
def key_file(tmp_path):
    path = tmp_path / "key"
    path.write_text(KEY.hex() + "\n")
    path.chmod(0o600)
    return path


def work(disk):
    """Each kind of operation once; what is left there."""
    (disk / "small").write_bytes(b"hello")
    assert (disk / "small").read_bytes() == b"hello"
    with open(disk / "small", "ab") as f:
        f.write(b" world")
    os.chmod(disk / "small", 0o600)
    os.rename(disk / "small", disk / "moved")
    os.setxattr(disk / "moved", "user.s3.content-type", b"text/x-test")
    (disk / "big").write_bytes(b"0123456789abcdef" * (10 << 16))
    with open(disk / "big", "r+b") as f:
        f.seek(5)
        f.write(b"X")
    os.symlink("moved", disk / "link")
    os.mkdir(disk / "d")
    (disk / "d" / "f").write_bytes(b"in d")
    os.rename(disk / "d", disk / "e")
    (disk / "gone").write_bytes(b"x")
    os.unlink(disk / "gone")


def check_work(disk):
    assert sorted(os.listdir(disk.path)) == ["big", "e", "link", "moved"]
    assert (disk / "link").read_bytes() == b"hello world"
    assert os.stat(disk / "moved").st_mode & 0o777 == 0o600
    assert (disk / "big").read_bytes()[:20] == b"01234X6789abcdef0123"
    assert (disk / "e" / "f").read_bytes() == b"in d"


def refusals(origin):
    """Requests that were refused but for a condition, or because something is not there."""
    return [(r["kind"], r["status"]) for r in origin.log() if r["status"] in (400, 403, 501)
            and "awsfs-probe" not in (r["key"] or "")]


def test_every_request_that_needs_it_carries_the_key(origin, bucket, mount, key_file):
    disk = mount(bucket(origin), sse="c", sse_c_key_file=key_file)
    origin.reset_counts()
    work(disk)
    disk.remount()
    check_work(disk)
    assert refusals(origin) == []
    for key in disk.bucket.keys():
        with pytest.raises(Exception, match="400"):
            disk.bucket.head(key)
        assert disk.bucket.s3.head_object(Bucket=disk.bucket.name, Key=key, **key_headers())["SSECustomerAlgorithm"] == "AES256"


def test_every_request_agrees_to_pay(origin, bucket, mount):
    witness = bucket(origin)
    origin.settings(bucket=witness.name, requester_pays=True, ownership="ObjectWriter")
    disk = mount(witness, requester_pays=True, fresh=True)
    os.listdir(disk.path)
    origin.reset_counts()
    work(disk)
    os.setxattr(disk / "moved", "user.s3.tags", b"a=b")
    assert os.getxattr(disk / "moved", "user.s3.tags") == b"a=b"
    os.setxattr(disk / "moved", "user.s3.acl", b"public-read")
    assert b"READ" in os.getxattr(disk / "moved", "user.s3.acl")
    disk.remount()
    check_work(disk)
    assert refusals(origin) == []


def test_a_presigned_url_agrees_to_pay(origin, bucket, mount):
    witness = bucket(origin)
    origin.settings(bucket=witness.name, requester_pays=True)
    disk = mount(witness, requester_pays=True, fresh=True)
    (disk / "f").write_bytes(b"x")
    url = os.getxattr(disk / "f", "user.s3.presigned").decode()
    assert "&x-amz-request-payer=requester&" in url
    assert urllib.request.urlopen(url, timeout=10).read() == b"x"


def test_without_agreeing_to_pay_the_mount_says_what_was_refused(origin, bucket, mount):
    witness = bucket(origin)
    origin.settings(bucket=witness.name, requester_pays=True)
    with pytest.raises(mounts.MountFailed, match="Access"):
        mount(witness, fresh=True)


def test_the_first_write_with_a_key_finds_out_what_the_server_can_do(origin, bucket, mount, key_file):
    disk = mount(bucket(origin), fresh=True, sse="c", sse_c_key_file=key_file)
    (disk / "f").write_bytes(b"x")
    assert "put-if-match yes" in next((disk.state / "servers").iterdir()).read_text()
    assert disk.bucket.keys() == ["f"]


def test_objects_without_the_key_can_be_read_and_stay_as_they_are(origin, bucket, mount, key_file):
    witness = bucket(origin)
    witness.put("plain", b"plain", ContentType="text/x-plain")
    witness.put("theirs", b"theirs", **key_headers())
    disk = mount(witness, sse="c", sse_c_key_file=key_file)
    assert (disk / "plain").read_bytes() == b"plain"
    assert (disk / "theirs").read_bytes() == b"theirs"
    origin.reset_counts()
    with open(disk / "plain", "ab") as f:
        f.write(b" and more")
    os.rename(disk / "plain", disk / "renamed")
    assert witness.get("renamed") == b"plain and more"
    assert witness.head("renamed")["ContentType"] == "text/x-plain"


def test_objects_with_a_key_are_refused_without_it_in_one_clear_line(origin, bucket, mount):
    witness = bucket(origin)
    witness.put("secret", b"x", **key_headers())
    disk = mount(witness)
    assert os.listdir(disk.path) == ["secret"]
    with pytest.raises(OSError):
        (disk / "secret").read_bytes()
    assert "sse_c_key_file" in disk.log()


def test_a_head_that_is_refused_is_no_permission_but_where_a_key_is_missing(origin, bucket, mount):
    witness = bucket(origin)
    witness.put("secret", b"x", **key_headers())
    witness.put("other", b"x")
    disk = mount(witness, ttl=3600, attrs="list")
    assert len(os.listdir(disk.path)) == 2
    with pytest.raises(PermissionError):
        os.getxattr(disk / "secret", "user.s3.content-type")
    for kind in ("HeadObject", "GetObject"):
        origin.fault({"status": 400, "code": "SomethingElse"}, kind=kind, key="*/other")
    with pytest.raises(OSError) as refused:
        os.getxattr(disk / "other", "user.s3.content-type")
    assert refused.value.errno == errno.EINVAL


def test_another_key_is_refused(origin, bucket, mount, key_file):
    witness = bucket(origin)
    witness.put("secret", b"x", **key_headers(bytes(32)))
    disk = mount(witness, sse="c", sse_c_key_file=key_file)
    with pytest.raises(PermissionError):
        (disk / "secret").read_bytes()


@pytest.mark.parametrize("endpoint", ["http://s3.example.test", "http://127.example.test", "http://localhost.example.test:9000"])
def test_the_key_goes_over_no_wire_in_the_clear(origin, bucket, mount, key_file, endpoint):
    with pytest.raises(mounts.MountFailed, match="unencrypted"):
        mount(bucket(origin), fresh=True, endpoint=endpoint, sse="c", sse_c_key_file=key_file)


def test_a_key_file_for_everybody_is_refused(origin, bucket, mount, key_file):
    key_file.chmod(0o644)
    with pytest.raises(mounts.MountFailed, match="chmod 600"):
        mount(bucket(origin), fresh=True, sse="c", sse_c_key_file=key_file)


def test_the_key_is_in_no_log_and_no_file(origin, bucket, mount, key_file):
    disk = mount(bucket(origin), log_level="debug", sse="c", sse_c_key_file=key_file)
    work(disk)
    marks = [KEY, KEY.hex().encode(), base64.b64encode(KEY)]
    text = disk.log_file.read_bytes() + (disk.directory / "output").read_bytes()
    text += b"".join(p.read_bytes() for p in disk.state_files())
    text += open("/proc/%d/cmdline" % disk.pid, "rb").read() + open("/proc/%d/environ" % disk.pid, "rb").read()
    assert not [m for m in marks if m in text]


@pytest.mark.parametrize("options, told", [
    ({"sse": "s3"}, {"ServerSideEncryption": "AES256"}),
    ({"sse": "kms"}, {"ServerSideEncryption": "aws:kms"}),
    ({"sse": "kms", "sse_kms_key": "alias/k"}, {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "alias/k"}),
    ({"storage_class": "STANDARD_IA"}, {"StorageClass": "STANDARD_IA"}),
], ids=lambda x: "-".join(x.values()))
def test_new_objects_are_stored_as_told_however_they_are_made(origin, bucket, mount, options, told):
    disk = mount(bucket(origin), **options)
    work(disk)
    disk.umount()
    for key in disk.bucket.keys():
        head = disk.bucket.head(key)
        assert {name: head.get(name) for name in told} == told, key


def test_new_objects_have_the_acl_that_was_told(origin, bucket, mount):
    witness = bucket(origin)
    origin.settings(bucket=witness.name, ownership="ObjectWriter")
    disk = mount(witness, acl="public-read")
    work(disk)
    disk.umount()
    for key in witness.keys():
        grants = witness.s3.get_object_acl(Bucket=witness.name, Key=key)["Grants"]
        assert [g for g in grants if g["Permission"] == "READ"], key


def test_a_presigned_url_of_an_encrypted_object_says_what_it_needs(origin, bucket, mount, key_file):
    disk = mount(bucket(origin), sse="c", sse_c_key_file=key_file)
    (disk / "f").write_bytes(b"x")
    lines = os.getxattr(disk / "f", "user.s3.presigned").decode().splitlines()
    assert re.match("http://127", lines[0])
    assert "x-amz-server-side-encryption-customer-algorithm" in lines[1]


def test_nothing_is_stored_where_the_server_ignores_the_key(moto, versitygw, bucket, mount, key_file):
    for server in (moto, versitygw):
        disk = mount(bucket(server), fresh=True, sse="c", sse_c_key_file=key_file)
        with pytest.raises(OSError) as refused:
            (disk / "f").write_bytes(b"hello")
        assert refused.value.errno == errno.EOPNOTSUPP
        assert disk.bucket.keys() == []
        assert "ignores sse=c" in disk.log()


@pytest.fixture
def ignoring_keys(origin):
    yield lambda: origin.settings(ignore=["sse-c"])
    origin.settings(ignore=[])


def puts(origin):
    """The keys that were put or copied to, but for scratch ones."""
    return [r["key"] for r in origin.log() if r["kind"] in ("PutObject", "CopyObject", "CreateMultipartUpload")
            and "awsfs-probe" not in r["key"]]


@pytest.mark.parametrize("size", [5, 9 << 20])
def test_a_server_that_is_remembered_and_ignores_the_key_now_gets_nothing_of_the_users(origin, bucket, mount, key_file,
                                                                                       ignoring_keys, size):
    disk = mount(bucket(origin), fresh=True, sse="c", sse_c_key_file=key_file)
    (disk / "f").write_bytes(b"hello")
    disk.umount()
    ignoring_keys()
    disk.start()
    origin.reset_counts()
    with pytest.raises(OSError) as refused:
        (disk / "g").write_bytes(bytes(size))
    assert refused.value.errno == errno.EOPNOTSUPP
    assert puts(origin) == []
    assert disk.bucket.keys() == ["f"]
    assert disk.log().count("nothing is stored there") == 1


def test_whether_the_key_is_kept_is_tried_once_a_mount(origin, bucket, mount, key_file):
    disk = mount(bucket(origin), fresh=True, sse="c", sse_c_key_file=key_file)
    (disk / "f").write_bytes(b"hello")
    disk.umount()
    disk.start()
    os.listdir(disk.path)
    origin.reset_counts()
    for name in ("g", "h"):
        (disk / name).write_bytes(b"hello")
    disk.umount()
    scratch = [r["kind"] for r in origin.log() if "awsfs-probe" in (r["key"] or "")]
    assert scratch == ["DeleteObject", "PutObject", "HeadObject", "GetObject", "DeleteObject", "DeleteObject"]
    assert puts(origin) == ["g", "h"]


def test_a_server_that_names_the_key_and_reads_without_it_gets_nothing_of_the_users(origin, bucket, mount, key_file):
    disk = mount(bucket(origin), fresh=True, sse="c", sse_c_key_file=key_file)
    origin.fault("empty_200", kind="HeadObject", key="*awsfs-probe*")
    with pytest.raises(OSError) as refused:
        (disk / "f").write_bytes(b"hello")
    assert refused.value.errno == errno.EOPNOTSUPP
    assert puts(origin) == []
