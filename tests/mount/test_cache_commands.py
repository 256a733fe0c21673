"""awsfs cache show, verify, warm, pin, unpin, evict, clear: as a user has them, on a cache that is mounted and on one that is not."""
import json
import os
import pty
import re
import signal
import subprocess

import pytest

from support.caches import FILES, MIB, gets, idle
from support.mounts import program
from support.work import pattern, wait_until

TOTAL = sum(map(len, FILES.values()))


def words_of(disk, *words):
    return [str(word) for word in (disk.binary, "cache", *words, "-o", "cache=%s" % disk.cache)]


def plain(disk, *words, status=0):
    """What it says to a person, on both descriptors."""
    result = subprocess.run(words_of(disk, *words), capture_output=True, text=True, check=False)
    assert result.returncode == status, result.stderr
    return result.stdout, result.stderr


def command(disk, *words, status=0):
    result = subprocess.run(words_of(disk, *words) + ["--json"], capture_output=True, text=True, check=False)
    assert result.returncode == status, result.stderr
    return json.loads(result.stdout)


def contents(changed, kept=0):
    return {"contents": changed, "kept": kept}


def cache_files(disk):
    return [p for p in (disk.cache / "content").rglob("*") if p.is_file()]


# ---- What they do

@pytest.mark.parametrize("on", ["mounted", "unmounted"])
def test_the_commands_show_check_pin_and_remove(cached, on):
    disk = cached()
    if on == "unmounted":
        disk.umount()
    shown = {v["key"].partition("/")[2]: v for v in command(disk, "show")["versions"]}
    assert {k: v["size"] for k, v in shown.items()} == {k: len(v) for k, v in FILES.items()}
    assert all(v["whole"] and not v["pinned"] for v in shown.values())
    assert command(disk, "verify") == {"objects": 4, "bytes": TOTAL, "bad": 0}
    assert command(disk, "pin", disk.source + "/large") == contents(1)
    assert command(disk, "pin", disk.source + "/large") == contents(0, 1)
    assert command(disk, "evict", disk.source) == contents(3, 1)
    assert [v["pinned"] for v in command(disk, "show")["versions"]] == [True]
    assert command(disk, "evict", "s3://") == contents(0, 1)
    assert command(disk, "unpin", disk.source) == contents(1)
    assert command(disk, "unpin", disk.source) == contents(0, 1)
    assert command(disk, "pin", "s3://") == contents(1)
    assert command(disk, "clear") == contents(1)
    assert command(disk, "clear") == contents(0)
    assert command(disk, "show")["versions"] == []
    if on == "mounted":
        wait_until(lambda: not cache_files(disk))
        assert all((disk / key).read_bytes() == body for key, body in FILES.items())


def test_to_a_person_they_say_what_they_did(cached):
    disk = cached()
    assert plain(disk, "pin", disk.source + "/large") == ("1 contents pinned\n", "")
    shown = plain(disk, "show", disk.source)[0].splitlines()
    assert "%14d 100%% P %s/large" % (len(FILES["large"]), disk.bucket.name) in shown
    assert shown[-1].startswith("4 objects of %d bytes; the cache takes " % TOTAL)
    assert plain(disk, "verify")[0] == "4 objects, %d bytes are right, 0 pieces were bad\n" % TOTAL
    assert plain(disk, "evict", disk.source) == ("3 contents removed; 1 are pinned and stay\n", "")
    assert plain(disk, "unpin", disk.source) == ("1 contents unpinned\n", "")
    assert plain(disk, "clear") == ("1 contents removed\n", "")


@pytest.mark.parametrize("on", ["mounted", "unmounted"])
def test_what_is_not_held_cannot_be_pinned_nor_checked_and_that_is_said(cached, on):
    disk = cached({"dir/a": b"a"})
    if on == "unmounted":
        disk.umount()
    for what in (disk.source + "/dri", disk.source + "/di", disk.source + "x", "s3://other"):
        for word in ("pin", "unpin", "verify"):
            out, error = plain(disk, word, what, status=1)
            assert not out and error.startswith("awsfs: cache %s: nothing of %s is in the cache" % (word, what))
            assert len(error.splitlines()) == 1
        assert command(disk, "evict", what) == command(disk, "clear", what) == contents(0)
        assert command(disk, "show", what)["versions"] == []
    assert "awsfs cache warm" in plain(disk, "pin", disk.source + "/dri", status=1)[1]
    assert len(command(disk, "show", disk.source + "/dir/")["versions"]) == 1


def test_what_is_open_is_removed_when_it_is_closed_and_its_reader_notices_nothing(cached):
    disk = cached({"large": FILES["large"]})
    with open(disk / "large", "rb") as f:
        first = f.read(MIB)
        assert command(disk, "clear") == contents(1)
        os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        assert first + f.read() == FILES["large"]
    wait_until(lambda: not [p for p in disk.cache.glob("part/*") if p.is_file()] or disk.status()["cache"]["pending"] > 0)
    idle(disk)
    assert command(disk, "verify")["bad"] == 0
    assert (disk / "large").read_bytes() == FILES["large"]


