"""Power that goes at any moment under journal, staging files and cache: what was synced is there, whatever of the rest survives."""
import errno
import json
import random
import re
import threading
import time

import pytest

from support.caches import fetched_keys, gets, idle
from support.journal import Journal
from support.mounts import MountFailed, name_of, sanitizer_reports
from support.powerloss import ASKER, Disk
from support.torture import Worker
from support.work import errno_of, wait_until
from test_crash import LEFT, UNUSABLE, Torture, journal


FAR = 1 << 40   # changes: until patience is at its end


@pytest.fixture
def power(request, tmp_path):
    """To be asked for before `mount`, so that it is there until the mount that has its state on it has ended."""
    who = name_of(request.node) + "-power"
    disk = Disk(tmp_path / "power", who)
    try:
        yield disk
    finally:
        disk.close()
    assert sanitizer_reports(who) == []


class Cuts(Torture):
    """Rounds that end in a loss of power, most of them, or in a kill."""

    def __init__(self, disk, origin, rng, power, mode):
        super().__init__(disk, origin, rng)
        (disk / "begun").write_bytes(b"so that the directories that the workers begin with are durable")
        self.power, self.mode = power, mode
        self.cuts = self.cuts_in_recovery = 0
        self.lost = {}

    def worker(self, name, files):
        return Worker(self.disk / name, random.Random(self.rng.random()), files, forgets=self.mode == "back")

    def how(self):
        return self.rng.choice(["all", "some", "some", "some", "none"])

    def cut(self, after, patience, pids):
        """Before the change that follows `after` others, or when `patience` is at its end."""
        self.power.arm(self.how(), self.rng.randrange(1 << 32), after, [ASKER] if pids else [])
        counts = self.power.lost(patience, pids)
        for what, n in counts.items():
            self.lost[what] = self.lost.get(what, 0) + n
        self.cuts += 1

    def crash(self):
        if self.rng.random() < 0.1:
            super().crash()
            return
        exactly, dies_at_once = self.rng.random() < 0.5, self.rng.random() < 0.8
        self.cut(self.rng.randrange(400) if exactly else FAR, 3 if exactly else self.rng.uniform(0.02, 0.6),
                 [self.disk.pid] if dies_at_once else [])
        if not dies_at_once:
            time.sleep(self.rng.uniform(0, 0.2))
        self.disk.kill9()
        self.power.mount()

    def recover(self, workers):
        while self.rng.random() < 0.4:
            self.power.arm(self.how(), self.rng.randrange(1 << 32), self.rng.randrange(60), [ASKER])
            pids = []
            try:
                self.disk.start()
                pids = [self.disk.pid]
            except MountFailed:
                pass
            self.power.lost(self.rng.uniform(0.01, 0.5), pids)
            self.disk.kill9()
            self.power.mount()
            self.cuts_in_recovery += 1
        super().recover(workers)


@pytest.mark.parametrize("mode, cuts", [("through", 10), ("back", 10), pytest.param("through", 300, marks=pytest.mark.long),
                                        pytest.param("back", 300, marks=pytest.mark.long)])
@pytest.mark.timeout(5400)
def test_whenever_the_power_goes_nothing_that_was_synced_is_lost(origin, bucket, power, mount, rng, mode, cuts):
    power.cut("none")
    disk = mount(bucket(origin), write=mode, ttl=1, timeout=20, state=power / "state")
    disk.state = power / "state"
    torture = Cuts(disk, origin, random.Random(rng.random()), power, mode)
    for _ in range(cuts):
        torture.round()
    disk.umount()
    print(torture.cuts, torture.cuts_in_recovery, torture.calls, torture.cut_off, torture.lost)
    # The power was cut while something was under way, and something was lost by it, of names and of bytes.
    assert torture.cuts >= cuts // 2 and torture.cut_off >= cuts // 2
    assert torture.lost["names_lost"] > 0 and torture.lost["pages_lost"] > 0
    left = [entry for entry in json.loads(journal(disk, "list", "--json")) if entry["kind"] not in LEFT]
    assert left == [], disk.log()[-20_000:]
    assert re.findall(UNUSABLE, disk.log()) == []


