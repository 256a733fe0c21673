"""Renames that a crash, a failure or others cut in two: what becomes of both names."""
import errno
import json
import os
import subprocess
import threading
import time

import pytest

from support.mounts import environment, program
from support.work import errno_of, run, wait_until


def fill(witness, n):
    """Objects of a tree, with a marker, a directory in it, and bytes that tell them apart."""
    files = {"%s%02d" % ("sub/" if k % 3 == 0 else "", k): b"content of %d" % k for k in range(n)}
    for name, data in files.items():
        witness.put("from/" + name, data)
    return files


def trees(witness):
    """What is under both names."""
    objects = {key: witness.get(key) for key in witness.keys()}
    return [{key[len(top):]: data for key, data in objects.items() if key.startswith(top) and key != top} for top in ("from/", "to/")]


def journal(disk, *arguments):
    return run(program(), "journal", *arguments, "-o", "state=%s" % disk.state, env=environment("journal"))


def entries(disk):
    return json.loads(journal(disk, "list", "--json"))


def flush(disk):
    wait_until(lambda: subprocess.run([program(), "flush", disk.path], env=environment("flush"), timeout=60, check=False,
                                      capture_output=True).returncode == 0, seconds=60, what="a flush")


def hits(origin):
    return sum(rule["hits"] for rule in origin.control("GET", "faults"))


def killed_at(origin, disk, nth, action, call):
    """The n-th request from now on gets no answer, nor do those behind it, and the daemon is killed over it. False: there were fewer."""
    origin.fault(action, kind="*", key="%s/*" % disk.witness.name, count=-1, skip=nth)
    outcome = []
    caller = threading.Thread(target=lambda: outcome.append(errno_of(call)), daemon=True)
    caller.start()
    flushed = None
    while not hits(origin):
        if not caller.is_alive() and flushed is None:
            flushed = subprocess.Popen([program(), "flush", disk.path], env=environment("flush"), stdout=subprocess.DEVNULL,
                                       stderr=subprocess.DEVNULL)
        if flushed and flushed.poll() is not None:
            break
        time.sleep(0.01)
    hit = hits(origin) > 0
    disk.kill9()
    caller.join(90)
    assert not caller.is_alive()
    if flushed:
        flushed.kill()
        flushed.wait()
    origin.heal()
    return hit, bool(outcome) and not outcome[0]


def kill_at_each_request(origin, bucket, mount, mode, n, action, step):
    nth = 0
    while True:
        witness = bucket(origin)
        files = fill(witness, n)
        disk = mount(witness, write=mode, ttl=1, timeout=10, cache="none")
        assert sorted(os.listdir(disk.path)) == ["from"]
        hit, done = killed_at(origin, disk, nth, action, lambda: os.rename(disk / "from", disk / "to"))
        disk.start()
        flush(disk)
        old, new = trees(witness)
        assert (old, new) == (files, {}) or (old, new) == ({}, files), "killed at request %d" % nth
        assert not done or new == files
        assert entries(disk) == []
        # Both trees as the mount shows them.
        top = "to" if new else "from"
        assert {name: (disk / top / name).read_bytes() for name in files} == files
        disk.umount()
        if not hit:
            return nth
        nth += step


@pytest.mark.parametrize("action", ["hang", {"stall_after": 0}], ids=["not performed", "performed"])
@pytest.mark.parametrize("mode, n, step", [("through", 4, 4), ("back", 4, 4),
                                           pytest.param("through", 30, 1, marks=pytest.mark.long),
                                           pytest.param("back", 30, 1, marks=pytest.mark.long)])
@pytest.mark.timeout(1800)
def test_a_directory_rename_killed_at_any_request_ends_with_each_key_under_one_name(origin, bucket, mount, mode, n, step, action):
    nth = kill_at_each_request(origin, bucket, mount, mode, n, action, step)
    assert nth > n


@pytest.mark.parametrize("mode, over, action", [("through", False, "hang"), ("through", False, {"stall_after": 0}),
                                                ("through", True, {"stall_after": 0}), ("back", True, "hang")])
@pytest.mark.timeout(600)
def test_a_file_rename_killed_at_any_request_ends_under_one_name(origin, bucket, mount, mode, over, action):
    nth, hit = 0, True
    while hit:
        witness = bucket(origin)
        witness.put("a", b"moved")
        if over:
            witness.put("b", b"before")
        disk = mount(witness, write=mode, ttl=1, timeout=10, cache="none")
        assert "a" in os.listdir(disk.path)
        hit, done = killed_at(origin, disk, nth, action, lambda: os.rename(disk / "a", disk / "b"))
        disk.start()
        flush(disk)
        now = {key: witness.get(key) for key in witness.keys()}
        before = {"a": b"moved", "b": b"before"} if over else {"a": b"moved"}
        assert now in ([{"b": b"moved"}] if done else [{"b": b"moved"}, before]), "killed at request %d" % nth
        assert entries(disk) == []
        disk.umount()
        nth += 1
    assert nth > 2


