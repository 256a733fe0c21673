"""What writing costs: requests to the store, and requests of the kernel. Counted."""
import os
import threading

import pytest

from support.work import shell

BLOCK = 4096


@pytest.fixture
def disk(origin, bucket, mount):
    return mount(bucket(origin))


def test_a_directory_and_200_new_files_in_it_are_at_most_202_requests(origin, bucket, mount):
    disk = mount(bucket(origin), ttl="1h") # what is known of the root is not asked for again
    os.listdir(disk.path)
    origin.reset_counts()
    os.mkdir(disk / "d")
    for k in range(200):
        (disk / "d" / ("f%03d" % k)).write_bytes(b"x" * BLOCK)
    counts = origin.requests()
    assert counts["PutObject"] == 201 and sum(counts.values()) <= 202, counts


def test_a_large_log_with_an_fsync_after_each_line_sends_little_more_than_its_lines(origin, disk):
    size, lines = 40 << 20, 5
    with open(disk / "log", "wb", buffering=0) as log:
        log.write(bytes(size))
        os.fsync(log.fileno())
        origin.reset_counts()
        for k in range(lines):
            log.write(b"line %d\n" % k)
            os.fsync(log.fileno())
    counts = origin.requests()
    assert counts["UploadPartCopy"] == counts["UploadPart"] == counts["CompleteMultipartUpload"] == lines, counts
    assert origin.counts()["bytes_in"] < lines * (1 << 20) + 100_000
    assert disk.bucket.get("log") == bytes(size) + b"".join(b"line %d\n" % k for k in range(lines))


def test_files_of_several_writers_are_one_put_each(origin, disk):
    os.mkdir(disk / "d")
    origin.reset_counts()

    def write(n):
        for k in range(20):
            (disk / "d" / ("f%d-%d" % (n, k))).write_bytes(b"x" * 100)
    writers = [threading.Thread(target=write, args=(n,)) for n in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert origin.requests() == {"PutObject": 160}


def test_rm_r_of_what_this_mount_knows_is_one_delete_a_name(origin, bucket, mount):
    disk = mount(bucket(origin), ttl=60)
    for d in range(3):
        os.mkdir(disk / ("d%d" % d))
        for k in range(20):
            (disk / ("d%d" % d) / ("f%d" % k)).write_bytes(b"x")
    origin.reset_counts()
    shell("rm -r d0 d1 d2", disk.path)
    counts = origin.requests()
    # rmdir asks whether others have put something there.
    assert counts == {"DeleteObject": 63, "ListObjectsV2": 3}
    assert disk.bucket.keys() == []


def test_rm_r_of_a_bucket_without_posix_metadata_sends_a_list_a_directory(origin, bucket, mount):
    witness = bucket(origin)
    witness.put_many({"d%d/f%d" % (d, k): b"x" for d in range(3) for k in range(20)})
    disk = mount(witness, ttl=60)
    origin.reset_counts()
    shell("rm -r d0 d1 d2", disk.path)
    counts = origin.requests()
    assert counts["DeleteObject"] == 60 and "GetObject" not in counts
    assert counts.get("HeadObject", 0) <= 6  # two a directory tell that it has no such metadata
    assert counts["ListObjectsV2"] <= 1 + 3 + 3, counts
    disk.umount()
    assert witness.keys() == []


def kernel_requests(disk):
    return disk.status()["kernel"]["requests"]


def test_a_block_written_is_one_request_of_the_kernel(disk):
    fd = os.open(disk / "f", os.O_WRONLY | os.O_CREAT, 0o644)
    os.write(fd, b"x" * BLOCK)
    before = kernel_requests(disk)
    again = kernel_requests(disk)
    for _ in range(200):
        os.write(fd, b"x" * BLOCK)
    after = kernel_requests(disk)
    os.close(fd)
    # WRITE and nothing else: no GETXATTR for security.capability before each
    assert after - again - (again - before) <= 202
