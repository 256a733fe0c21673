"""s3://: all buckets of the account, a directory each."""
import concurrent.futures
import errno
import http.client
import json
import os
import subprocess
import uuid

import pytest

from support import mounts, servers
from support.work import describe, errno_of, make_tree, run, wait_until


class Account:
    """The witness of a mount of all buckets: what boto3 says of them. Its names are no other test's."""

    source = "s3://"

    def __init__(self, server):
        self.server = server
        self.s3 = server.client()
        self.mark = uuid.uuid4().hex[:12]

    def name(self, what):
        return "%s-%s" % (what, self.mark)

    def names(self):
        return sorted(b["Name"] for b in self.s3.list_buckets()["Buckets"])

    def region(self, name):
        return self.s3.get_bucket_location(Bucket=name)["LocationConstraint"] or "us-east-1"

    def make(self, bucket, what, region=None):
        """A bucket of that name, with one file."""
        if region:
            name = self.name(what)
            self.s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": region})
        else:
            name = bucket(self.server, self.name(what)).name
        self.s3.put_object(Bucket=name, Key="f", Body=name.encode())
        return name

    def get(self, name, key):
        return self.s3.get_object(Bucket=name, Key=key)["Body"].read()

    def keys(self, name):
        return sorted(o["Key"] for o in self.s3.list_objects_v2(Bucket=name).get("Contents", []))


@pytest.fixture
def account(server):
    return Account(server)


@pytest.fixture
def on_origin(origin):
    origin.control("POST", "reset", {})
    return Account(origin)


def test_every_bucket_is_a_directory_with_its_files(account, bucket, mount):
    names = [account.make(bucket, what) for what in ("one", "two", "three.dots")]
    disk = mount(account)
    assert set(names) <= set(os.listdir(disk.path))
    assert sorted(os.listdir(disk.path)) == account.names()
    for name in names:
        assert os.listdir(disk / name) == ["f"]
        assert (disk / name / "f").read_bytes() == name.encode()
        assert os.path.isdir(disk / name)


def test_a_directory_shows_when_its_bucket_was_made(account, bucket, mount):
    name = account.make(bucket, "dated")
    disk = mount(account)
    made = next(b["CreationDate"] for b in account.s3.list_buckets()["Buckets"] if b["Name"] == name)
    os.listdir(disk.path)
    assert int(os.stat(disk / name).st_mtime) == int(made.timestamp())


def test_mkdir_makes_a_bucket_and_rmdir_deletes_it(account, mount):
    disk = mount(account)
    name = account.name("made")
    os.mkdir(disk / name)
    assert name in account.names()
    assert errno_of(os.mkdir, disk / name) == errno.EEXIST
    assert os.listdir(disk / name) == []
    (disk / name / "d").mkdir()
    (disk / name / "d" / "f").write_bytes(b"x")
    assert account.keys(name) == ["d/", "d/f"]
    assert errno_of(os.rmdir, disk / name) == errno.ENOTEMPTY
    run("rm", "-r", disk / name)
    assert name not in account.names()
    assert not os.path.exists(disk / name)
    os.mkdir(disk / name)
    os.rmdir(disk / name)
    assert name not in account.names()


def test_a_bucket_stays_when_its_last_file_goes_and_gets_no_marker(account, bucket, mount):
    name = account.make(bucket, "last")
    disk = mount(account)
    (disk / name / "f").unlink()
    disk.umount()  # waits for what is due
    assert account.keys(name) == []
    assert name in account.names()


def test_a_bucket_with_an_unfinished_upload_is_not_empty(account, bucket, mount):
    name = bucket(account.server, account.name("upload")).name
    account.s3.create_multipart_upload(Bucket=name, Key="part")
    disk = mount(account)
    code = errno_of(os.rmdir, disk / name)
    assert (code == errno.ENOTEMPTY) == (name in account.names())


