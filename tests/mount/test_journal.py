"""What was written and is not in the store: awsfs journal lists it, tries again, exports and discards, without a mount."""
import contextlib
import errno
import json
import os
import re
import subprocess

import pytest

from support import mounts
from support.journal import Journal
from support.work import Script, errno_of, pattern, wait_until

REFUSED = {"status": 403, "code": "AccessDenied"}


def fail_a_write(disk, name, data, flags=os.O_CREAT | os.O_TRUNC, offset=0):
    """Writes what the store refuses at the close."""
    fd = os.open(disk / name, os.O_WRONLY | flags, 0o640)
    os.pwrite(fd, data, offset)
    assert errno_of(os.close, fd) in (errno.EACCES, errno.ESTALE)


@pytest.fixture
def failing(origin, bucket, mount):
    """make(NAME, DATA): a mount whose put of NAME was refused; it is unmounted, and the store is well again."""
    def make(name, data, witness=None, flags=os.O_CREAT | os.O_TRUNC, offset=0, prepare=None):
        disk = mount(witness or bucket(origin))
        if prepare:
            prepare(disk)
        for kind in ("PutObject", "CompleteMultipartUpload"):
            origin.fault(REFUSED, kind=kind)
        fail_a_write(disk, name, data, flags, offset)
        wait_until(lambda: Journal(disk).entries("failed"))
        disk.umount()
        origin.clear_faults()
        return disk
    return make


def test_what_could_not_be_put_is_listed_and_put_by_retry(failing):
    disk = failing("f", b"mine")
    journal = Journal(disk)
    entry = journal.one("failed")
    assert entry["object"] == disk.source + "/f" and entry["size"] == 4 and entry["missing"] == 0
    assert "AccessDenied" in entry["reason"] and entry["mountpoint"] == str(disk.path) and not entry["mounted"]
    assert re.match(r"\d{4}-\d\d-\d\dT", entry["time"])
    text = journal("list")
    assert entry["name"] in text and entry["object"] in text and "AccessDenied" in text
    assert "is in the store" in journal("retry", entry["name"])
    assert disk.witness.get("f") == b"mine" and disk.witness.head("f")["Metadata"]["mode"] == str(0o100640)
    assert journal.entries() == [] and "nothing" in journal("list")
    assert [p for p in disk.state_files() if "staged" in str(p)] == []


def test_a_retry_that_is_refused_keeps_the_entry_and_says_why(failing, origin):
    disk = failing("f", b"mine")
    origin.fault(REFUSED, kind="PutObject")
    journal = Journal(disk)
    assert "AccessDenied" in journal("retry", journal.one("failed")["name"], status=1)
    assert journal.one("failed")["size"] == 4
    origin.clear_faults()
    journal("retry", disk.source)
    assert disk.witness.get("f") == b"mine" and journal.entries() == []


def test_a_retry_over_what_others_put_meanwhile_is_a_conflict_copy(failing):
    disk = failing("f", b"mine")
    disk.witness.put("f", b"theirs")
    assert "(conflict" in Journal(disk)("retry", disk.source + "/f")
    copy, = [key for key in disk.witness.keys() if key != "f"]
    assert copy.startswith("f (conflict ") and disk.witness.get(copy) == b"mine" and disk.witness.get("f") == b"theirs"
    assert Journal(disk).entries() == []


def test_a_retry_of_a_large_change_fetches_what_was_never_here(failing, origin, bucket):
    witness = bucket(origin)
    data = bytearray(pattern(40 << 20))
    witness.put("f", bytes(data), ContentType="text/x-kept")
    disk = failing("f", b"changed", witness, flags=0, offset=20 << 20)
    entry = Journal(disk).one("failed")
    assert 0 < entry["missing"] < entry["size"] == 40 << 20
    Journal(disk)("retry", entry["name"])
    data[20 << 20:(20 << 20) + 7] = b"changed"
    assert witness.get("f") == bytes(data) and witness.uploads() == []
    assert witness.head("f")["ContentType"] == "text/x-kept"


def test_a_retry_without_the_version_that_it_changes_keeps_the_entry(failing, origin, bucket):
    witness = bucket(origin)
    witness.put("f", pattern(40 << 20))
    disk = failing("f", b"changed", witness, flags=0, offset=20 << 20)
    witness.put("f", b"theirs")
    assert Journal(disk)("retry", disk.source, status=1)
    assert witness.get("f") == b"theirs" and witness.keys() == ["f"] and Journal(disk).one("failed")


def test_a_retry_goes_nowhere_but_to_the_endpoint_of_the_mount(failing, versitygw):
    disk = failing("f", b"mine")
    assert "endpoint" in Journal(disk)("retry", disk.source, status=1, options=",endpoint=" + versitygw.endpoint)
    assert Journal(disk).one("failed")


