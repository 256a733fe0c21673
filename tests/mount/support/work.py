"""What the tests do with files: run programs, make trees, compare them, wait."""
import hashlib
import os
import signal
import stat
import subprocess
import sys
import time


def run(*command, timeout=120, **extra):
    """Runs a program and gives its output; a failure shows what it said."""
    result = subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=timeout, check=False, **extra)
    assert result.returncode == 0, "%s: status %d\n%s%s" % (command, result.returncode, result.stdout, result.stderr)
    return result.stdout


def shell(script, cwd, timeout=120):
    return run("bash", "-euc", script, cwd=cwd, timeout=timeout)


def wait_until(condition, seconds=60, what="the condition"):
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, "%s did not come true within %s s" % (what, seconds)
        time.sleep(0.05)


def sha512(data):
    return hashlib.sha512(data).hexdigest()


def pattern(size, seed=0):
    """Bytes that differ at every offset and for every seed, cheap to make."""
    block = b"".join(hashlib.blake2b(b"%d %d" % (seed, i)).digest() for i in range(1024))
    out = bytearray()
    while len(out) < size:
        out += block
        out += b"%d;" % len(out)
    return bytes(out[:size])


def make_tree(top, rng, files=40):
    """A tree with modes, times, symlinks, empty files and directories, and names that need care."""
    names = ["plain.txt", "with space", "ünï", "日本", "a+b&c=d", "-dash", ".hidden", "100%", "semi;colon", "quo'te\""]
    folders = [top]
    for i in range(6):
        folder = rng.choice(folders) / ("dir%d" % i)
        folder.mkdir(parents=True)
        folders.append(folder)
    for i in range(files):
        path = rng.choice(folders) / ("%d %s" % (i, rng.choice(names)))
        path.write_bytes(rng.randbytes(rng.choice([0, 1, 100, 4096, 70000])))
        path.chmod(rng.choice([0o644, 0o600, 0o755, 0o444]))
        os.utime(path, ns=(1_500_000_000_000_000_000 + i, 1_600_000_000_123_456_789 + i * 1_000_000_007))
    (top / "link").symlink_to("dir0/plain target")
    (top / "dangling").symlink_to("/nowhere/at all")
    (top / "empty dir").mkdir()
    os.utime(top / "empty dir", (1_300_000_000, 1_300_000_000))
    for folder in folders[1:]:
        folder.chmod(rng.choice([0o755, 0o700, 0o775]))
        os.utime(folder, (1_400_000_000, 1_400_000_000))


def describe(top):
    """{relative path: what must be the same in a copy}"""
    out = {}

    def fail(error):
        raise error

    for folder, folders, files in os.walk(top, onerror=fail):
        for name in folders + files:
            path = os.path.join(folder, name)
            info = os.lstat(path)
            kind = stat.S_IFMT(info.st_mode)
            entry = [oct(info.st_mode)]
            if kind == stat.S_IFLNK:
                entry = ["link", os.readlink(path)]
            elif kind == stat.S_IFREG:
                with open(path, "rb") as f:
                    entry += [info.st_mtime_ns, sha512(f.read())]
            else:
                entry += [info.st_mtime_ns]
            out[os.path.relpath(path, top)] = entry
    return out


class Script:
    """Python code in a process of its own, for what may get stuck or must be killed. It prints a line before it blocks."""

    def __init__(self, code, *arguments):
        self.process = subprocess.Popen([sys.executable, "-uc", "import os, sys, mmap, errno\n" + code] + [str(a) for a in arguments],
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.PIPE, text=True)

    def line(self):
        return self.process.stdout.readline().strip()

    def tell(self, text=""):
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()

    def finish(self, seconds=60):
        """Its output; an error of the script is an error here."""
        out, err = self.process.communicate(timeout=seconds)
        assert self.process.returncode == 0, err
        return out

    def kill(self, sig=signal.SIGKILL, seconds=1.0):
        """Sends the signal; fails unless the process is gone, not merely dying, within that time. Gives the seconds."""
        start = time.monotonic()
        self.process.send_signal(sig)
        self.process.wait(seconds)
        return time.monotonic() - start

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            try:
                stream.close()
            except OSError:
                pass


def errno_of(call, *arguments, **keywords):
    """The errno that a call fails with, 0 if it does not fail."""
    try:
        call(*arguments, **keywords)
    except OSError as error:
        return error.errno
    return 0


def read_range(path, offset, size):
    fd = os.open(path, os.O_RDONLY)
    try:
        return os.pread(fd, size, offset)
    finally:
        os.close(fd)


def stuck_in_kernel(pid):
    """Whether the process waits inside a system call on the file system."""
    with open("/proc/%d/stat" % pid, encoding="utf-8") as f:
        return f.read().rsplit(")", 1)[1].split()[0] in ("D", "S")


def most_in_a_window(log, rate):
    """By how much the requests of the fullest stretch of time exceed the rate: at most the burst."""
    times = [entry["at_ms"] / 1000 for entry in log]
    return max(j - i + 1 - rate * (times[j] - times[i]) for i in range(len(times)) for j in range(i, len(times)))


def has_ended(pid):
    """Whether no thread of it is left, so that its sockets are closed as well: who waits for its parent still has a name in /proc."""
    try:
        for task in os.listdir("/proc/%d/task" % pid):
            with open("/proc/%d/task/%s/stat" % (pid, task), encoding="utf-8", errors="replace") as f:
                if f.read().rpartition(")")[2].split()[0] not in "ZX":
                    return False
    except (FileNotFoundError, ProcessLookupError):
        # It, or one of its threads, has gone meanwhile.
        return not os.path.exists("/proc/%d" % pid)
    return True
