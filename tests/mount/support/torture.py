"""Programs that write, fsync, rename, unlink and make directories while their mount is killed, and what each path may be then.

A worker has a directory of its own and knows what is in it: {name: bytes}, None for what is not there. While one of its calls
is under way `possible` has every state in which a crash may leave the names that the call is about. A call that returned leaves
one state; a call that failed is the last of its round.

A loss of power may also take back what returned and was not synced (`forgets`: with write=back that is each removal and rename
since the last close or fsync of the worker), from the last one back, since the journal has one order."""
import errno
import os
import threading


NAMES, MOST = 60, 40   # of files, so that there is always a new name


class Worker(threading.Thread):
    def __init__(self, top, rng, files, large=0.02, forgets=False):
        super().__init__(daemon=True)
        self.top, self.rng, self.large = top, rng, large
        self.files = files      # {name: bytes}, the only state when nothing is possible
        self.forgets = forgets
        self.durable, self.unsynced = dict(files), []   # what it was at the last sync, and [{name: bytes or None}] since then
        self.possible = []      # [{name: bytes or None}], each a whole answer for the names that it has
        self.folders, self.durable_folders = set(), set()
        self.done, self.failed, self.stop = [], None, threading.Event()

    def run(self):
        try:
            while not self.stop.is_set():
                what = self.call()
                self.done.append(what.__name__)
                what()
                self.possible = []
        except OSError as failure:
            self.failed = failure

    def call(self):
        if len(self.files) > MOST:
            return self.unlink
        return self.rng.choice([self.create, self.create, self.rewrite, self.append, self.overwrite, self.write_synced, self.rename,
                                self.rename, self.replace, self.unlink, self.unlink, self.mkdir, self.rename_new])

    # ---- What a call may leave

    def may_be(self, *states):
        self.possible = list(states)

    def settle(self, *steps):
        """Not synced: a loss of power may leave what was before any of the steps."""
        for step in steps:
            self.files = after(self.files, step)
        self.unsynced += steps
        if not self.forgets:
            self.synced()
        self.possible = []

    def synced(self):
        self.durable, self.unsynced, self.durable_folders = dict(self.files), [], set(self.folders)

    def states(self):
        """All that a crash may leave."""
        found = [self.durable]
        for step in self.unsynced:
            found.append(after(found[-1], step))
        return found + [after(self.files, state) for state in self.possible]

    def data(self):
        if self.rng.random() < self.large:
            return self.rng.randbytes(1 << 20) * 9 + self.rng.randbytes(self.rng.randrange(1, 1 << 20))
        return self.rng.randbytes(self.rng.choice([1, 100, 4096, 30_000, 100_000]))

    def some(self):
        return self.rng.choice(sorted(self.files)) if self.files else None

    def new(self):
        return next(name for name in iter(lambda: "f%d" % self.rng.randrange(NAMES), None) if name not in self.files)

    def path(self, name):
        return os.path.join(self.top, name)

    # ---- Calls

    def change(self, name, flags, pieces):
        """Opens, writes the pieces, and closes; a piece that is followed by another is fsynced. Gives the content."""
        old, now = self.files.get(name), None if flags & os.O_TRUNC else self.files.get(name)
        self.may_be({name: old})
        fd = os.open(self.path(name), os.O_WRONLY | flags, 0o644)
        try:
            for number, (offset, data) in enumerate(pieces):
                os.pwrite(fd, data, len(now or b"") if offset is None else offset)
                before = now or b""
                at = len(before) if offset is None else offset
                now = before[:at].ljust(at, b"\0") + data + before[at + len(data):]
                self.may_be({name: old}, {name: now})
                if number + 1 < len(pieces):
                    os.fsync(fd)
                    old = now
                    self.files = after(self.files, {name: now})
                    self.synced()
                    self.may_be({name: old})
        except OSError as failure:
            if failure.errno == errno.EIO and now is None:  # of a daemon that lives, whose disk is gone: its close puts the file that was made
                self.possible.append({name: b""})
            try:
                os.close(fd)
            except OSError:
                pass
            raise
        os.close(fd)
        self.settle({name: now})
        self.synced()

    def create(self):
        self.change(self.new(), os.O_CREAT | os.O_TRUNC, [(0, self.data())])

    def rewrite(self):
        name = self.some()
        if name:
            self.change(name, os.O_TRUNC, [(0, self.data())])

    def append(self):
        name = self.some()
        if name:
            self.change(name, 0, [(None, self.data())])

    def overwrite(self):
        name = self.some()
        if name:
            self.change(name, 0, [(self.rng.randrange(len(self.files[name]) + 1), self.data())])

    def write_synced(self):
        self.change(self.new(), os.O_CREAT | os.O_TRUNC, [(None, self.data()) for _ in range(self.rng.randrange(2, 4))])

    def move(self, name, to):
        data, old = self.files[name], self.files.get(to)
        self.may_be({name: data, to: old}, {name: data, to: data}, {name: None, to: data})
        os.rename(self.path(name), self.path(to))
        self.settle({to: data}, {name: None})

    def rename(self):
        name = self.some()
        if name:
            self.move(name, self.new())

    def rename_new(self):
        """What programs do to replace a file as a whole."""
        name = self.some()
        if name:
            temporary = self.new()
            self.change(temporary, os.O_CREAT | os.O_EXCL, [(0, self.data())])
            self.move(temporary, name)

    def replace(self):
        if len(self.files) > 1:
            self.move(*self.rng.sample(sorted(self.files), 2))

    def unlink(self):
        name = self.some()
        if name:
            self.may_be({name: self.files[name]}, {name: None})
            os.unlink(self.path(name))
            self.settle({name: None})

    def mkdir(self):
        name = "d%d" % self.rng.randrange(1000)
        if name not in self.folders:
            os.mkdir(self.path(name))
            self.folders.add(name)
            self.settle()

    # ---- Afterwards

    def check(self, found, folders):
        """`found` {name: bytes} is one of the states that there may be; it is the state from now on. No folder is missing."""
        states = self.states()
        if found not in states:
            nearest = min(states, key=lambda state: len(differences(found, state)))
            raise AssertionError("%s; of %d states that there may be the nearest has %s; after %s, %s" % (
                differences(found, nearest), len(states), differences(nearest, found), self.done[-6:], self.failed))
        missing = self.durable_folders - folders
        assert not missing, "%s are missing; after %s" % (sorted(missing), self.done[-6:])
        self.files = self.durable = dict(found)
        self.possible, self.unsynced = [], []


def after(files, step):
    """The files with what the step says of some of them."""
    return {name: data for name, data in {**files, **step}.items() if data is not None}


def differences(files, others):
    return {name: brief(files.get(name)) for name in sorted(set(files) | set(others)) if files.get(name) != others.get(name)}


def brief(data):
    return "nothing" if data is None else "%d bytes %s" % (len(data), data[:6].hex())
