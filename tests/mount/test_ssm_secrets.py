"""Nothing of a SecureString ever reaches a disk, a log or a core dump."""
import contextlib
import os
import resource
import signal

import pytest

from support.buckets import Parameters
from support.secrets import core_dump_has, files_with, memory_has, unlocked_mappings
from support.work import run, wait_until

SECRET = "hunter2-Xq9-unmistakable-value-Zz7"


@pytest.fixture
def disk(moto, mount, released):
    witness = Parameters(moto)
    witness.put("read", SECRET + "-read", "SecureString")
    disk = mount(witness, binary=released)
    assert (disk / "read").read_text() == SECRET + "-read"
    (disk / "written").write_text(SECRET + "-written")
    (disk / ".written.swp").write_text(SECRET + "-swap")
    run("sed", "-i", "s/written/edited/", disk / "written")
    return disk


def test_no_file_under_state_and_cache_and_no_log_holds_the_value(disk):
    assert disk.parameters.get("written") == SECRET + "-edited"
    for when in ("mounted", "unmounted"):
        assert files_with(SECRET.encode(), disk.state, disk.cache, disk.directory / "output") == [], when
        assert SECRET not in disk.log()
        if when == "mounted":
            disk.umount()


def test_no_core_dump_would_hold_the_value(disk):
    """Beyond what is promised (no core dump is made at all, see below): what root reads out of the running process, as gcore does,
    has no value either, over plain HTTP. With TLS OpenSSL keeps what it deciphered last in a buffer of its own."""
    assert not core_dump_has(disk.pid, SECRET.encode())


def test_the_search_does_find_a_value_that_is_kept_carelessly():
    from support.work import Script
    careless = Script("v = 'hunter2-' + sys.argv[1]; print('ready'); sys.stdin.readline()", "Xq9-unmistakable-value-Zz7")
    assert careless.line() == "ready"
    try:
        assert core_dump_has(careless.process.pid, SECRET.encode())
    finally:
        careless.close()


def test_the_credentials_are_in_no_log_no_file_and_no_command_line(disk):
    from support import servers
    disk.umount()
    assert files_with(servers.SECRET.encode(), disk.directory) == []
    disk.start()
    with open("/proc/%d/cmdline" % disk.pid, "rb") as f:
        assert servers.SECRET.encode() not in f.read()


def test_a_crash_writes_no_core(disk):
    """The kernel's way: also where root has lifted the limit, because the process is not dumpable. Whether a core was written is
    what the kernel tells the parent, wherever its core pattern would have put it."""
    with open("/proc/%d/limits" % disk.pid, encoding="utf-8") as limits:
        core = next(line for line in limits if line.startswith("Max core file size"))
    assert core.split()[4:6] == ["0", "0"]
    with contextlib.suppress(PermissionError):
        resource.prlimit(disk.pid, resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    os.kill(disk.pid, signal.SIGSEGV)
    _, status = os.waitpid(disk.pid, 0)
    disk.process.returncode = -signal.SIGSEGV
    assert os.WIFSIGNALED(status) and not os.WCOREDUMP(status)
    disk.kill9()
    assert files_with(SECRET.encode(), disk.directory) == []


def test_the_memory_of_values_is_locked(disk):
    with open("/proc/%d/status" % disk.pid, encoding="utf-8") as status:
        locked = next(line for line in status if line.startswith("VmLck"))
    assert int(locked.split()[1]) > 0


def test_where_a_value_is_in_memory_that_is_locked_and_left_out_of_dumps(disk):
    """Swap and core dumps: a value that is held is found, but in no mapping that could be written to a disk."""
    with open(disk / "read", encoding="ascii") as f:
        assert f.read() == SECRET + "-read"
        assert (disk / "@json").read_text() and (disk / "read@history" / "1").read_text()
        assert memory_has(disk.pid, SECRET.encode())
        assert not core_dump_has(disk.pid, SECRET.encode(), unlocked_mappings)


def test_with_decryption_on_read_nothing_of_a_value_is_left_in_memory_after_the_close(moto, mount, released):
    """All of the process's memory is searched, what is locked included: buffers of libcurl, jansson, libfuse, stacks, freed blocks."""
    witness = Parameters(moto)
    witness.put("s", SECRET + "-sealed", "SecureString")
    disk = mount(witness, binary=released, ssm_decrypt="read", ssm_rate=1000)
    with open(disk / "s", encoding="ascii") as f:
        assert f.read() == SECRET + "-sealed"
        assert memory_has(disk.pid, SECRET.encode())
    for _ in range(3):
        assert (disk / "s").read_text() == SECRET + "-sealed"
    (disk / "s").write_text(SECRET + "-changed")
    assert witness.get("s") == SECRET + "-changed"
    wait_until(lambda: not memory_has(disk.pid, SECRET.encode()), 10, "a process without the value")
