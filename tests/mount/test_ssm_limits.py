"""What the service limits, refuses and throttles, on tests/origin, which has its rules; thousands of parameters, and two writers."""
import errno
import json
import os
import subprocess
import threading
import time

import pytest

from support.buckets import Parameters
from support.work import errno_of, most_in_a_window, wait_until


@pytest.mark.long
@pytest.mark.timeout(300)
def test_a_minute_of_throttling_loses_nothing_and_makes_no_storm(origin, on_origin):
    """Everything is refused for a minute, whoever asks: what is known is read on, what is not gets EIO when its time is over, and a
    write either says that it failed, or is there."""
    names = ["p%d" % i for i in range(8)]
    disk = on_origin({name: "old" for name in names}, ssm_rate=10, timeout=20, ttl=600)
    os.listdir(disk.path)
    origin.fault({"status": 400, "code": "ThrottlingException"})
    outcomes, unknown = {}, []

    def writes(name):
        outcomes[name] = errno_of((disk / name).write_text, "new")

    writers = [threading.Thread(target=writes, args=(name,)) for name in names[:4]]
    begin = time.monotonic()
    for writer in writers:
        writer.start()
    while time.monotonic() - begin < 60:
        assert [(disk / name).read_text() for name in names[4:]] == ["old"] * 4
        if len(unknown) < 2:
            unknown.append(errno_of(os.stat, disk / ("none%d" % len(unknown) + "@1")))
        time.sleep(0.2)
    for writer in writers:
        writer.join()
    log = origin.log()
    origin.clear_faults()
    assert set(unknown) == set(outcomes.values()) == {errno.EIO}
    assert most_in_a_window(log, 10) <= 40 and len(log) < 150
    assert {name: disk.parameters.get(name) for name in names} == {name: "old" for name in names}
    assert len([line for line in disk.log().splitlines() if "throttled: " in line]) <= 3
    wait_until(lambda: errno_of((disk / "p0").write_text, "new") == 0, 60)
    assert disk.parameters.get("p0") == "new" and (disk / "p1").read_text() == "old"


def test_thousands_of_parameters_are_listed_walked_and_rendered_in_bounded_memory(origin_released, mount, released):
    """6,000 values of 2 KiB. While they are listed a value is there twice, in pages of its own; the renderings are three and a half
    times 12 MB. On a server of its own: an account has 10,000 in all."""
    origin_released.parameters(gets_per_s=0)
    parameters = Parameters(origin_released)
    origin_released.fill_parameters(parameters.root + "/d/p", 6000, value="x" * 2040)
    disk = mount(parameters, binary=released, ssm_rate=1000)
    start = disk.peak_memory()
    assert len(os.listdir(disk / "d")) == 6000
    listed = disk.peak_memory()
    found = subprocess.run(["find", disk.path, "-type", "f", "-size", "+3"], capture_output=True, check=True).stdout.splitlines()
    assert len(found) == 6000
    for _ in range(3):
        assert len(json.loads((disk / "d" / "@json").read_text())) == 6000
        assert len(json.loads((disk / "@tree.json").read_text())["d"]) == 6000
    rendered = disk.peak_memory()
    print("MiB at the start, listed, rendered:", start >> 20, listed >> 20, rendered >> 20)
    assert listed - start < 64 << 20 and rendered - start < 128 << 20


@pytest.mark.parametrize("code, name", [("ParameterLimitExceeded", "new"), ("ParameterPatternMismatchException", "p"),
                                        ("InvalidPolicyTypeException", "p"), ("AccessDeniedException", "p"), ("InvalidKeyId", "p")])
def test_what_a_put_is_refused_for_is_in_the_log_once_with_its_cause(origin, on_origin, code, name):
    disk = on_origin({"p": "old"})
    os.listdir(disk.path)
    origin.fault({"status": 400, "code": code}, kind="PutParameter")
    wanted = {"ParameterLimitExceeded": errno.EDQUOT, "AccessDeniedException": errno.EACCES, "InvalidKeyId": errno.EKEYREJECTED}
    for number in range(3):
        assert errno_of((disk / name).write_text, "value %d" % number) == wanted.get(code, errno.EINVAL)
    told = [line for line in disk.log().splitlines() if code in line and " ssm: " in line]
    assert len(told) == 1 and name in told[0] and "PutParameter" in told[0]


