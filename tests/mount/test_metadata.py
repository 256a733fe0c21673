"""Attributes in the bucket: what others stored survives, what awsfs stores others read."""
import base64
import errno
import hashlib
import os
import stat
import time

import pytest

from support.work import errno_of, pattern, sha512, wait_until

HEADERS = {"ContentType": "text/x-special", "CacheControl": "max-age=77", "ContentEncoding": "x-own", "ContentLanguage": "de",
           "ContentDisposition": 'attachment; filename="x"', "Metadata": {"colour": "green", "author": "somebody"},
           "StorageClass": "STANDARD_IA", "Tagging": "team=a&cost=b%20c"}


def kept(bucket, key):
    head = bucket.head(key)
    return {name: head.get(name) for name in ("ContentType", "CacheControl", "ContentEncoding", "ContentLanguage",
                                              "ContentDisposition", "StorageClass")} | {
        "colour": head["Metadata"].get("colour"), "author": head["Metadata"].get("author"), "tags": bucket.tags(key)}


def chmod(disk):
    (disk / "f").chmod(0o600)
    return "f"


def touch(disk):
    os.utime(disk / "f", (1_600_000_000, 1_600_000_000))
    return "f"


def rename(disk):
    os.rename(disk / "f", disk / "g")
    return "g"


def rewrite(disk):
    (disk / "f").write_bytes(b"entirely new")
    return "f"


def append(disk):
    with open(disk / "f", "ab") as f:
        f.write(b"more")
    return "f"


@pytest.mark.parametrize("change", [chmod, touch, rename, rewrite, append])
def test_what_another_tool_stored_survives(moto, bucket, mount, change):
    witness = bucket(moto)
    witness.put("f", b"content", ACL="public-read", **HEADERS)
    before = kept(witness, "f")
    disk = mount(witness)
    key = change(disk)
    disk.umount()
    assert kept(witness, key) == before
    grants = witness.s3.get_object_acl(Bucket=witness.name, Key=key)["Grants"]
    assert any(g["Grantee"].get("URI", "").endswith("AllUsers") and g["Permission"] == "READ" for g in grants)


def test_server_side_encryption_survives_a_change_of_content_and_of_attributes(moto, bucket, mount):
    witness = bucket(moto)
    witness.put("f", b"x", ServerSideEncryption="aws:kms", SSEKMSKeyId="alias/mine")
    disk = mount(witness)
    (disk / "f").chmod(0o600)
    disk.remount()
    (disk / "f").write_bytes(b"y")
    disk.umount()
    head = witness.head("f")
    assert head["ServerSideEncryption"] == "aws:kms" and "mine" in head["SSEKMSKeyId"]


def test_values_that_describe_the_bytes_are_recomputed_when_the_content_changes(server, bucket, mount):
    witness = bucket(server)
    old = b"old"
    witness.put("f", old, Metadata={"awsimple-sha512": sha512(old), "md5chksum": base64.b64encode(hashlib.md5(old).digest()).decode(),
                                    "colour": "green"})
    disk = mount(witness)
    with open(disk / "f", "ab") as f:
        f.write(b" and new")
    metadata = witness.head("f")["Metadata"]
    assert metadata["awsimple-sha512"] == sha512(b"old and new")
    assert metadata.get("md5chksum") in (None, base64.b64encode(hashlib.md5(b"old and new").digest()).decode())
    assert metadata["colour"] == "green"


@pytest.mark.parametrize("size", [0, 100, 6 << 20, 20 << 20])
def test_the_header_carries_the_sha512_of_the_bytes(disk, size):
    data = pattern(size)
    (disk / "f").write_bytes(data)
    wait_until(lambda: disk.bucket.exists("f"))
    assert disk.bucket.head("f")["Metadata"]["awsimple-sha512"] == sha512(data)