def test_names_that_no_bucket_can_have_are_refused_without_a_request(on_origin, mount):
    disk = mount(on_origin)
    on_origin.server.reset_counts()
    for name in ("Upper", "ab", "under_score", "-dash", "dash-", "a..b", "192.168.0.1", "xn--x", "a-s3alias", "spa ce", "ü" * 5, "%", "x" * 64):
        assert errno_of(os.mkdir, disk / name) == errno.EINVAL, name
    assert "CreateBucket" not in on_origin.server.requests()


def test_what_programs_look_for_everywhere_costs_no_request(on_origin, mount):
    disk = mount(on_origin)
    on_origin.server.reset_counts()
    for name in (".git", ".Trash-1000", ".hidden"):
        assert not os.path.exists(disk / name)
    assert on_origin.server.requests() == {}


def test_beside_the_buckets_nothing_else_can_be_made(account, bucket, mount):
    name = account.make(bucket, "beside")
    disk = mount(account)
    before = account.names()
    assert errno_of(open, disk / account.name("file"), "wb") == errno.EPERM
    assert errno_of(os.symlink, "x", disk / account.name("link")) == errno.EPERM
    assert errno_of(os.mkfifo, disk / account.name("fifo")) == errno.EPERM
    assert errno_of(os.rename, disk / name / "f", disk / account.name("file")) == errno.EXDEV
    assert errno_of(os.rename, disk / name, disk / account.name("other")) == errno.EXDEV
    assert account.names() == before
    assert (disk / name / "f").read_bytes() == name.encode()


def test_a_bucket_keeps_no_attributes_of_its_own(account, bucket, mount):
    name = account.make(bucket, "attrs")
    disk = mount(account)
    mode = os.stat(disk / name).st_mode & 0o7777
    os.chmod(disk / name, mode)
    os.utime(disk / name, (1, 1))
    assert errno_of(os.chmod, disk / name, mode ^ 0o077) == errno.EPERM
    assert errno_of(os.chown, disk / name, 4711, 4711) == errno.EPERM
    assert errno_of(os.setxattr, disk / name, "user.x", b"y") == errno.EOPNOTSUPP
    assert os.listxattr(disk / name) == []
    disk.umount()
    assert account.keys(name) == ["f"]


def test_a_bucket_of_another_region_is_made_found_and_named(bucket, moto, mount):
    account = Account(moto)
    far = account.make(bucket, "far", "eu-central-1")
    disk = mount(account)
    assert (disk / far / "f").read_bytes() == far.encode()
    assert os.getxattr(disk / far, "user.s3.region") == b"eu-central-1"
    assert errno_of(os.getxattr, disk / far, "user.s3.etag") == errno.ENODATA
    here = account.name("here")
    disk.remount(region="eu-west-1")
    os.mkdir(disk / here)
    assert account.region(here) == "eu-west-1"


def test_a_bucket_that_another_region_redirects_to_is_read_and_written_there(on_origin, bucket, mount):
    account = on_origin
    account.server.settings(region="eu-west-3")
    name = account.make(bucket, "away")
    account.server.fault({"redirect": "eu-west-3"}, key=name + "/*")
    disk = mount(account)
    assert (disk / name / "f").read_bytes() == name.encode()
    (disk / name / "new").write_bytes(b"n" * 100)
    assert account.get(name, "new") == b"n" * 100


def denied(account, name):
    account.server.fault({"status": 403, "code": "AccessDenied"}, key=name + "/*")