def cut_off(origin, disk, kind, skip=0):
    """A rename that was killed over its (skip + 1)-th request of a kind."""
    origin.fault("hang", kind=kind, count=-1, skip=skip)
    caller = threading.Thread(target=lambda: errno_of(os.rename, disk / "from", disk / "to"), daemon=True)
    caller.start()
    wait_until(lambda: hits(origin) > 0)
    disk.kill9()
    caller.join(90)
    origin.heal()


def test_what_was_copied_is_not_copied_again(origin, bucket, mount):
    witness = bucket(origin)
    files = fill(witness, 12)
    disk = mount(witness, cache="none")
    cut_off(origin, disk, "DeleteObjects")
    assert trees(witness) == [files, files]
    origin.reset_counts()
    disk.start()
    requests = origin.requests()
    assert trees(witness) == [{}, files]
    assert "CopyObject" not in requests and requests["DeleteObjects"] == 1 and requests["ListObjectsV2"] <= 3
    assert "HeadObject" not in requests


def test_what_others_did_meanwhile_stays_and_is_a_clear_entry(origin, bucket, mount):
    witness = bucket(origin)
    files = fill(witness, 6)
    disk = mount(witness, cache="none")
    cut_off(origin, disk, "DeleteObjects")
    witness.put("to/01", b"theirs, at the new name")
    witness.put("from/02", b"theirs, at the old name")
    witness.put("from/new", b"new")
    disk.start()
    old, new = trees(witness)
    # What stood in both and was the same is under the new name only.
    assert old == {"01": files["01"], "02": b"theirs, at the old name", "new": b"new"}
    assert new == dict(files, **{"01": b"theirs, at the new name"})
    (entry,) = entries(disk)
    assert entry["kind"] == "rename" and entry["key"] == "from/" and "from/01" in entry["reason"] and "1 of 6" in entry["reason"]
    # Nothing changes at the next mount, and once a person has decided retry finishes it.
    disk.remount()
    assert trees(witness) == [old, new] and len(entries(disk)) == 1
    witness.delete("to/01")
    assert "tries again" in journal(disk, "retry", entry["name"])
    wait_until(lambda: entries(disk) == [])
    assert trees(witness) == [{"02": b"theirs, at the old name", "new": b"new"}, files]


def test_retry_and_discard_work_without_a_mount(origin, bucket, mount):
    witness = bucket(origin)
    files = fill(witness, 6)
    disk = mount(witness, cache="none")
    cut_off(origin, disk, "CopyObject", skip=3)
    (entry,) = entries(disk)
    assert "cut off" in entry["reason"] and not entry["mounted"]
    assert "under both names" in journal(disk, "retry", entry["name"])
    assert trees(witness) == [{}, files] and entries(disk) == []
    os.makedirs(disk.path, exist_ok=True)
    disk.start()
    os.rename(disk / "to", disk / "from")
    cut_off(origin, disk, "DeleteObjects")
    (entry,) = entries(disk)
    assert journal(disk, "export", disk.state / "out").startswith("nothing to export")
    assert "discarded" in journal(disk, "discard", entry["name"])
    disk.start()
    assert trees(witness) == [files, files] and entries(disk) == []


@pytest.mark.parametrize("fault, expected", [({"status": 403, "code": "AccessDenied"}, errno.EACCES),
                                             ({"status": 503, "code": "SlowDown"}, errno.EIO)], ids=["403", "503"])
def test_a_copy_that_fails_takes_back_the_others(origin, bucket, mount, fault, expected):
    witness = bucket(origin)
    files = fill(witness, 12)
    disk = mount(witness, timeout=3, cache="none")
    origin.fault(fault, kind="CopyObject", count=-1, skip=5)
    assert errno_of(os.rename, disk / "from", disk / "to") == expected
    origin.heal()
    flush(disk)
    wait_until(lambda: trees(witness) == [files, {}] and entries(disk) == [])
    assert sorted(os.listdir(disk.path)) == ["from"]


def test_a_rename_that_may_not_delete_is_eacces_and_says_that_both_names_exist(origin, bucket, mount):
    witness = bucket(origin)
    files = fill(witness, 6)
    disk = mount(witness, cache="none")
    for kind in ("DeleteObjects", "DeleteObject"):
        origin.fault({"status": 403, "code": "AccessDenied"}, kind=kind, count=-1)
    assert errno_of(os.rename, disk / "from", disk / "to") == errno.EACCES
    assert trees(witness) == [files, files]
    (entry,) = entries(disk)
    assert "removes what was copied" in entry["reason"]
    origin.heal()
    disk.remount()
    assert trees(witness) == [files, {}] and entries(disk) == []


