"""awsfs journal and what write=back has not sent: without a mount, and beside one."""
import os

import pytest

from support import mounts
from support.journal import Journal
from support.work import pattern, run, wait_until

REFUSED = {"status": 403, "code": "AccessDenied"}
LARGE = pattern(300_000)


@pytest.fixture
def left(origin, bucket, mount):
    """A mount that was killed before it could send anything; the store is well again."""
    witness = bucket(origin)
    witness.put("old", b"old")
    witness.put("gone", b"gone")
    disk = mount(witness, write="back", timeout=3)
    os.listdir(disk.path)
    for kind in ("PutObject", "CopyObject", "DeleteObject", "DeleteObjects"):
        origin.fault(REFUSED, kind=kind)
    (disk / "dir").mkdir()
    (disk / "dir/small").write_bytes(b"small")
    (disk / "large").write_bytes(LARGE)
    os.rename(disk / "old", disk / "new")
    (disk / "gone").unlink()
    wait_until(lambda: any("AccessDenied" in e["reason"] for e in Journal(disk).entries("pending")))
    alive = Journal(disk).entries("pending")
    assert len(alive) >= 5 and all(e["mounted"] for e in alive)
    disk.kill9()
    origin.clear_faults()
    yield disk
    disk.options["timeout"] = 20


def by_key(journal):
    return {(e["key"], e["reason"].split()[0].rstrip(":")): e for e in journal.entries("pending")}


def test_what_is_pending_is_listed_and_sent_by_retry(left):
    journal = Journal(left)
    entries = by_key(journal)
    assert set(entries) == {("dir/", "put"), ("dir/small", "put"), ("large", "put"), ("new", "copy"), ("old", "remove"),
                            ("gone", "remove")}
    assert entries["large", "put"]["size"] == 300_000 and entries["dir/small", "put"]["size"] == 5
    assert not entries["large", "put"]["mounted"]
    journal("retry", entries["large", "put"]["name"])
    assert left.witness.keys() == ["dir/", "dir/small", "large", "new"]
    assert left.witness.get("large") == LARGE and left.witness.get("new") == b"old"
    assert journal.entries() == []


def test_the_cause_is_listed_also_after_the_mount_was_killed(left):
    causes = [e["reason"] for e in Journal(left).entries("pending") if "AccessDenied" in e["reason"]]
    assert causes and not any(e["mounted"] for e in Journal(left).entries("pending"))


def test_export_writes_what_is_in_the_journal_and_what_is_a_file(left, tmp_path):
    Journal(left)("export", str(tmp_path / "out"))
    found = {str(p.relative_to(tmp_path / "out")): p.read_bytes() for p in (tmp_path / "out").rglob("*") if p.is_file()}
    assert found == {"dir/small": b"small", "large": LARGE}
    assert len(by_key(Journal(left))) == 6


def test_what_is_discarded_is_not_sent_and_the_rest_is(left):
    journal = Journal(left)
    entries = by_key(journal)
    assert "depends on it" in journal("discard", entries["new", "copy"]["name"], status=1)
    journal("discard", entries["dir/small", "put"]["name"], entries["large", "put"]["name"], entries["gone", "remove"]["name"])
    assert set(by_key(journal)) == {("dir/", "put"), ("new", "copy"), ("old", "remove")}
    assert list(left.state.glob("*/unsent/bodies/*")) == []
    left.start()
    wait_until(lambda: left.witness.keys() == ["dir/", "gone", "new"])
    left.umount()
    assert left.witness.get("new") == b"old" and journal.entries() == []


def test_a_journal_that_a_mount_has_is_not_touched_and_told_to_go_on(left, origin, tmp_path):
    origin.fault(REFUSED, kind="PutObject")
    left.start()
    journal = Journal(left)
    wait_until(lambda: {e["key"] for e in journal.entries("pending")} == {"dir/", "dir/small", "large"})
    entry, = [e for e in journal.entries("pending") if e["key"] == "large"]
    assert "is using it" in journal("discard", entry["name"], status=1)
    assert "about to send it" in journal("export", str(tmp_path / "out"), left.source + "/large", status=1)
    assert "tries again" in journal("retry", left.source + "/large")
    origin.clear_faults()
    run(mounts.program(), "flush", left.path, env=mounts.environment("flush"))
    assert left.witness.get("large") == LARGE and journal.entries() == []


def test_bytes_that_the_disk_has_changed_are_kept_with_their_name_and_hold_nothing_else_up(left, tmp_path):
    body, = left.state.glob("*/unsent/bodies/*")
    data = bytearray(body.read_bytes())
    data[200_000] ^= 1
    body.write_bytes(data)
    left.start()
    left.umount()
    assert left.witness.keys() == ["dir/", "dir/small", "new"]
    journal = Journal(left)
    entry = journal.one("unreadable")
    assert entry["size"] == 300_000 and entry["key"] == "large" and journal.entries() == [entry]
    assert "are not those that were written" in entry["reason"]
    assert '"large" cannot be sent: the bytes in' in left.log()
    assert "can be tried again" in journal("retry", entry["name"], status=1)
    journal("export", str(tmp_path / "out"), entry["name"])
    assert (tmp_path / "out" / "large").read_bytes() == bytes(data)
    journal("discard", entry["name"])
    assert journal.entries() == [] and list(left.state.glob("*/unsent/*.damaged*")) == []


def test_a_journal_of_a_newer_version_is_told_and_left_alone(left):
    segments = list(left.state.glob("*/unsent/*.wal"))
    for segment in segments:
        data = bytearray(segment.read_bytes())
        data[8:12] = (99).to_bytes(4, "little")
        segment.write_bytes(data)
    before = {p: p.read_bytes() for p in segments}
    entry = Journal(left).one("unreadable")
    assert "newer" in entry["reason"] or "version" in entry["reason"]
    assert {p: p.read_bytes() for p in segments} == before
