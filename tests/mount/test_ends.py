"""How a mount ends: by umount, by a signal, by a crash of its daemon; and what is left of it."""
import contextlib
import ctypes
import hashlib
import os
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from support import mounts
from support.cli import one_line
from support.work import pattern, wait_until

CONTROL = "/run/awsfs" if os.geteuid() == 0 else "/tmp/awsfs-%d" % os.geteuid()


def test_a_plain_umount_ends_the_daemon(cli, witness):
    assert cli.mount(witness.source).returncode == 0
    assert cli.daemon()
    subprocess.run(["fusermount3", "-u", cli.mnt], check=True)
    wait_until(lambda: cli.daemon() is None, 20, "the end of the daemon")


def test_sigterm_finishes_what_is_being_written_and_unmounts(moto, bucket, mount):
    disk = mount(bucket(moto))
    (disk / "f").write_bytes(b"x")
    (disk / "f").chmod(0o611)
    assert disk.terminate() == 0
    assert not mounts.mounted(disk.path)
    assert disk.bucket.head("f")["Metadata"]["mode"] == str(0o100611)


def test_the_status_of_a_mount_whose_daemon_was_killed_says_how_to_remove_it(cli, witness):
    assert cli.mount(witness.source).returncode == 0
    cli.kill()
    for socket_stays in True, False:
        for command in "status", "flush":
            assert one_line(cli.run(command, cli.mnt)) == \
                "awsfs: no daemon serves %s: fusermount3 -u %s removes the mount" % (cli.mnt, cli.mnt)
        if socket_stays:
            name = hashlib.sha256(str(cli.mnt.resolve()).encode()).hexdigest()[:16]
            os.utime("%s/%s.sock" % (CONTROL, name), (0, 0))
            other = cli.directory / "other"
            other.mkdir()
            assert cli.run(witness.source, other, "-o", ",".join(cli.base + ["endpoint=" + cli.endpoint])).returncode == 0
            subprocess.run(["fusermount3", "-u", other], check=True)
    subprocess.run(["fusermount3", "-u", cli.mnt], check=True)
    assert "no mount of awsfs" in one_line(cli.run("status", cli.mnt))


def test_umount_returns_when_the_process_of_the_daemon_has_ended(cli, witness):
    """Also where it has much to do after it has served: what was just written is still brought to the disk cache."""
    assert cli.mount(witness.source, "write=back").returncode == 0
    (cli.mnt / "large").write_bytes(pattern(16 << 20, 1))
    assert cli.run("umount", cli.mnt).returncode == 0
    assert cli.daemon() is None


@contextlib.contextmanager
def held_elsewhere(cli):
    """A mount namespace that has the mount too, and not those of other tests."""
    lets_go = "awk '$3 == \"fuse.awsfs\" && $2 != \"%s\" { print $2 }' /proc/self/mounts | xargs -r -n 1 umount -l; exec sleep 1000" % cli.mnt
    other = subprocess.Popen(["unshare", "--mount", "--propagation", "private", "sh", "-c", lets_go])
    try:
        wait_until(lambda: (Path("/proc") / str(other.pid) / "comm").read_text() == "sleep\n", 60, "a namespace of its own")
        yield
    finally:
        other.kill()
        other.wait()
    wait_until(lambda: cli.daemon() is None, 60, "the end of the daemon")


def test_umount_says_that_another_mount_namespace_has_the_mount_too(cli, witness):
    assert cli.mount(witness.source).returncode == 0
    with held_elsewhere(cli):
        result = cli.run("umount", cli.mnt)
        assert result.returncode == 0 and "another mount namespace" in result.stderr
        assert not mounts.mounted(cli.mnt) and cli.daemon()


@pytest.mark.parametrize("flags", [[], ["-f"]], ids=["background", "foreground"])
def test_a_mount_that_waits_for_the_previous_daemon_says_so_and_an_interrupt_ends_it(cli, witness, flags):
    assert cli.mount(witness.source).returncode == 0
    before = cli.daemon()
    with held_elsewhere(cli):
        subprocess.run(["fusermount3", "-u", cli.mnt], check=True)
        command = [mounts.program(), witness.source, cli.mnt, *flags, "-o", ",".join(cli.base + ["endpoint=" + cli.endpoint])]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=cli.environment()) as process:
            line = process.stderr.readline()
            assert line.startswith("awsfs: waiting for the previous mount of %s at %s to end (process %d): " % (witness.source, cli.mnt, before))
            process.send_signal(signal.SIGINT)
            assert process.wait(60) != 0
    assert not mounts.mounted(cli.mnt)


