"""An access point by its ARN. At an endpoint of one's own its host is NAME-ACCOUNT.HOST, which is a bucket's to tests/origin."""
import os

from support import servers
from support.work import run

ARN = "arn:aws:s3:eu-west-1:123456789012:accesspoint/my-ap"
BEHIND = "my-ap-123456789012"


def test_an_access_point_is_read_written_and_renamed_in(origin, bucket, mount):
    witness = bucket(origin, BEHIND)
    witness.put("dir/there", b"old")
    witness.put("other", b"not below the prefix")
    disk = mount(witness, source="s3://%s/dir" % ARN, endpoint="http://localhost:%d" % origin.port, region=servers.REGION)
    assert os.listdir(disk.path) == ["there"]
    assert (disk / "there").read_bytes() == b"old"
    (disk / "new").write_bytes(b"new")
    origin.reset_counts()
    os.rename(disk / "new", disk / "a b+%")
    run("chmod", "600", disk / "there")
    with open(disk / "there", "rb") as f:
        os.fsync(f.fileno())
    assert origin.requests()["CopyObject"] == 2
    assert witness.keys() == ["dir/a b+%", "dir/there", "other"]
    assert witness.get("dir/a b+%") == b"new"
    disk.umount()