def test_a_small_put_carries_the_native_sha512_too(server, bucket, mount):
    disk = mount(bucket(server))
    (disk / "f").write_bytes(b"hello world")
    head = disk.bucket.s3.head_object(Bucket=disk.bucket.name, Key="f", ChecksumMode="ENABLED")
    assert base64.b64decode(head["ChecksumSHA512"]).hex() == sha512(b"hello world")


def test_mode_owner_times_and_symlinks_are_stored_as_s3fs_stores_them(disk):
    path = disk / "f"
    path.write_bytes(b"x")
    path.chmod(0o751)
    os.utime(path, ns=(1_000_000_000_000_000_000, 1_111_111_111_000_000_005))
    (disk / "d").mkdir(mode=0o750)
    os.symlink("target", disk / "l")
    disk.umount()
    metadata = disk.bucket.head("f")["Metadata"]
    assert metadata["mode"] == str(stat.S_IFREG | 0o751)
    assert metadata["mtime"] == "1111111111.000000005"
    assert (metadata["uid"], metadata["gid"]) == (str(os.getuid()), str(os.getgid()))
    marker = disk.bucket.head("d/")
    assert marker["Metadata"]["mode"] == str(stat.S_IFDIR | 0o750) and marker["ContentType"].startswith("application/x-directory")
    assert disk.bucket.get("l") == b"target" and disk.bucket.head("l")["Metadata"]["mode"] == "41471"


# metadata as another tool wrote it -> mode with type, mtime in ns
FOREIGN = [
    ("s3fs", {"mode": "33188", "uid": "7", "gid": "8", "mtime": "1234567890"}, 0o100644, 1234567890 * 10**9),
    ("s3fs with nanoseconds", {"mode": "33152", "mtime": "1234567890.000000007"}, 0o100600, 1234567890 * 10**9 + 7),
    ("rclone -M", {"mode": "100664", "mtime": "2009-02-13T23:31:30Z"}, 0o100664, 1234567890 * 10**9),
    ("rclone", {"mtime": "1234567890.500000000"}, None, 1234567890 * 10**9 + 5 * 10**8),
    ("FSx for Lustre", {"file-permissions": "0100640", "file-owner": "7", "file-group": "8", "file-mtime": "1234567890000000001ns"},
     0o100640, 1234567890 * 10**9 + 1),
    ("Storage Gateway", {"file-permissions": "0600", "file-mtime": "1234567890123"}, 0o100600, 1234567890123 * 10**6),
    ("gcs", {"goog-reserved-posix-mode": "640", "goog-reserved-file-mtime": "1234567890"}, 0o100640, 1234567890 * 10**9),
]


@pytest.mark.parametrize("tool, metadata, mode, mtime", FOREIGN, ids=[f[0] for f in FOREIGN])
def test_attributes_written_by_other_tools_are_read(moto, bucket, mount, tool, metadata, mode, mtime):
    witness = bucket(moto)
    witness.put("f", b"x", Metadata=metadata)
    info = os.stat(mount(witness, attrs="head") / "f")
    assert mode is None or oct(info.st_mode) == oct(mode)
    assert info.st_mtime_ns == mtime
    if "uid" in metadata or "file-owner" in metadata:
        assert (info.st_uid, info.st_gid) == (7, 8)


def test_nothing_in_a_bucket_can_make_a_file_setuid_or_a_device_that_works(moto, bucket, mount):
    witness = bucket(moto)
    witness.put("suid", b"x", Metadata={"mode": str(stat.S_IFREG | 0o4755), "uid": "0"})
    disk = mount(witness, attrs="head")
    flags = next(line.split()[5] for line in open("/proc/self/mountinfo", encoding="utf-8") if line.split()[4] == str(disk.path))
    assert {"nosuid", "nodev"} <= set(flags.split(","))