def test_export_writes_the_bytes_and_replaces_nothing(failing, tmp_path):
    disk = failing("dir/sub/f", b"mine", prepare=lambda d: os.makedirs(d / "dir/sub"))
    to = tmp_path / "out"
    journal = Journal(disk)
    assert "dir/sub/f" in journal("export", str(to))
    assert (to / "dir/sub/f").read_bytes() == b"mine"
    (to / "dir/sub/f").write_bytes(b"precious")
    journal("export", str(to), disk.source + "/dir")
    assert (to / "dir/sub/f").read_bytes() == b"precious" and (to / "dir/sub/f (2)").read_bytes() == b"mine"
    assert journal.one("failed")
    journal("export", str(to), "nothing/of-the-kind", status=1)


def test_an_export_of_nothing_says_so(failing, tmp_path):
    disk = failing("f", b"mine")
    journal = Journal(disk)
    journal("discard", journal.one("failed")["name"])
    assert journal("export", str(tmp_path / "out")).startswith("nothing: everything") and not (tmp_path / "out").exists()
    assert journal("export", str(tmp_path / "out"), "--json") == "[]\n"


def test_export_tells_of_bytes_that_are_not_here(failing, origin, bucket, tmp_path):
    witness = bucket(origin)
    witness.put("f", pattern(40 << 20))
    disk = failing("f", b"changed", witness, flags=0, offset=20 << 20)
    assert "zeros" in Journal(disk)("export", str(tmp_path))
    assert (tmp_path / "f").stat().st_size == 40 << 20
    with open(tmp_path / "f", "rb") as f:
        f.seek(20 << 20)
        assert f.read(7) == b"changed"
    assert json.loads((tmp_path / "f.info").read_text())["unfetched"]


@pytest.mark.parametrize("key, name", [
    ("../../escaped", "%2E%2E/%2E%2E/escaped"), ("/etc/passwd", "%/etc/passwd"), ("a//./b", "a/%/%2E/b"), ("dir/", "dir/%"),
    ("..", "%2E%2E"), ("\x1b[31mred\n", "\x1b[31mred\n"), ("x" * 300, None), ("link/f", None)])
def test_no_key_leads_out_of_the_directory_or_commands_the_terminal(failing, tmp_path, key, name):
    disk = failing("f", b"mine")
    info, = [p for p in disk.state_files() if p.suffix == ".info"]
    info.write_text(json.dumps({**json.loads(info.read_text()), "key": key}))
    outside, to = tmp_path / "outside", tmp_path / "out"
    outside.mkdir()
    to.mkdir()
    (to / "link").symlink_to(outside)
    journal = Journal(disk)
    shown = journal("list")
    assert "\x1b" not in shown and len(shown.splitlines()) == 2
    journal("export", str(to), status=1 if key.startswith("link") else 0)
    written = [p for p in to.rglob("*") if p.is_file()]
    assert list(outside.iterdir()) == [] and not (tmp_path / "escaped").exists()
    if not key.startswith("link"):
        assert len(written) == 1 and written[0].read_bytes() == b"mine"
        assert name is None or written[0] == to / name
    assert journal.one("failed")


def test_a_description_that_is_damaged_loses_no_bytes_and_is_not_put_anywhere(failing, tmp_path):
    disk = failing("f", b"mine")
    info, = [p for p in disk.state_files() if p.suffix == ".info"]
    info.write_bytes(info.read_bytes()[:20])
    journal = Journal(disk)
    entry = journal.one("failed")
    assert entry["key"] == "" and "cannot be read" in entry["reason"]
    assert "export" in journal("retry", entry["name"], status=1)
    journal("export", str(tmp_path / "out"))
    assert [p.read_bytes() for p in (tmp_path / "out").iterdir() if p.suffix != ".info"] == [b"mine"]
    assert not disk.witness.exists("f") and journal.one("failed")


def test_discard_takes_nothing_but_what_is_named(failing):
    disk = failing("f", b"mine")
    journal = Journal(disk)
    assert "which" in journal("discard", status=2)
    assert "one by one" in journal("discard", disk.source, status=2)
    journal("discard", "nothing/of-the-kind", status=1)
    assert "discarded" in journal("discard", journal.one("failed")["name"])
    assert journal.entries() == [] and not disk.witness.exists("f")


def test_a_mount_that_is_alive_lists_what_failed_and_retries_it(origin, bucket, mount):
    disk = mount(bucket(origin))
    origin.fault(REFUSED, kind="PutObject")
    fail_a_write(disk, "f", b"mine")
    journal = Journal(disk)
    wait_until(lambda: journal.entries("failed"))
    assert journal.one("failed")["mounted"]
    origin.clear_faults()
    with open(disk / "writing", "wb", buffering=0) as f:
        f.write(b"not yet")
        journal("retry", disk.source)
        assert journal.entries() == []
    assert disk.witness.get("f") == b"mine" and (disk / "writing").read_bytes() == b"not yet"
    assert disk.status()["failed"] == []


