"""AWSimple from PyPI and a mount on one bucket: neither transfers what the other has put there already."""
import hashlib
import io

import boto3.s3.transfer
import pytest

from support import awsimple
from support.caches import gets, idle, read
from support.work import pattern

MIB = 1024 * 1024
SMALL, LARGE = pattern(3000, 3), pattern(9 * MIB + 5, 3)


def sha512(body):
    return hashlib.sha512(body).hexdigest()


@pytest.fixture(params=awsimple.VERSIONS)
def both(request, origin, bucket, mount, tmp_path):
    """A mount that wrote and holds `small` and `large`; AWSimple on its bucket; files with the same bytes on the local disk."""
    witness = bucket(origin)
    theirs = awsimple.AWSimple(request.param, witness, tmp_path)
    disk = mount(witness, ttl="0")
    for name, body in (("small", SMALL), ("large", LARGE)):
        (disk / name).write_bytes(body)
        (tmp_path / name).write_bytes(body)
    idle(disk)
    origin.reset_counts()
    return disk, theirs, tmp_path


def puts(origin):
    counts = origin.requests()
    return counts.get("PutObject", 0) + counts.get("CreateMultipartUpload", 0)


def test_what_the_mount_has_written_it_does_not_upload_again(origin, both):
    _, theirs, work = both
    assert theirs(["upload", work / "small", "small"], ["upload", work / "large", "large"]) == [False, False]
    assert puts(origin) == 0


def test_its_cache_knows_what_the_mount_wrote_by_our_sha512(both):
    disk, theirs, work = both
    (disk / "copy").write_bytes(SMALL)
    first, again = theirs(["download_cached", "small", work / "a"], ["download_cached", "copy", work / "b"])
    assert first["cache_hit"] is False and again["cache_hit"] is True
    assert (work / "b").read_bytes() == SMALL
    assert theirs.cached() == [sha512(SMALL)]


def test_what_it_uploads_is_not_downloaded_where_the_bytes_are_held(origin, both):
    disk, theirs, work = both
    assert theirs(["upload", work / "small", "s"], ["upload", work / "large", "l"]) == [True, True]
    origin.reset_counts()
    assert read(disk / "s") == SMALL
    assert read(disk / "l") == LARGE
    assert gets(origin) == 0
    assert disk.status()["files"]["bytes_fetched"] == 0


def test_other_bytes_that_it_uploads_are_exactly_one_download(both):
    disk, theirs, work = both
    other = pattern(len(LARGE), 9)
    (work / "other").write_bytes(other)
    assert theirs(["upload", work / "other", "large"]) == [True]
    assert read(disk / "large") == other
    assert disk.status()["files"]["bytes_fetched"] == len(other)


def test_what_the_mount_overwrites_it_downloads_anew(both):
    disk, theirs, work = both
    theirs(["download_cached", "small", work / "a"])
    (disk / "small").write_bytes(b"new")
    (status_of_new,) = theirs(["download_cached", "small", work / "b"])
    assert status_of_new["cache_hit"] is False
    assert (work / "b").read_bytes() == b"new"
    (disk / "small").chmod(0o600)
    disk.umount()
    (after_chmod,) = theirs(["download_cached", "small", work / "c"])
    assert after_chmod["cache_hit"] is True


def test_its_header_on_bytes_that_others_replaced_is_not_believed(both):
    disk, theirs, work = both
    theirs(["upload", work / "large", "l"])
    meta = disk.bucket.head("l")["Metadata"]
    stale = dict(meta, **{"awsimple-sha512": sha512(LARGE)})
    other = pattern(len(LARGE), 11)
    disk.bucket.s3.upload_fileobj(io.BytesIO(other), disk.bucket.name, "l", ExtraArgs={"Metadata": stale},
                                  Config=boto3.s3.transfer.TransferConfig(multipart_chunksize=8 * MIB))
    assert read(disk / "l") == other


def test_what_has_only_the_old_header_version_8_uploads_again_and_the_mount_does_not_fetch(origin, both):
    disk, theirs, work = both
    disk.bucket.put("old", SMALL, Metadata={"awsimple-sha512": sha512(SMALL)}, ChecksumAlgorithm="CRC32")
    assert theirs(["upload", work / "small", "old"]) == [theirs.version == "8"]
    assert ("awsimple-sha512" in disk.bucket.head("old")["Metadata"]) == (theirs.version == "7")
    origin.reset_counts()
    assert read(disk / "old") == SMALL
    assert gets(origin) == 0