def test_names_values_and_labels_at_their_limits_are_taken(origin, mount):
    origin.parameters(gets_per_s=0)
    prefix = len("arn:aws:ssm:us-east-1:123456789012:parameter")
    witness = Parameters(origin)
    disk = mount(witness, ssm_rate=1000, ssm_type="String")
    deep = "/".join("l%d" % i for i in range(2, 16))
    (disk / deep).parent.mkdir(parents=True)
    (disk / deep).write_text("fifteen levels")
    assert witness.get(deep) == "fifteen levels"
    assert errno_of(os.mkdir, disk / (deep + "x")) == errno.ENAMETOOLONG
    room = 1011 - prefix - len(witness.root) - 1
    parts = ["n" * 250] * (room // 251) + ["e" * (room % 251)]
    longest = "/".join(parts)[:room]
    (disk / longest).parent.mkdir(parents=True)
    (disk / longest).write_text("v")
    assert witness.get(longest) == "v" and len(witness.parameter(longest)["ARN"]) == 1011
    assert errno_of((disk / (longest + "x")).write_text, "v") == errno.ENAMETOOLONG
    (disk / "large").write_text("x" * 4096)
    assert witness.get("large") == "x" * 4096
    os.setxattr(disk / "large", "user.ssm.tier", b"Advanced")
    (disk / "large").write_text("y" * 8192)
    assert witness.get("large") == "y" * 8192
    assert errno_of((disk / "large").write_text, "y" * 8193) == errno.EFBIG
    os.setxattr(disk / "large", "user.ssm.label." + "l" * 100, b"1")
    assert (disk / ("large@" + "l" * 100)).read_text() == "x" * 4096
    assert errno_of(os.setxattr, disk / "large", "user.ssm.label." + "l" * 101, b"1") == errno.EINVAL


def test_what_a_refused_write_emptied_keeps_its_versions_and_their_labels(on_origin):
    """The program that wrote too much has emptied the file, and may not have closed it yet."""
    disk = on_origin({"p": "one"}, ssm_type="String")
    with open(disk / "p", "wb", buffering=0) as f:
        assert errno_of(f.write, b"y" * 8193) == errno.EFBIG
        os.setxattr(disk / "p", "user.ssm.label.live", b"1")
        os.setxattr(disk / "p", "user.ssm.tag.team", b"blue")
        os.setxattr(disk / "p", "user.ssm.description", b"of p")
        assert errno_of(os.setxattr, disk / "p", "user.ssm.label.live", b"9") == errno.ENOENT
    assert (disk / "p@live").read_text() == "one" == disk.parameters.get("p")
    assert disk.parameters.describe("p")["Description"] == "of p"


def test_two_mounts_that_write_one_parameter_lose_no_value_unseen(origin, mount):
    origin.parameters(gets_per_s=0)
    parameters = Parameters(origin).plant({"p": "base"})
    disks = [mount(parameters, ssm_rate=1000, ttl=60) for _ in range(2)]
    assert [(disk / "p").read_text() for disk in disks] == ["base", "base"]
    with open(disks[0] / "p", "r+") as one, open(disks[1] / "p", "r+") as other:
        one.write("ONE ")
        other.write("OTHER")
        one.flush()
        os.fsync(one.fileno())
        assert errno_of(other.close) == errno.ESTALE
    history = parameters.ssm.get_parameter_history(Name=parameters.root + "/p")["Parameters"]
    assert [p["Value"] for p in history] == ["base", "ONE "]
    wait_until(lambda: "could not be stored" in disks[1].log())
    assert disks[1].log().rstrip().endswith('"p" could not be stored and its bytes are lost: changed by others meanwhile')


def test_two_mounts_that_rewrite_one_parameter_at_the_same_time_make_a_version_of_each_value(origin, mount):
    origin.parameters(gets_per_s=0)
    parameters = Parameters(origin).plant({"p": "base"})
    disks = [mount(parameters, ssm_rate=1000) for _ in range(2)]
    outcomes = {}

    def writes(k):
        for n in range(20):
            outcomes["value %d of mount %d" % (n, k)] = errno_of((disks[k] / "p").write_text, "value %d of mount %d" % (n, k))

    writers = [threading.Thread(target=writes, args=(k,)) for k in range(2)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert set(outcomes.values()) == {0} and len(outcomes) == 40
    history = parameters.ssm.get_parameter_history(Name=parameters.root + "/p", MaxResults=50)["Parameters"]
    assert sorted(p["Value"] for p in history) == sorted(["base", *outcomes]) and parameters.get("p") == history[-1]["Value"]


@pytest.mark.parametrize("program", ["cp /dev/stdin p", "tee p", "dd of=p status=none"])
def test_a_program_that_looks_at_its_close_says_that_a_value_was_refused(on_origin, program):
    disk = on_origin({"p": "old"})
    for value, status in (("new", 0), ("{{x}}", 1)):
        assert subprocess.run(["sh", "-c", program], input=value, text=True, cwd=disk.path, check=False,
                              capture_output=True).returncode == status
    assert disk.parameters.get("p") == "new"


def test_a_value_is_in_no_log_whatever_becomes_of_it(origin, on_origin):
    """At log_level=debug, with errors whose text has what was sent, and with values that are refused here."""
    marker = "marker-Zq7-unmistakable"
    disk = on_origin({"p": "one"}, log_level="debug")
    for code in ("ParameterPatternMismatchException", "ValidationException", "InternalServerError", "AccessDeniedException", "TooManyUpdates"):
        origin.fault({"status": 400, "code": code}, kind="PutParameter", count=1)
        errno_of((disk / "p").write_text, marker + code)
    (disk / "s").write_text(marker)
    (disk / "s").rename(disk / "t")
    for refused in (b"\0", b"{{", b"\xff", b"x" * 9000):
        assert errno_of((disk / "bad").write_bytes, marker.encode() + refused) in (errno.EINVAL, errno.EILSEQ, errno.EFBIG)
    (disk / ".t.swp").write_text(marker)
    (disk / ".t.swp").rename(disk / "u")
    for fault in ("malformed_xml", {"empty_200": True}, "reset_after"):
        origin.fault(fault if fault != "reset_after" else {"reset_after": 100}, kind="GetParameter*", count=1)
        errno_of((disk / "t@1").read_text)
    assert marker in (disk / "@json").read_text()
    status = subprocess.run([disk.binary, "status", disk.path, "--json"], capture_output=True, text=True, check=True).stdout
    disk.umount()
    assert marker not in disk.log() + disk.output() + status and " D " in disk.log()