def test_a_bucket_one_may_not_list_is_a_directory_that_says_so(on_origin, bucket, mount):
    account = on_origin
    names = [account.make(bucket, what) for what in ("open", "shut")]
    denied(account, names[1])
    disk = mount(account)
    listing = run("ls", "-l", disk.path)
    assert all(name in listing for name in names)
    assert os.path.isdir(disk / names[1])
    assert errno_of(os.listdir, disk / names[1]) == errno.EACCES
    assert errno_of(open, disk / names[1] / "f", "rb") == errno.EACCES
    assert errno_of(os.mkdir, disk / names[1]) == errno.EEXIST
    assert errno_of(os.rmdir, disk / names[1]) == errno.EACCES
    assert (disk / names[0] / "f").read_bytes() == names[0].encode()
    found = subprocess.run(["find", disk.path, "-type", "f"], capture_output=True, text=True, check=False)
    assert found.stdout.split() == [str(disk / names[0] / "f")]
    assert "Permission denied" in found.stderr


def test_who_may_not_list_the_buckets_uses_them_by_name(on_origin, bucket, mount):
    account = on_origin
    name = account.make(bucket, "known")
    account.server.fault({"status": 403, "code": "AccessDenied"}, kind="ListBuckets")
    disk = mount(account)
    assert "cannot be listed" in disk.log()
    assert errno_of(os.listdir, disk.path) == errno.EACCES
    assert (disk / name / "f").read_bytes() == name.encode()
    assert not os.path.exists(disk / account.name("none"))
    os.mkdir(disk / account.name("made"))
    account.server.heal()
    assert account.names() == sorted([name, account.name("made")])


def test_a_bucket_of_another_account_is_used_by_its_name(on_origin, bucket, mount):
    account = on_origin
    name = account.make(bucket, "theirs")
    account.server.settings(bucket=name, foreign=True)
    disk = mount(account)
    assert os.listdir(disk.path) == []
    assert os.path.isdir(disk / name)
    assert (disk / name / "f").read_bytes() == name.encode()
    assert errno_of(os.mkdir, disk / name) == errno.EEXIST


class GuardedMoto(servers.Moto):
    """Checks who may do what, from the request on that follows `free` others."""

    free = 7  # the look whether it answers is one

    def environment(self):
        return {**super().environment(), "INITIAL_NO_AUTH_ACTION_COUNT": str(self.free)}