@pytest.mark.parametrize("options", [{}, {"cache": "none"}], ids=["cache", "no cache"])
@pytest.mark.parametrize("before", [None, b"old"], ids=["new", "changed"])
def test_a_mount_that_is_alive_shows_what_a_retry_has_put(origin, bucket, mount, options, before):
    witness = bucket(origin)
    if before:
        witness.put("f", before)
    disk = mount(witness, ttl=86400, **options)
    origin.fault(REFUSED, kind="PutObject")
    fail_a_write(disk, "f", b"mine")
    journal = Journal(disk)
    wait_until(lambda: journal.entries("failed"))
    origin.clear_faults()
    assert os.listdir(disk.path) == (["f"] if before else [])
    assert (disk / "f").read_bytes() == before if before else not (disk / "f").exists()
    journal("retry", journal.one("failed")["name"])
    wait_until(lambda: (disk / "f").exists() and (disk / "f").read_bytes() == b"mine")
    assert os.listdir(disk.path) == ["f"]


def test_flush_and_umount_tell_of_what_is_kept_here(origin, bucket, mount):
    def told(command):
        done = subprocess.run([mounts.program(), command, disk.path], env=mounts.environment(command), capture_output=True, text=True, check=True)
        return done.stderr
    disk = mount(bucket(origin))
    journal = Journal(disk)
    (disk / "well").write_bytes(b"sent")
    assert told("flush") == ""
    origin.fault(REFUSED, kind="PutObject", count=2)
    for n, name in enumerate("fg", 1):
        fail_a_write(disk, name, b"mine")
        wait_until(lambda: len(journal.entries("failed")) == n)
    assert "2 files could not be stored" in told("flush") and "awsfs journal list" in told("flush")
    origin.clear_faults()
    journal("retry", journal.entries("failed")[0]["name"])
    assert "1 file could not be stored and is kept here" in told("umount")


def test_what_a_daemon_was_killed_over_is_exported_and_its_uploads_are_aborted_by_discard(origin, bucket, mount, tmp_path):
    witness = bucket(origin)
    foreign = witness.s3.create_multipart_upload(Bucket=witness.name, Key="large")["UploadId"]
    disk = mount(witness)
    (disk / "before").write_bytes(b"x" * (20 << 20)) # what the server can is known from here on
    (disk / "before").unlink()
    origin.reset_counts()
    origin.fault("hang", kind="CompleteMultipartUpload")
    script = Script("""
import sys
with open(sys.argv[1], "wb") as f:
    f.write(b"x" * (20 << 20))
""", disk / "large")
    wait_until(lambda: "CompleteMultipartUpload" in origin.counts()["by_kind"])
    journal = Journal(disk)
    upload = journal.one("upload")
    assert upload["mounted"] and upload["object"] == disk.source + "/large"
    assert "using" in journal("discard", upload["name"], status=1) and len(witness.uploads()) == 2
    disk.kill9()
    script.close()
    origin.clear_faults()
    entry = journal.one("unfinished")
    assert entry["key"] == "" and entry["size"] == 20 << 20
    journal("export", str(tmp_path / "out"), entry["name"])
    copy, = (tmp_path / "out").iterdir()
    assert copy.read_bytes() == b"x" * (20 << 20)
    assert "aborted" in journal("discard", upload["name"])
    assert [u["UploadId"] for u in witness.uploads()] == [foreign]
    journal("discard", entry["name"])
    assert journal.entries() == []


def test_what_a_daemon_was_killed_over_is_listed_while_the_next_mount_writes(origin, bucket, mount, tmp_path):
    disk = mount(bucket(origin))
    with open(disk / "f", "wb", buffering=0) as f:
        f.write(b"precious")
        disk.kill9()
        with contextlib.suppress(OSError):
            f.close()
    disk.start()
    journal = Journal(disk)
    with open(disk / "g", "wb", buffering=0) as g:
        g.write(b"in use")
        entry = journal.one("unfinished")
        assert entry["size"] == 8
        journal("export", str(tmp_path / "out"), entry["name"])
        assert [p.read_bytes() for p in (tmp_path / "out").iterdir()] == [b"precious"]
        assert "only what is" in journal("retry", entry["name"], status=1)
        journal("discard", entry["name"])
        assert "being written" in journal("list")
    assert "everything" in journal("list")
    assert disk.witness.get("g") == b"in use"