class Lies(Cuts):
    """On a disk that does nothing for fsync, which loses what is known of uploads, too. Only lost states count."""

    def nothing_is_left(self):
        pass


def test_that_nothing_was_synced_is_found_out(origin, bucket, power, mount, rng):
    """The same workers, cuts and checks on a disk that does nothing for fsync: so they would fail for a daemon that forgets one."""
    power.cut("none")
    disk = mount(bucket(origin), write="back", ttl=1, timeout=20, state=power / "state")
    disk.state = power / "state"
    torture = Lies(disk, origin, random.Random(rng.random()), power, "back")
    power.lie()
    with pytest.raises(AssertionError, match="of [0-9]+ states that there may be|are missing; after"):
        for _ in range(20):
            torture.round()


@pytest.mark.parametrize("during", ["CopyObject", "CompleteMultipartUpload"])
def test_what_was_put_to_find_out_what_a_server_can_do_is_removed_after_a_loss_of_power(origin, bucket, power, mount, during):
    disk = mount(bucket(origin), fresh=True, state=power / "state")
    origin.fault("hang", kind=during, key="*awsfs-probe*")
    writer = threading.Thread(target=errno_of, args=((disk / "f").write_bytes, b"x"))
    writer.start()
    wait_until(lambda: during in origin.requests())
    power.lose("all", 1, [disk.pid])
    disk.kill9()
    writer.join()
    power.mount()
    origin.clear_faults()
    assert [key for key in disk.witness.keys() if "awsfs-probe" in key] or disk.witness.uploads()
    disk.start()
    assert [key for key in disk.witness.keys() if "awsfs-probe" in key] == []
    assert disk.witness.uploads() == []


SIZES = [1, 4000, 65_536, 70_000, 200_000, 1 << 20, (1 << 20) + 5, 3_000_000, 9_000_000]


class Readers:
    """A mount that is read from, until it is no more."""

    def __init__(self, disk, contents, rng):
        self.disk, self.contents, self.wrong, self.read = disk, contents, [], 0
        self.threads = [threading.Thread(target=self.go, args=(random.Random(rng.random()),), daemon=True) for _ in range(3)]
        for thread in self.threads:
            thread.start()

    def go(self, rng):
        try:
            while True:
                name = rng.choice(sorted(self.contents))
                whole = self.contents[name]
                start = rng.choice([0, 0, rng.randrange(len(whole))])
                with open(self.disk / name, "rb") as file:
                    file.seek(start)
                    data = file.read(rng.choice([len(whole), 100_000]))
                if data != whole[start:start + len(data)]:
                    self.wrong.append(name)
                self.read += 1
        except OSError:
            pass

    def join(self):
        for thread in self.threads:
            thread.join(90)
            assert not thread.is_alive()
        assert self.wrong == []


def change_some(disk, contents, rng):
    """By another client, and by this mount, whose files the cache takes over."""
    for name in rng.sample(sorted(contents), 3):
        contents[name] = rng.randbytes(rng.choice(SIZES))
        disk.witness.put(name, contents[name])
    for name in rng.sample(sorted(contents), 2):
        contents[name] = rng.randbytes(rng.choice(SIZES))
        (disk / name).write_bytes(contents[name])


@pytest.mark.parametrize("cuts", [8, pytest.param(200, marks=pytest.mark.long)])
@pytest.mark.timeout(5400)
def test_after_a_loss_of_power_the_cache_serves_no_wrong_byte(origin, bucket, power, mount, rng, cuts):
    witness, contents = bucket(origin), {}
    for k in range(3 * len(SIZES)):
        contents["f%d" % k] = rng.randbytes(SIZES[k % len(SIZES)])
        witness.put("f%d" % k, contents["f%d" % k])
    disk = mount(witness, ttl=0, cache=power / "cache")
    lost = kept = 0
    for _ in range(cuts):
        idle(disk) # what was fetched last is taken from the kernel's pages: what it still may be, a change would drop
        change_some(disk, contents, rng)
        readers = Readers(disk, contents, rng)
        wait_until(lambda: readers.read > 10, seconds=60)
        power.arm(rng.choice(["all", "some", "some", "none"]), rng.randrange(1 << 32), rng.choice([rng.randrange(300), FAR]), [ASKER])
        lost += power.lost(rng.uniform(0.05, 1), [disk.pid])["pages_lost"]
        disk.kill9()
        readers.join()
        power.mount()
        origin.reset_counts()
        disk.start()
        for name, data in sorted(contents.items()):
            assert (disk / name).read_bytes() == data, name
        kept += len(contents) - len(fetched_keys(origin))
    assert lost > 0
    # Of some files all that was read came from what had survived.
    assert kept > 0
    # And what was fetched again is held again, in the end: what the kernel has dropped before it was taken is fetched once more.
    for _ in range(5):
        idle(disk)
        disk.remount()
        origin.reset_counts()
        for name, data in sorted(contents.items()):
            assert (disk / name).read_bytes() == data, name
        if gets(origin) == 0:
            break
    assert gets(origin) == 0


