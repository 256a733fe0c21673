"""A file system whose power can be cut (tests/powerloss), and what is done with it."""
import json
import os
import pathlib
import subprocess
import threading

from .mounts import mounted
from .servers import sanitizer_environment


ASKER = -1


def program():
    path = os.environ.get("AWSFS_POWERLOSS")
    if not path:
        path = os.path.join(os.path.dirname(os.environ["AWSFS_ORIGIN"]), "..", "powerloss", "awsfs-powerloss")
    if not os.path.exists(path):
        raise RuntimeError("AWSFS_POWERLOSS must name the built awsfs-powerloss (tests/run sets it); it is %r" % path)
    return path


class Disk:
    """`path` is where it is mounted."""

    def __init__(self, directory, who):
        self.path = pathlib.Path(directory)
        self.path.mkdir(parents=True, exist_ok=True)
        self.who = who
        self.process = subprocess.Popen([program(), self.path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        env=sanitizer_environment(who))
        self._expect("mounted")

    def __truediv__(self, name):
        return self.path / name

    def _tell(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def _expect(self, what):
        line = self.process.stdout.readline()
        assert line.startswith(what), "instead of %r: %r, status %s" % (what, line, self.process.poll())
        return line[len(what):]

    def arm(self, how="some", seed=0, after=0, pids=()):
        """The power goes before the change that follows `after` more, and the processes go with it; pids=[ASKER]: that
        which asks for the change."""
        self.armed = "lose %s %d 0 %s" % (how, seed, ",".join(str(pid) for pid in pids if pid != ASKER) or "0")
        self._tell("lose %s %d %d %s" % (how, seed, after, ",".join(str(pid) for pid in pids) or "0"))
        self._expect("armed")

    def lost(self, patience=None, pids=()):
        """Waits until the power is gone; what went with it. After `patience` seconds it goes whatever has changed."""
        timer = threading.Timer(patience or 3600, self._tell, (self.armed + "".join(",%d" % pid for pid in pids),))
        timer.start()
        try:
            line = "armed"
            while line.startswith("armed"):
                line = self.process.stdout.readline()
        finally:
            timer.cancel()
            timer.join()
        assert line.startswith("lost"), "instead of a loss %r, status %s" % (line, self.process.poll())
        return json.loads(line[4:])

    def lose(self, how="some", seed=0, pids=()):
        self.arm(how, seed, 0, pids)
        return self.lost()

    def mount(self):
        """With what has survived."""
        self._tell("mount")
        self._expect("mounted")

    def lie(self):
        """From now on fsync says that it was done, and was not."""
        self._tell("lie")
        self._expect("lying")

    def cut(self, how="some", seed=0):
        """Power loss and return, of a file system that nobody uses at the moment."""
        counts = self.lose(how, seed)
        self.mount()
        return counts

    def close(self):
        if self.process.stdin:
            self.process.stdin.close()
        try:
            status = self.process.wait(20)
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait(10)
            if mounted(self.path):
                subprocess.run(["fusermount3", "-u", "-z", self.path], capture_output=True, check=False)
            self.process.stdout.close()
        assert status == 0, "awsfs-powerloss ended with status %d" % status