def test_user_attributes_are_kept_listed_and_removed(disk):
    path = disk / "f"
    path.write_bytes(b"x")
    os.setxattr(path, "user.colour", b"red\0\xffbinary")
    os.setxattr(path, "user.empty", b"")
    disk.remount(attrs="head")
    assert sorted(os.listxattr(path)) == ["user.colour", "user.empty"]
    assert os.getxattr(path, "user.colour") == b"red\0\xffbinary"
    assert errno_of(os.setxattr, path, "user.colour", b"", os.XATTR_CREATE) == errno.EEXIST
    assert errno_of(os.setxattr, path, "user.none", b"", os.XATTR_REPLACE) == errno.ENODATA
    os.removexattr(path, "user.colour")
    disk.remount()
    assert os.listxattr(path) == ["user.empty"]
    assert errno_of(os.getxattr, path, "user.colour") == errno.ENODATA


def test_user_attributes_are_in_the_header_that_s3fs_reads(disk):
    (disk / "f").write_bytes(b"x")
    os.setxattr(disk / "f", "user.a", b"value")
    disk.umount()
    from urllib.parse import unquote
    assert unquote(disk.bucket.head("f")["Metadata"]["xattr"]) == '{"user.a":"%s"}' % base64.b64encode(b"value").decode()


def test_what_s3_knows_is_read_as_attributes_that_are_not_listed(moto, bucket, mount):
    witness = bucket(moto)
    etag = witness.put("f", b"hello world", **HEADERS)
    path = mount(witness) / "f"
    assert os.listxattr(path) == []
    get = lambda name: os.getxattr(path, "user.s3." + name).decode()
    assert get("etag").strip('"') == etag
    assert get("content-type") == "text/x-special" and get("cache-control") == "max-age=77"
    assert get("storage-class") == "STANDARD_IA"
    assert get("meta.colour") == "green"
    assert "team" in get("tags") and get("url").startswith("http")
    assert errno_of(os.getxattr, path, "user.s3.nothing-like-this") == errno.ENODATA


def test_the_sha512_attribute_is_that_of_the_bytes(disk):
    (disk / "f").write_bytes(b"hello world")
    assert os.getxattr(disk / "f", "user.s3.sha512").decode() == sha512(b"hello world")


def test_a_presigned_url_serves_the_bytes_to_anybody(server, bucket, mount):
    import urllib.request
    disk = mount(bucket(server))
    (disk / "f +%").write_bytes(b"shared")
    for name in ("user.s3.presigned", "user.s3.presigned.60"):
        url = os.getxattr(disk / "f +%", name).decode()
        assert urllib.request.urlopen(url, timeout=10).read() == b"shared"


def test_attributes_of_s3_can_be_set(moto, bucket, mount):
    disk = mount(bucket(moto))
    path = disk / "f"
    path.write_bytes(b"x")
    os.setxattr(path, "user.s3.content-type", b"image/png")
    os.setxattr(path, "user.s3.cache-control", b"no-store")
    os.setxattr(path, "user.s3.meta.colour", b"blue")
    os.setxattr(path, "user.s3.tags", b"a=1&b=2")
    disk.umount()
    head = disk.bucket.head("f")
    assert (head["ContentType"], head["CacheControl"], head["Metadata"]["colour"]) == ("image/png", "no-store", "blue")
    assert disk.bucket.tags("f") == {"a": "1", "b": "2"} and disk.bucket.get("f") == b"x"


def test_security_and_acl_attributes_are_refused_without_a_request(origin, bucket, mount):
    disk = mount(bucket(origin))
    (disk / "f").write_bytes(b"x")
    os.stat(disk / "f")
    origin.reset_counts()
    for name in ("security.capability", "system.posix_acl_access", "security.selinux"):
        assert errno_of(os.getxattr, disk / "f", name) in (errno.EOPNOTSUPP, errno.ENODATA)
        assert errno_of(os.setxattr, disk / "f", name, b"x" * 20) in (errno.EOPNOTSUPP, errno.EINVAL, errno.EPERM)
    assert origin.requests() == {}