def test_verify_finds_what_is_bad_and_it_is_fetched_again(origin, cached):
    disk = cached({"large": FILES["large"]})
    disk.umount()
    (file,) = cache_files(disk)
    before = file.stat()
    body = bytearray(file.read_bytes())
    body[3 * MIB] ^= 1
    file.write_bytes(body)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert command(disk, "verify", status=1)["bad"] == 1
    disk.start()
    assert (disk / "large").read_bytes() == FILES["large"]
    assert gets(origin) == 1


def test_keys_command_no_terminal(cached):
    key = "esc\x1b]0;title\x07name"
    disk = cached({key: b"x"})
    out = plain(disk, "show")[0]
    assert "\x1b" not in out and "\x07" not in out and "esc\\x1b]0;title\\x07name" in out
    assert [v["key"].partition("/")[2] for v in command(disk, "show")["versions"]] == [key]


# ---- warm

def warm(disk, path, *words):
    return subprocess.run([disk.binary, "cache", "warm", path, *words], capture_output=True, text=True, check=False)


def test_warm_reads_a_directory_into_the_cache(origin, bucket, mount):
    witness = bucket(origin)
    for i in range(5):
        witness.put("dir/f%d" % i, pattern(70_000 + i, i))
    disk = mount(witness, attrs="list")
    result = warm(disk, disk / "dir", "--json")
    assert json.loads(result.stdout) == {"files": 5, "bytes": 350_010, "failed": 0} and not result.stderr
    disk.remount()
    origin.reset_counts()
    assert all((disk / "dir" / ("f%d" % i)).read_bytes() == pattern(70_000 + i, i) for i in range(5))
    assert gets(origin) == 0


def test_what_warm_has_read_can_be_pinned_at_once(origin, bucket, mount):
    witness = bucket(origin)
    for i in range(3):
        witness.put("dir/f%d" % i, pattern(8 * MIB + i, i))
    disk = mount(witness)
    assert warm(disk, disk / "dir").returncode == 0
    assert command(disk, "pin", disk.source + "/dir") == contents(3)


def test_warm_follows_the_link_that_it_is_given(bucket, origin, mount, tmp_path):
    witness = bucket(origin)
    witness.put("dir/f", b"abc")
    disk = mount(witness)
    (tmp_path / "data").symlink_to(disk / "dir")
    assert json.loads(warm(disk, tmp_path / "data", "--json").stdout) == {"files": 1, "bytes": 3, "failed": 0}


def test_what_warm_cannot_read_is_named_and_counted(origin, bucket, mount):
    witness = bucket(origin)
    for i, key in enumerate(("dir/a", "dir/b", "locked/c")):
        witness.put(key, pattern(1000, i)) # equal ones could come from each other's copy in the cache
    disk = mount(witness, attrs="list")
    origin.fault({"status": 403, "code": "AccessDenied"}, kind="GetObject", key=witness.name + "/dir/b")
    result = warm(disk, disk / "dir", "--json")
    assert result.returncode == 1 and json.loads(result.stdout) == {"files": 1, "bytes": 1000, "failed": 1}
    assert result.stderr == "awsfs: cache warm: %s: Permission denied\n" % (disk / "dir" / "b")
    origin.heal()
    origin.fault({"status": 403, "code": "AccessDenied"}, kind="ListObjectsV2")
    result = warm(disk, disk.path, "--json")
    assert result.returncode == 1 and json.loads(result.stdout)["failed"] >= 1


@pytest.mark.parametrize("what, said", [(None, "in no mount of awsfs"), ("missing", "missing: No such file"),
                                        ("s3://bucket/dir", "is no path")])
def test_warm_refuses_what_is_in_no_mount(tmp_path, what, said):
    (tmp_path / "f").write_text("here")
    path = what if what and "://" in what else tmp_path / (what or "f")
    result = subprocess.run([program(), "cache", "warm", path], capture_output=True, text=True, check=False)
    assert result.returncode == 1 and said in result.stderr and not result.stdout and len(result.stderr.splitlines()) == 1


# ---- On a terminal

class Terminal:
    """A command whose standard error is a terminal, which is its own."""

    def __init__(self, words):
        self.master, slave = pty.openpty()
        self.process = subprocess.Popen([str(word) for word in words], stdin=slave, stdout=subprocess.PIPE, stderr=slave,
                                        start_new_session=True, preexec_fn=self._take)
        os.close(slave)
        self.said = b""

    @staticmethod
    def _take():
        import fcntl
        import termios
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    def read(self):
        try:
            piece = os.read(self.master, 65536)
        except OSError: # all who had it are gone
            piece = b""
        self.said += piece
        return piece

    def press(self, keys):
        os.write(self.master, keys)

    def end(self):
        """Its status, what it showed, and what it printed."""
        while self.read():
            pass
        out = self.process.stdout.read()
        self.process.stdout.close()
        os.close(self.master)
        return self.process.wait(60), self.said.decode(), out.decode()