@pytest.mark.parametrize("answer", ["execute_then_reset", "malformed_xml"])
def test_an_upload_that_was_begun_unheard_is_shown_and_aborted_by_discard_only(origin, bucket, mount, answer):
    witness = bucket(origin)
    foreign = witness.s3.create_multipart_upload(Bucket=witness.name, Key="other")["UploadId"]
    disk = mount(witness, timeout=2)
    origin.fault(answer, kind="CreateMultipartUpload", count=-1)
    for _ in range(2): # each may be of either intent
        fd = os.open(disk / "large", os.O_WRONLY | os.O_CREAT, 0o644)
        os.write(fd, b"x" * (20 << 20))
        assert errno_of(os.close, fd) == errno.EIO
    begun = {u["UploadId"] for u in witness.uploads()} - {foreign}
    disk.umount()
    origin.clear_faults()
    disk.start()
    wait_until(lambda: "awsfs journal" in disk.log())
    disk.umount()
    assert begun and {u["UploadId"] for u in witness.uploads()} == begun | {foreign}
    journal = Journal(disk)
    entries = journal.entries("unanswered")
    assert len(entries) == len(begun) and {e["key"] for e in entries} == {"large"}
    journal("discard", *[e["name"] for e in entries])
    assert {u["UploadId"] for u in witness.uploads()} == {foreign}
    intents = journal.entries("unanswered")
    assert len(intents) > 1 and all("there is none" in entry["reason"] for entry in intents)
    disk.start()
    wait_until(lambda: not list(disk.state.glob("*/uploads/*.intent")))
    disk.umount()
    assert {u["UploadId"] for u in witness.uploads()} == {foreign} and journal.entries("unanswered") == []


def test_an_upload_that_begins_at_the_second_attempt_may_have_left_a_first_one(origin, bucket, mount):
    witness = bucket(origin)
    disk = mount(witness)
    origin.fault("execute_then_reset", kind="CreateMultipartUpload", count=1)
    (disk / "large").write_bytes(b"x" * (20 << 20))
    left, = witness.uploads()
    disk.umount()
    journal = Journal(disk)
    journal("discard", journal.one("unanswered")["name"])
    assert witness.uploads() == [] and left["Key"] == "large" and witness.get("large") == b"x" * (20 << 20)


def test_who_asks_for_an_upload_and_is_answered_leaves_no_intent(origin, bucket, mount):
    disk = mount(bucket(origin))
    (disk / "large").write_bytes(b"x" * (20 << 20))
    origin.fault(REFUSED, kind="CreateMultipartUpload")
    fail_a_write(disk, "refused", b"x" * (20 << 20))
    assert list(disk.state.glob("*/uploads/*")) == []


def test_a_record_that_cannot_be_read_is_kept_and_listed(failing, tmp_path):
    disk = failing("f", b"mine")
    uploads, = disk.state.glob("*/uploads")
    (uploads / ("a" * 64 + ".upload")).write_text("{")
    disk.start()
    bad = uploads / ("a" * 64 + ".upload.bad")
    wait_until(bad.exists)
    disk.umount()
    entry = Journal(disk).one("unreadable")
    Journal(disk)("export", str(tmp_path / "out"), entry["name"])
    assert [p.read_text() for p in (tmp_path / "out").iterdir()] == ["{"]
    Journal(disk)("discard", entry["name"])
    assert not bad.exists()


@pytest.mark.parametrize("arguments, said", [
    ([], "list, retry"), (["remove"], "unknown"), (["list", "--every"], "unknown argument"), (["export"], "where to"),
    (["retry"], "which"), (["list", "-o", "statee=/x"], "state")])
def test_a_malformed_command_says_what_is_wrong(arguments, said):
    result = subprocess.run([mounts.program(), "journal", *arguments], capture_output=True, text=True, timeout=60,
                            env=mounts.environment("journal"), check=False)
    assert result.returncode == 2 and said in result.stderr and result.stdout == ""


@pytest.mark.parametrize("command", ["list", "export"])
def test_a_state_directory_that_was_named_and_is_not_there_is_an_error(tmp_path, command):
    named = tmp_path / "none"
    result = subprocess.run([mounts.program(), "journal", command, *([tmp_path] if command == "export" else []), "-o", "state=%s" % named],
                            capture_output=True, text=True, timeout=60, env=mounts.environment("journal"), check=False)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == "awsfs: journal %s: option state: %s: No such file or directory\n" % (command, named)
    assert not named.exists()


def test_the_default_state_directory_that_is_not_there_yet_holds_nothing(tmp_path):
    # Root's is in /var/lib: another one, in a mount namespace of its own.
    aside = [] if os.geteuid() else ["unshare", "-m", "--propagation", "slave", "sh", "-c", 'mount -t tmpfs none /var/lib && exec "$@"', "sh"]
    result = subprocess.run([*aside, mounts.program(), "journal", "list"], capture_output=True, text=True, timeout=60, check=False,
                            env=mounts.environment("journal", {"XDG_STATE_HOME": str(tmp_path / "none")}))
    assert result.returncode == 0 and result.stdout.startswith("nothing"), result
    assert not (tmp_path / "none").exists()