def test_a_policy_that_forbids_a_bucket_forbids_that_bucket(tmp_path, mount):
    server = GuardedMoto(tmp_path / "guarded").start()
    try:
        account, iam = Account(server), server.client("iam")
        names = [account.name("open"), account.name("shut")]
        for name in names:
            account.s3.create_bucket(Bucket=name)
        account.s3.put_object(Bucket=names[0], Key="f", Body=b"open")
        iam.create_user(UserName="u")
        shut = ["arn:aws:s3:::%s%s" % (names[1], end) for end in ("", "/*")]
        statements = [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}, {"Effect": "Deny", "Action": "s3:*", "Resource": shut}]
        iam.put_user_policy(UserName="u", PolicyName="p",
                            PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": statements}))
        key = iam.create_access_key(UserName="u")["AccessKey"]
        disk = mount(account, env={"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]})
        assert sorted(os.listdir(disk.path)) == names
        assert (disk / names[0] / "f").read_bytes() == b"open"
        assert errno_of(os.listdir, disk / names[1]) == errno.EACCES
        disk.umount()
    finally:
        server.stop()


def test_a_name_that_another_account_has_is_taken(on_origin, mount):
    account = on_origin
    name = account.name("taken")
    disk = mount(account)
    account.server.fault({"status": 409, "code": "BucketAlreadyExists"}, kind="CreateBucket")
    assert errno_of(os.mkdir, disk / name) == errno.EEXIST
    account.server.heal()
    account.server.fault({"status": 400, "code": "TooManyBuckets"}, kind="CreateBucket")
    assert errno_of(os.mkdir, disk / account.name("more")) == errno.EDQUOT
    account.server.heal()
    account.server.fault({"status": 403, "code": "AccessDenied"}, kind="CreateBucket")
    assert errno_of(os.mkdir, disk / account.name("no")) == errno.EACCES


def test_a_bucket_is_made_once_however_often_the_answer_is_lost(on_origin, mount):
    account = on_origin
    account.server.settings(region="eu-west-3")
    disk = mount(account, region="eu-west-3")
    account.server.fault("execute_then_reset", kind="CreateBucket", count=1)
    os.mkdir(disk / account.name("lost"))
    assert account.names() == [account.name("lost")]
    account.server.fault("execute_then_reset", kind="DeleteBucket", count=1)
    os.rmdir(disk / account.name("lost"))
    assert account.names() == []


def test_wrong_credentials_are_a_clear_failure(versitygw, mount):
    with pytest.raises(mounts.MountFailed) as failure:
        mount(Account(versitygw), env={"AWS_SECRET_ACCESS_KEY": "wrong-secret-for-this-test-000000000000"})
    lines = failure.value.output.strip().splitlines()
    assert len(lines) == 1 and "ListBuckets" in lines[0] and versitygw.endpoint in lines[0], lines
    assert "secret access key" in lines[0]


def test_a_read_only_mount_makes_and_deletes_no_bucket(account, bucket, mount):
    name = account.make(bucket, "ro")
    disk = mount(account, ro=True)
    assert errno_of(os.mkdir, disk / account.name("made")) == errno.EROFS
    assert errno_of(os.rmdir, disk / name) == errno.EROFS
    assert (disk / name / "f").read_bytes() == name.encode()


def test_many_buckets_come_in_pages(on_origin, mount):
    account = on_origin
    connection = http.client.HTTPConnection("127.0.0.1", account.server.port)
    for n in range(1203):
        connection.request("PUT", "/many-%04d" % n)
        assert connection.getresponse().read() == b""
    disk = mount(account)
    account.server.reset_counts()
    assert sorted(os.listdir(disk.path)) == ["many-%04d" % n for n in range(1203)]
    assert account.server.requests() == {"ListBuckets": 2}


def test_a_name_just_listed_is_not_asked_for_again(on_origin, bucket, mount):
    account = on_origin
    names = [account.make(bucket, what) for what in ("one", "two")]
    disk = mount(account, ttl=60)
    account.server.reset_counts()
    run("ls", "-l", disk.path)
    assert account.server.requests() == {"ListBuckets": 1}
    assert (disk / names[0] / "f").read_bytes() == names[0].encode()
    assert "HeadBucket" not in account.server.requests()


def test_a_bucket_that_others_delete_is_gone_after_the_ttl(account, bucket, mount):
    name = bucket(account.server, account.name("brief")).name
    disk = mount(account, ttl=0)
    assert name in os.listdir(disk.path)
    account.s3.delete_bucket(Bucket=name)
    assert name not in os.listdir(disk.path)
    assert errno_of(os.stat, disk / name) == errno.ENOENT


def test_cp_a_into_a_bucket_keeps_everything_and_mv_moves_between_buckets(account, mount, tmp_path, rng):
    disk = mount(account)
    tree = tmp_path / "tree"
    tree.mkdir()
    make_tree(tree, rng, files=20)
    for what in ("from", "to"):
        os.mkdir(disk / account.name(what))
    here, there = disk / account.name("from") / "tree", disk / account.name("to") / "tree"
    run("cp", "-a", tree, here)
    disk.remount()
    expected = describe(tree)
    assert describe(here) == expected
    assert errno_of(os.rename, here, there) == errno.EXDEV
    run("mv", here, there)
    assert describe(there) == expected
    assert not here.exists()
    assert account.keys(account.name("from")) == []
    found = run("find", disk / account.name("from"), disk / account.name("to"), "-name", "* *").splitlines()
    assert len(found) == sum(" " in os.path.basename(p) for p in expected)


def test_cp_a_of_a_directory_as_a_bucket_makes_one(account, mount, tmp_path):
    disk = mount(account)
    tree = tmp_path / "tree"
    (tree / "d").mkdir(parents=True)
    (tree / "d" / "f").write_bytes(b"x")
    tree.chmod(0o755)
    run("cp", "-a", tree, disk / account.name("copy"))
    assert account.keys(account.name("copy")) == ["d/", "d/f"]


def cut_off(account, disk, name):
    """The daemon is killed in the middle of an upload by parts to that bucket."""
    (disk / name / "big").write_bytes(os.urandom(20 << 20))
    account.server.fault("hang", kind="CompleteMultipartUpload")
    account.server.reset_counts()
    writer = subprocess.Popen(["dd", "status=none", "bs=1M", "if=%s" % (disk / name / "big"), "of=%s" % (disk / name / "cut")])
    wait_until(lambda: account.server.requests().get("CompleteMultipartUpload", 0) > 0, what="the complete")
    disk.kill9()
    writer.kill()
    writer.wait()
    account.server.heal()
    assert recorded(disk)


def recorded(disk):
    return [p for p in disk.state_files() if p.parent.name == "uploads" and p.stat().st_size]


def test_an_upload_that_was_cut_off_is_aborted_by_the_next_mount(on_origin, bucket, mount):
    account = on_origin
    name = account.make(bucket, "large")
    disk = mount(account)
    cut_off(account, disk, name)
    assert account.s3.list_multipart_uploads(Bucket=name)["Uploads"]
    disk.start()
    wait_until(lambda: not account.s3.list_multipart_uploads(Bucket=name).get("Uploads"), what="the abort")
    wait_until(lambda: not recorded(disk), what="the end of the record")


def test_an_upload_that_was_cut_off_is_forgotten_with_its_bucket(on_origin, bucket, mount):
    account = on_origin
    name = account.make(bucket, "brief")
    disk = mount(account)
    cut_off(account, disk, name)
    for key in account.keys(name):
        account.s3.delete_object(Bucket=name, Key=key)
    account.s3.delete_bucket(Bucket=name)
    disk.start()
    wait_until(lambda: not recorded(disk), what="the end of the record")


def test_a_file_of_many_parts_is_whole(account, bucket, mount):
    name = account.make(bucket, "parts")
    disk = mount(account)
    data = os.urandom(20 << 20)
    (disk / name / "big").write_bytes(data)
    assert account.get(name, "big") == data
    os.rename(disk / name / "big", disk / name / "moved")
    disk.remount()
    assert (disk / name / "moved").read_bytes() == data


def test_many_programs_use_many_buckets_at_once(on_origin, mount):
    account = on_origin
    names = ["crowd-%d" % n for n in range(6)]
    for name in names:
        account.s3.create_bucket(Bucket=name)
    disk = mount(account)

    def use(n):
        for name in names[n % 6:] + names[:n % 6]:
            (disk / name / ("f%d" % n)).write_bytes(name.encode() * n)
            assert (disk / name / ("f%d" % n)).read_bytes() == name.encode() * n
        return sorted(os.listdir(disk.path)) == names

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        assert all(pool.map(use, range(1, 17)))
    for name in names:
        assert account.keys(name) == sorted("f%d" % n for n in range(1, 17))


def test_status_counts_the_requests_of_all_buckets(on_origin, bucket, mount):
    account = on_origin
    names = [account.make(bucket, what) for what in ("one", "two")]
    disk = mount(account)
    for name in names:
        assert (disk / name / "f").read_bytes() == name.encode()
        assert not os.path.exists(disk / account.name("none"))
    status = disk.status()
    assert status["source"] == "s3://"
    assert status["requests"]["GetObject"] == 2
    sent = account.server.requests()
    assert {kind: n for kind, n in status["requests"].items() if kind in ("HeadBucket", "ListObjectsV2")} == \
           {kind: n for kind, n in sent.items() if kind in ("HeadBucket", "ListObjectsV2")}


def test_df_and_stat_of_the_root_work(account, bucket, mount):
    name = account.make(bucket, "df")
    disk = mount(account)
    run("df", disk / name)
    run("df", disk.path)
    assert os.path.isdir(disk.path)