def shared_device(pid):
    """The connection of the daemon, as a descriptor of ours that keeps it alive (pidfd_getfd(2))."""
    libc = ctypes.CDLL(None, use_errno=True)
    number = next(int(fd.name) for fd in Path("/proc/%d/fd" % pid).iterdir() if os.readlink(fd) == "/dev/fuse")
    pidfd = os.pidfd_open(pid)
    try:
        return libc.syscall(438, pidfd, number, 0)
    finally:
        os.close(pidfd)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may end the requests of a connection")
def test_umount_of_a_mount_whose_daemon_was_killed_ends_requests_that_nobody_answers(cli, witness):
    assert cli.mount(witness.source).returncode == 0
    device = shared_device(cli.daemon())
    assert device >= 0
    cli.kill()
    asks = subprocess.Popen(["stat", str(cli.mnt / "f")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: "request_wait" in Path("/proc/%d/wchan" % asks.pid).read_text(), 20, "a request without an answer")
        cli.run("umount", cli.mnt, timeout=60)
        assert asks.wait(20) != 0
    finally:
        os.close(device)
        asks.wait(20)
    assert not mounts.mounted(cli.mnt)


def test_umount_of_a_mount_whose_daemon_was_killed_says_that_nothing_was_waited_for(cli, witness):
    assert cli.mount(witness.source).returncode == 0
    cli.kill()
    line = one_line(cli.run("umount", cli.mnt))
    assert "%s is unmounted, but its daemon did not answer" % cli.mnt in line and "awsfs journal list" in line
    assert not mounts.mounted(cli.mnt)
    assert "no mount of awsfs" in one_line(cli.run("umount", cli.mnt))


def test_a_mount_removes_the_control_sockets_of_killed_daemons_only(cli, witness):
    os.makedirs(CONTROL, 0o700, exist_ok=True)
    kinds = {name: socket.socket(socket.AF_UNIX) for name in ("alive", "dead", "starting")}
    paths = {name: "%s/%s-%d.sock" % (CONTROL, name, os.getpid()) for name in kinds}
    try:
        for name, one in kinds.items():
            one.bind(paths[name])
        kinds["alive"].listen()
        for name in "alive", "dead":
            os.utime(paths[name], (0, 0))
        assert cli.mount(witness.source).returncode == 0
        assert {name for name, path in paths.items() if os.path.exists(path)} == {"alive", "starting"}
    finally:
        for name, one in kinds.items():
            one.close()
            if os.path.exists(paths[name]):
                os.unlink(paths[name])


def test_a_lost_daemon_leaves_a_mount_that_fusermount3_removes(moto, bucket, mount):
    disk = mount(bucket(moto))
    disk.process.kill()
    disk.process.wait(10)
    if mounts.mounted(disk.path):
        subprocess.run(["fusermount3", "-u", disk.path], check=True)
    assert not mounts.mounted(disk.path)
    disk.start()
    assert os.listdir(disk.path) == []


def test_a_new_mount_waits_for_the_daemon_of_the_same_state_that_is_still_sending(origin, bucket, mount):
    witness = bucket(origin)
    disk = mount(witness)
    (disk / "f").write_bytes(b"x")
    origin.fault({"delay_ms": 1500}, kind="CopyObject", count=1)
    (disk / "f").chmod(0o600)
    subprocess.run(["fusermount3", "-u", disk.path], check=True)
    old = disk.process
    disk.start()
    assert old.wait(20) == 0
    assert os.stat(disk / "f").st_mode & 0o777 == 0o600


def test_sigint_in_the_foreground_unmounts(moto, bucket, mount):
    disk = mount(bucket(moto))
    disk.process.send_signal(signal.SIGINT)
    assert disk.process.wait(20) == 0, disk.output() + disk.log()
    assert not mounts.mounted(disk.path)