LINE = re.compile(r"\r\[(#*) *\] (\d+) of (\d+) files, (\d+) of (\d+) MiB")


@pytest.mark.parametrize("word", ["verify", "warm"])
def test_a_terminal_shows_how_far_it_is_and_nothing_else_does(cached, word):
    disk = cached()
    words = words_of(disk, "verify") if word == "verify" else [disk.binary, "cache", "warm", disk.path]
    status, shown, out = Terminal(words).end()
    lines = LINE.findall(shown)
    assert status == 0 and len(lines) >= 2 and LINE.match(shown)
    assert lines[-1] == ("#" * 30, "4", "4", "5", "5") and shown.endswith("\r\n")
    assert all(int(a[1]) <= int(b[1]) and int(a[3]) <= int(b[3]) for a, b in zip(lines, lines[1:]))
    assert len(out.splitlines()) == 1
    status, shown, out = Terminal(words + ["--json"]).end()
    assert status == 0 and not shown and json.loads(out)
    assert not subprocess.run(words, capture_output=True, check=True).stderr


def test_a_bad_piece_is_told_on_a_line_of_its_own(cached):
    disk = cached({"large": FILES["large"]})
    disk.umount()
    (file,) = cache_files(disk)
    with open(file, "r+b") as f:
        f.write(b"?")
    terminal = Terminal(words_of(disk, "verify"))
    status, shown, out = terminal.end()
    assert status == 1 and "large: 1 pieces are bad, they will be fetched again\n" in out
    assert all(line.startswith("\r") or not LINE.search(line) for line in shown.split("\n"))


@pytest.mark.parametrize("on", ["mounted", "unmounted"])
def test_an_interrupt_ends_verify_at_once_and_harms_nothing(origin, bucket, mount, on):
    witness = bucket(origin)
    origin.synthetic(bucket=witness.name, key="big", size=48 * MIB, seed=3)
    disk = mount(witness)
    assert warm(disk, disk / "big").returncode == 0
    idle(disk)
    if on == "unmounted":
        disk.umount()
    for attempt in range(10): # it may be quicker than the keyboard
        terminal = Terminal(words_of(disk, "verify"))
        while terminal.read() and not LINE.search(terminal.said.decode()):
            pass
        terminal.press(b"\x03")
        status, _, out = terminal.end()
        if status != 0:
            break
    assert status == -signal.SIGINT and not out
    shown = command(disk, "show")["versions"]
    assert command(disk, "verify") == {"objects": 1, "bytes": shown[0]["size"] if shown[0]["whole"] else shown[0]["disk"], "bad": 0}


def test_an_interrupt_ends_warm_while_the_server_is_silent(origin, bucket, mount):
    witness = bucket(origin)
    for i in range(3):
        witness.put("f%d" % i, pattern(1000, i))
    disk = mount(witness, attrs="list")
    origin.fault("hang", kind="GetObject", key=witness.name + "/f1")
    terminal = Terminal([disk.binary, "cache", "warm", disk.path])
    while terminal.read() and not LINE.search(terminal.said.decode()):
        pass
    terminal.press(b"\x03")
    status, _, out = terminal.end()
    assert status == -signal.SIGINT and not out
    origin.heal()
    assert (disk / "f2").read_bytes() == pattern(1000, 2)


# ---- What is malformed

@pytest.mark.parametrize("words, status, said", [
    (["frob"], 2, "show, verify, warm"), (["pin"], 2, "s3://bucket/prefix is missing"),
    (["evict"], 2, "s3://bucket/prefix is missing"), (["show", "/tmp"], 2, "is no s3://bucket/prefix"),
    (["pin", "bucket/key"], 2, "is no s3://bucket/prefix"), ([], 2, "is missing after cache"),
    (["show", "s3://a", "s3://b"], 2, "s3://b"), (["show", "--frob"], 2, "--frob"), (["verify", "-o"], 2, "-o"),
    (["verify", "-o", "cahce=/tmp"], 2, "cahce"), (["warm"], 1, "awsfs cache warm PATH"),
    (["show", "-o", "cache=none"], 1, "there is no cache"), (["show", "-o", "cache=/nonexistent"], 1, "/nonexistent: No such file"),
    (["clear", "-o", "cache=/proc"], 1, "no cache of awsfs is there")])
def test_a_malformed_cache_command_is_one_line(words, status, said):
    result = subprocess.run([program(), "cache", *words], capture_output=True, text=True, check=False)
    assert result.returncode == status and said in result.stderr and len(result.stderr.splitlines()) == 1
    assert not result.stdout