REFUSED = {"status": 403, "code": "AccessDenied"}


@pytest.mark.parametrize("how", ["all", "some", "none"])
def test_what_was_closed_is_listed_exported_and_sent_without_a_mount(origin, bucket, power, mount, tmp_path, how):
    """The first mount of its state directory, whose power goes: all that leads to the journal has to be durable too."""
    witness = bucket(origin)
    disk = mount(witness, write="back", timeout=3, state=power / "deep/er/state")
    disk.state = power / "deep/er/state"
    for kind in ("PutObject", "CreateMultipartUpload"):
        origin.fault(REFUSED, kind=kind)
    contents = {"small": b"s" * 100, "medium": b"m" * 100_000, "large": b"l" * 3_000_000}
    for name, data in contents.items():
        (disk / name).write_bytes(data)
    power.lose(how, 1, [disk.pid])
    disk.kill9()
    power.mount()
    origin.clear_faults()
    sent = Journal(disk)
    assert {(e["key"], e["size"]) for e in sent.entries("pending")} == {(name, len(data)) for name, data in contents.items()}
    sent("export", str(tmp_path / "out"))
    assert not sent.entries("unreadable")
    found = {p.name: p.read_bytes() for p in (tmp_path / "out").rglob("*") if p.is_file() and p.name in contents}
    assert found == contents
    sent("retry", *[e["name"] for e in sent.entries("pending")], options=",timeout=60")
    assert {key: witness.get(key) for key in witness.keys()} == contents
    assert sent.entries("pending") == []


@pytest.mark.parametrize("how", ["all", "some"])
def test_what_could_not_be_uploaded_is_there_with_its_bytes(origin, bucket, power, mount, how):
    """write=through: the error of close says that the bytes are kept, so they are."""
    witness = bucket(origin)
    disk = mount(witness, timeout=3, state=power / "deep/state")
    disk.state = power / "deep/state"
    for kind in ("PutObject", "CreateMultipartUpload"):
        origin.fault(REFUSED, kind=kind)
    contents = {"small": b"s" * 100, "large": b"l" * 9_000_000}
    for name, data in contents.items():
        assert errno_of((disk / name).write_bytes, data) == errno.EACCES
    left = Journal(disk)
    wait_until(lambda: {e["key"] for e in left.entries("failed")} == set(contents))
    power.lose(how, 1, [disk.pid])
    disk.kill9()
    power.mount()
    origin.clear_faults()
    assert {(e["key"], e["size"]) for e in left.entries("failed")} == {(name, len(data)) for name, data in contents.items()}
    left("retry", *[e["name"] for e in left.entries("failed")], options=",timeout=60")
    assert {key: witness.get(key) for key in witness.keys()} == contents


def test_what_was_discarded_does_not_come_back_to_be_sent(origin, bucket, power, mount):
    disk = mount(bucket(origin), write="back", timeout=3, state=power / "state")
    disk.state = power / "state"
    origin.fault(REFUSED, kind="PutObject")
    for name, size in (("small", 10), ("large", 100_000)):
        (disk / name).write_bytes(b"x" * size)
    disk.kill9()
    origin.clear_faults()
    entries = Journal(disk).entries("pending")
    assert len(entries) == 2
    Journal(disk)("discard", *[e["name"] for e in entries])
    power.cut("all")
    assert Journal(disk).entries() == []
    disk.start()
    disk.umount()
    assert disk.witness.keys() == []
