"""Memory is bounded whatever is read and written. Measured on the program as released, without sanitizers."""
import os
import threading

import pytest

from support import families
from support.work import Script, pattern, run

LIMIT = 256 << 20

pytestmark = pytest.mark.quiet


def test_a_4_gib_object_is_read_with_the_daemon_under_256_mib(origin_released, bucket, mount, released):
    witness = bucket(origin_released)
    origin_released.synthetic(bucket=witness.name, key="big", size=4 << 30, seed=7)
    disk = mount(witness, binary=released)
    run("dd", "if=%s" % (disk / "big"), "of=/dev/null", "bs=1M", timeout=170)
    print("peak of the daemon: %d MiB" % (disk.peak_memory() >> 20))
    assert disk.peak_memory() < LIMIT


def test_a_2_gib_file_is_written_with_the_daemon_under_256_mib(versitygw, bucket, mount, released):
    witness = bucket(versitygw)
    disk = mount(witness, binary=released)
    block = pattern(1 << 20)
    with open(disk / "big", "wb", buffering=0) as f:
        for _ in range(2048):
            f.write(block)
    print("peak of the daemon: %d MiB" % (disk.peak_memory() >> 20))
    assert disk.peak_memory() < LIMIT
    assert witness.head("big")["ContentLength"] == 2 << 30
    tail = witness.s3.get_object(Bucket=witness.name, Key="big", Range="bytes=%d-" % ((2 << 30) - (1 << 20)))["Body"].read()
    assert tail == block
    witness.delete("big")


def test_many_parallel_readers_of_large_files_stay_within_the_limit(origin_released, bucket, mount, released):
    witness = bucket(origin_released)
    for i in range(16):
        origin_released.synthetic(bucket=witness.name, key="f%d" % i, size=128 << 20, seed=i)
    disk = mount(witness, binary=released)
    readers = [threading.Thread(target=run, args=("dd", "if=%s" % (disk / ("f%d" % i)), "of=/dev/null", "bs=1M"))
               for i in range(16)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    print("peak of the daemon: %d MiB" % (disk.peak_memory() >> 20))
    assert disk.peak_memory() < LIMIT


def test_200_stalled_readers_stay_within_the_limit(origin_released, bucket, mount, released):
    witness = bucket(origin_released)
    for i in range(200):
        origin_released.synthetic(bucket=witness.name, key="f%d" % i, size=64 << 20, seed=i)
    disk = mount(witness, binary=released)
    os.listdir(disk.path)
    origin_released.fault("hang", kind="GetObject")
    readers = [Script("f = open(sys.argv[1], 'rb', buffering=0); print('reading'); f.read(1 << 20)", disk / ("f%d" % i))
               for i in range(200)]
    try:
        for reader in readers:
            assert reader.line() == "reading"
        origin_released.clear_faults()
        origin_released.release()
        for reader in readers:
            reader.finish()
    finally:
        for reader in readers:
            reader.close()
        origin_released.heal()
    print("peak of the daemon: %d MiB" % (disk.peak_memory() >> 20))
    assert disk.peak_memory() < LIMIT


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_listing_of_a_million_names_stays_below_250_mib(origin_released, bucket, mount, released):
    witness = bucket(origin_released)
    origin_released.family(witness.name, families.Family("m/f%06d", each=[1_000_000], size=1))
    disk = mount(witness, binary=released)
    assert len(os.listdir(disk / "m")) == 1_000_000
    print("peak of the daemon: %d MiB" % (disk.peak_memory() >> 20))
    assert disk.peak_memory() < 250 << 20