def test_a_removal_without_an_answer_leaves_the_choice_to_a_person(origin, bucket, mount):
    witness = bucket(origin)
    files = fill(witness, 6)
    disk = mount(witness, timeout=3, cache="none")
    origin.fault("reset", kind="DeleteObjects", count=-1)
    assert errno_of(os.rename, disk / "from", disk / "to") == errno.EIO
    origin.heal()
    disk.remount()
    assert trees(witness) == [files, files]
    (entry,) = entries(disk)
    assert "failed after everything was copied" in entry["reason"]
    journal(disk, "retry", entry["name"])
    wait_until(lambda: entries(disk) == [])
    assert trees(witness) == [{}, files]


def test_a_rename_that_is_interrupted_is_taken_back(origin, bucket, mount):
    witness = bucket(origin)
    files = fill(witness, 12)
    disk = mount(witness, cache="none")
    origin.fault("hang", kind="CopyObject", count=-1, skip=5)
    process = subprocess.Popen(["mv", "-T", disk / "from", disk / "to"])
    wait_until(lambda: hits(origin) > 0)
    process.kill()
    process.wait(10)
    origin.heal()
    flush(disk)
    wait_until(lambda: trees(witness) == [files, {}] and entries(disk) == [])
    assert sorted(os.listdir(disk.path)) == ["from"]


def test_an_upload_of_a_copy_whose_answer_was_lost_is_known(origin, bucket, mount):
    witness = bucket(origin)
    origin.synthetic(bucket=witness.name, key="large", size=6 << 30, seed=1)
    disk = mount(witness, cache="none")
    assert os.stat(disk / "large").st_size == 6 << 30
    origin.fault("execute_then_reset", kind="CreateMultipartUpload", count=1)
    os.rename(disk / "large", disk / "moved")
    (lost,) = witness.uploads()
    (entry,) = entries(disk)
    assert entry["kind"] == "unanswered" and entry["key"] == lost["Key"] == "moved"
    disk.umount()
    assert "aborted" in journal(disk, "discard", entry["name"])
    assert witness.uploads() == [] and [e["kind"] for e in entries(disk)] in ([], ["unanswered"])


def test_a_copy_that_is_killed_before_its_upload_has_an_id_leaves_an_entry(origin, bucket, mount):
    witness = bucket(origin)
    origin.synthetic(bucket=witness.name, key="large", size=6 << 30, seed=1)
    disk = mount(witness, cache="none")
    assert os.stat(disk / "large").st_size == 6 << 30
    origin.fault({"stall_after": 0}, kind="CreateMultipartUpload", count=-1)
    caller = threading.Thread(target=lambda: errno_of(os.rename, disk / "large", disk / "moved"), daemon=True)
    caller.start()
    wait_until(witness.uploads)
    disk.kill9()
    caller.join(90)
    origin.heal()
    assert {entry["kind"] for entry in entries(disk)} == {"unanswered", "rename"}
    disk.start()
    flush(disk)
    assert witness.keys() == ["moved"]
    (entry,) = entries(disk)
    assert entry["kind"] == "unanswered" and len(witness.uploads()) == 1


# ---- Who opens what is being replaced, or removed


@pytest.fixture
def taking_away(origin, bucket, mount):
    """taking_away(kind, act): a mount with "f" and "new", whose act(disk) has sent a request of that kind, which waits for origin.release()."""
    threads = []

    def make(kind, act):
        witness = bucket(origin)
        witness.put("f", b"old" * 500_000)
        witness.put("new", b"new" * 600_000)
        disk = mount(witness, ttl=60, cache="none", timeout=20)
        assert sorted(p.name for p in disk.path.iterdir()) == ["f", "new"]
        origin.fault("hang", kind=kind, key=witness.name + "/f", count=1) # not what finds out what the server can do
        threads.append(threading.Thread(target=act, args=(disk,), daemon=True))
        threads[0].start()
        wait_until(lambda: hits(origin) == 1)
        return disk
    yield make
    origin.release()
    for thread in threads:
        thread.join(60)


def opening(disk):
    """A thread in open(), which the daemon has and lets wait; what it then read, or its errno."""
    outcome = []

    def go():
        try:
            outcome.append((disk / "f").read_bytes())
        except OSError as error:
            outcome.append(error.errno)
    thread = threading.Thread(target=go, daemon=True)
    thread.start()
    wait_until(lambda: disk.status()["kernel"]["waiting"] >= 2 or outcome, what="an open that waits")
    return thread, outcome


def test_who_opens_a_file_while_it_is_replaced_has_the_new_one(origin, taking_away):
    disk = taking_away("CopyObject", lambda disk: os.rename(disk / "new", disk / "f"))
    thread, outcome = opening(disk)
    assert outcome == []
    origin.release()
    thread.join(60)
    assert outcome == [b"new" * 600_000]


def test_who_opens_a_file_while_it_is_removed_finds_none(origin, taking_away):
    disk = taking_away("DeleteObject", lambda disk: os.unlink(disk / "f"))
    thread, outcome = opening(disk)
    assert outcome == []
    origin.release()
    thread.join(60)
    assert outcome == [errno.ENOENT]