def test_metadata_over_2_kb_is_refused_and_the_file_stays_as_it_was(disk):
    (disk / "f").write_bytes(b"x")
    assert errno_of(os.setxattr, disk / "f", "user.big", b"v" * 3000) in (errno.E2BIG, errno.ENOSPC, errno.EFBIG, errno.ERANGE)
    assert os.listxattr(disk / "f") == [] and disk.bucket.get("f") == b"x"


def test_attrs_list_never_looks_and_attrs_head_always_does(origin, bucket, mount):
    witness = bucket(origin)
    for i in range(5):
        witness.put("f%d" % i, b"x", Metadata={"mode": str(stat.S_IFREG | 0o600)})
    listed = mount(witness, attrs="list", file_mode="0640")
    origin.reset_counts()
    assert {oct(e.stat().st_mode & 0o777) for e in os.scandir(listed.path)} == {"0o640"}
    assert "HeadObject" not in origin.requests()
    looked = mount(witness, attrs="head")
    origin.reset_counts()
    assert {oct(e.stat().st_mode & 0o777) for e in os.scandir(looked.path)} == {"0o600"}
    assert origin.requests()["HeadObject"] == 5


def test_attrs_auto_looks_where_a_sample_carries_posix_metadata(origin, bucket, mount):
    witness = bucket(origin)
    for i in range(20):
        witness.put("posix/f%02d" % i, b"x", Metadata={"mode": str(stat.S_IFREG | 0o600)})
    disk = mount(witness)
    assert {oct(e.stat().st_mode & 0o777) for e in os.scandir(disk / "posix")} == {"0o600"}
    origin.reset_counts()
    assert {oct(e.stat().st_mode & 0o777) for e in os.scandir(disk / "posix")} == {"0o600"}
    assert "HeadObject" not in origin.requests()


def test_uid_gid_umask_and_modes_of_the_options_hold_where_nothing_is_stored(server, bucket, mount):
    witness = bucket(server)
    witness.put("d/f", b"x")
    disk = mount(witness, uid=42, gid=43, file_mode="0604", dir_mode="0705")
    info, folder = os.stat(disk / "d" / "f"), os.stat(disk / "d")
    assert (info.st_uid, info.st_gid, oct(info.st_mode & 0o777), oct(folder.st_mode & 0o777)) == (42, 43, "0o604", "0o705")


def test_a_renamed_directory_keeps_the_times_of_objects_that_have_none_stored(server, bucket, mount):
    witness = bucket(server)
    kept = {"ContentType": "text/x-kept", "Metadata": {"k": "v"}}
    witness.put("d/plain", b"x", **kept)
    witness.put("d/sub/plain", b"y", **kept)
    witness.put("d/own", b"z", Metadata={"mtime": "1111111111"})
    disk = mount(witness)
    names = ["plain", "sub/plain"]
    before = [os.stat(disk / "d" / name).st_mtime_ns for name in names]
    time.sleep(2.1)  # Last-Modified has seconds
    os.rename(disk / "d", disk / "e")
    assert [os.stat(disk / "e" / name).st_mtime_ns for name in names] == before
    os.listdir(disk / "e")
    disk.remount()
    assert [os.stat(disk / "e" / name).st_mtime_ns for name in names] == before
    head = witness.head("e/plain")
    assert head["ContentType"] == "text/x-kept" and head["Metadata"]["k"] == "v"
    assert witness.head("e/own")["Metadata"] == {"mtime": "1111111111"}


def test_the_time_of_a_renamed_object_costs_no_request(origin, bucket, mount):
    witness = bucket(origin)
    for i in range(20):
        witness.put("d/f%d" % i, b"x")
    disk = mount(witness)
    os.listdir(disk / "d")
    origin.reset_counts()
    os.rename(disk / "d", disk / "e")
    requests = origin.requests()
    assert requests["CopyObject"] == 20 and requests["HeadObject"] <= 20
