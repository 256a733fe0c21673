"""What a mount of parameters asks for, counted on tests/origin, which has the service's rate, pages and permissions."""
import errno
import json
import os
import re
import subprocess
import threading
import time

import pytest

from support import servers
from support.buckets import Parameters
from support.work import errno_of, most_in_a_window, run, wait_until


@pytest.fixture
def parameters(origin):
    origin.parameters(gets_per_s=0)
    return Parameters(origin)


@pytest.fixture
def tree(origin, parameters, mount):
    def make(values=(), **options):
        disk = mount(parameters.plant(values), **{"ssm_rate": 1000, **options})
        origin.reset_counts()
        return disk
    return make


def test_a_thousand_parameters_are_listed_by_a_hundred_requests_and_not_again_within_ttl(origin, parameters, tree):
    origin.fill_parameters(parameters.root + "/d/p", 1000)
    disk = tree()
    assert os.listdir(disk.path) == ["d"]
    assert origin.requests() == {"GetParametersByPath": 100}
    origin.reset_counts()
    run("find", disk.path, "-size", "+0", "-ls")
    assert len(os.listdir(disk / "d")) == 1000
    for i in range(0, 1000, 7):
        assert (disk / "d" / ("p%06d" % i)).read_text() == "value %d" % i
    run("grep", "-r", "value 999", disk.path)
    assert origin.requests() == {}


def test_an_unchanged_value_is_not_put(origin, tree):
    disk = tree({"p": "same", "q": "same"})
    os.listdir(disk.path)
    for name in "pq":
        (disk / name).write_text("same")
    assert "PutParameter" not in origin.requests()
    assert disk.parameters.parameter("p")["Version"] == 1


def test_in_any_time_there_are_no_more_requests_than_the_burst_and_the_rate(origin, parameters, tree):
    origin.parameters(gets_per_s=40, burst=1000)
    origin.fill_parameters(parameters.root + "/p", 900)
    disk = tree(ssm_rate=30)
    assert len(os.listdir(disk.path)) == 900
    assert origin.requests() == {"GetParametersByPath": 90}
    # One by one: the first of a stretch may have arrived late. The slack is far below the 51 that no limit would give.
    assert most_in_a_window(origin.log(), 30) <= 40 + 5


def test_a_refresh_that_finds_nothing_changed_keeps_what_the_kernel_holds_and_a_change_shows_in_mtime(origin, tree):
    disk = tree({"a": "one", "b": "two"}, ttl=1)
    os.listdir(disk.path)
    before = {name: os.stat(disk / name) for name in "ab"}
    with open(disk / "a", "rb") as f:
        assert f.read() == b"one"
        time.sleep(1.1)
        disk.parameters.put("b", "three")
        assert sorted(os.listdir(disk.path)) == ["a", "b"]
        after = {name: os.stat(disk / name) for name in "ab"}
        assert after["a"] == before["a"]
        assert (after["b"].st_mtime_ns, after["b"].st_size) != (before["b"].st_mtime_ns, before["b"].st_size)
        assert (disk / "b").read_text() == "three"
        os.lseek(f.fileno(), 0, os.SEEK_SET)
        assert f.read() == b"one"


def test_who_uses_a_tree_does_not_feel_its_ttl_and_who_does_not_asks_for_nothing(origin, parameters, tree):
    origin.fill_parameters(parameters.root + "/d/p", 25)
    disk = tree(ttl=8)
    os.listdir(disk.path)
    assert origin.requests() == {"GetParametersByPath": 3}
    parameters.put("d/p000007", "changed")
    origin.reset_counts()
    end = time.monotonic() + 11
    while time.monotonic() < end:
        for name in ("p000001", "p000024"):
            assert (disk / "d" / name).read_text() == "value %d" % int(name[1:])
        time.sleep(0.1)
    # Each listing in time for the next: nothing was asked for by its name.
    asked = origin.requests()
    assert set(asked) == {"GetParametersByPath"} and 3 <= asked["GetParametersByPath"] <= 3 * 3
    assert (disk / "d" / "p000007").read_text() == "changed"
    time.sleep(8)
    origin.reset_counts()
    time.sleep(8)
    assert origin.requests() == {}


def test_pages_that_are_empty_and_not_the_last_do_not_end_a_listing(origin, parameters, tree):
    origin.fill_parameters(parameters.root + "/p", 45)
    origin.parameters(empty_every=2)
    disk = tree()
    assert len(os.listdir(disk.path)) == 45


def test_a_token_that_loops_is_an_error_and_not_a_short_listing(origin, parameters, tree):
    origin.fill_parameters(parameters.root + "/p", 45)
    disk = tree()
    origin.fault("loop_listing", kind="GetParametersByPath")
    assert errno_of(os.listdir, disk.path) == errno.EIO
    assert sum(origin.requests().values()) < 10
    origin.clear_faults()
    assert len(os.listdir(disk.path)) == 45


def test_throttling_is_waited_out_without_a_storm(origin, parameters, tree):
    origin.fill_parameters(parameters.root + "/p", 100)
    disk = tree()
    origin.parameters(gets_per_s=3, burst=1)
    assert len(os.listdir(disk.path)) == 100
    asked = origin.requests()["GetParametersByPath"]
    assert asked - origin.counts()["throttled"] == 10 and asked <= 40
    assert len([line for line in disk.log().splitlines() if "throttled: " in line]) <= 1


def test_concurrent_updates_of_one_parameter_are_tried_again(origin, tree):
    disk = tree({"p": "one"})
    origin.fault({"status": 400, "code": "TooManyUpdates"}, kind="PutParameter", count=2)
    (disk / "p").write_text("two")
    assert disk.parameters.get("p") == "two" and disk.parameters.parameter("p")["Version"] == 2


def test_writers_of_many_parameters_lose_nothing(origin, tree):
    disk = tree({"p%d" % i: "old" for i in range(20)})
    threads = [threading.Thread(target=(disk / ("p%d" % i)).write_text, args=("new %d" % i,)) for i in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {disk.parameters.get("p%d" % i) for i in range(20)} == {"new %d" % i for i in range(20)}


def test_many_are_removed_by_tens(origin, parameters, tree):
    origin.fill_parameters(parameters.root + "/d/p", 40)
    disk = tree()
    os.rename(disk / "d", disk / "e")
    assert parameters.names() == ["e/p%06d" % i for i in range(40)]
    asked = origin.requests()
    assert (asked["PutParameter"], asked["DeleteParameters"]) == (40, 4) and "DeleteParameter" not in asked
    assert asked["GetParameters"] == 4


def test_a_hierarchy_is_renamed_with_all_that_belongs_to_it(tree):
    disk = tree({"d/x": "1", "d/deep/y": "2", "other": "3"})
    disk.parameters.put("d/s", "secret", "SecureString", KeyId="alias/mine", Description="of s")
    os.setxattr(disk / "d" / "s", "user.ssm.tag.team", b"blue")
    with open(disk / "d" / "x", "rb") as f:
        os.rename(disk / "d", disk / "e")
        assert f.read() == b"1"
    assert disk.parameters.names() == ["e/deep/y", "e/s", "e/x", "other"]
    described = disk.parameters.describe("e/s")
    assert (described["Type"], described["KeyId"], described["Description"]) == ("SecureString", "alias/mine", "of s")
    assert os.getxattr(disk / "e" / "s", "user.ssm.tag.team") == b"blue"
    assert sorted(os.listdir(disk.path)) == ["e", "other"] and (disk / "e" / "deep" / "y").read_text() == "2"
    assert errno_of(os.stat, disk / "d") == errno.ENOENT


def test_a_rename_that_would_lose_versions_is_exdev_unless_it_is_allowed(origin, tree):
    values = {"d/x": "1", "d/y": "1"}
    disk = tree(values)
    disk.parameters.put("d/y", "2")
    assert errno_of(os.rename, disk / "d", disk / "e") == errno.EXDEV
    assert "DeleteParameters" not in origin.requests() and disk.parameters.names() == ["d/x", "d/y"]
    run("mv", disk / "d", disk / "moved")
    assert disk.parameters.names() == ["moved/x", "moved/y"] and disk.parameters.get("moved/y") == "2"


def test_a_rename_that_loses_versions_is_allowed_by_an_option(tree):
    disk = tree({"d/x": "1"}, ssm_rename="copy")
    disk.parameters.put("d/x", "2")
    os.rename(disk / "d", disk / "e")
    assert disk.parameters.names() == ["e/x"] and disk.parameters.get("e/x") == "2"


def test_a_parameter_and_a_hierarchy_of_one_name_are_not_torn_apart(tree):
    disk = tree({"d": "self", "d/x": "1"})
    assert errno_of(os.rename, disk / "d", disk / "e") == errno.EXDEV
    assert disk.parameters.names() == ["d", "d/x"]


def test_a_rename_of_a_hierarchy_that_fails_leaves_it_as_it_was(origin, tree):
    disk = tree({"d/p%d" % i: str(i) for i in range(25)})
    origin.fault({"status": 400, "code": "ParameterLimitExceeded"}, kind="PutParameter", skip=12)
    assert errno_of(os.rename, disk / "d", disk / "e") == errno.EDQUOT
    origin.clear_faults()
    assert disk.parameters.names() == sorted("d/p%d" % i for i in range(25))
    wait_until(lambda: sorted(os.listdir(disk / "d")) == sorted("p%d" % i for i in range(25)), 30)


def test_who_may_list_and_not_read_reads_what_listings_bring(origin, parameters, tree):
    disk = tree({"d/p": "value"}, ttl=0)
    origin.parameters(deny=[{"kind": "GetParameter"}, {"kind": "GetParameters"}])
    assert os.listdir(disk / "d") == ["p"] and (disk / "d" / "p").read_text() == "value"
    assert errno_of(os.stat, disk / "none") == errno.ENOENT
    origin.parameters(deny=[{"kind": "Get*", "name": parameters.root + "*"}])
    assert errno_of((disk / "d" / "p").read_text) == errno.EACCES
    origin.parameters(deny=[{"kind": "PutParameter"}])
    assert errno_of((disk / "d" / "p").write_text, "new") == errno.EACCES
    assert disk.parameters.get("d/p") == "value"


@pytest.mark.parametrize("ro", [False, True])
def test_who_may_read_and_not_list_reads_the_names_he_knows(origin, parameters, mount, ro):
    for name in ("p", "d/p", "d/deep/er"):
        parameters.put(name, "value of " + name)
    origin.parameters(deny=[{"kind": "GetParametersByPath"}, {"kind": "DescribeParameters"}])
    disk = mount(parameters, ssm_rate=1000, ttl=1, **({"ro": True} if ro else {}))
    assert errno_of(os.listdir, disk.path) == errno.EACCES
    assert (disk / "p").read_text() == "value of p"
    if ro:
        assert (disk / "d" / "p").read_text() == "value of d/p" and (disk / "d" / "deep" / "er").read_text() == "value of d/deep/er"
    else:
        assert errno_of((disk / "d" / "p").read_text) == errno.EACCES
    for _ in range(3):
        os.path.exists(disk / "none")
    assert origin.requests().get("DescribeParameters", 0) == 1


def test_who_may_describe_and_not_list_uses_all_the_names_he_knows(origin, parameters, mount):
    for name in ("p", "d/p", "d/deep/er"):
        parameters.put(name, "value of " + name)
    origin.parameters(deny=[{"kind": "GetParametersByPath"}], empty_every=2)
    disk = mount(parameters, ssm_rate=1000, ttl=1)
    for name in ("p", "d/p", "d/deep/er"):
        assert (disk / name).read_text() == "value of " + name
    assert errno_of(os.stat, disk / "none") == errno.ENOENT and errno_of(os.stat, disk / "d" / "none") == errno.ENOENT
    assert errno_of(os.listdir, disk / "d") == errno.EACCES
    (disk / "d" / "deep" / "er").write_text("changed")
    (disk / "d" / "new").write_text("new value")
    (disk / "other").mkdir()
    (disk / "other" / "one").write_text("one")
    assert [parameters.get(name) for name in ("d/deep/er", "d/new", "other/one")] == ["changed", "new value", "one"]
    assert errno_of(os.rmdir, disk / "d") in (errno.ENOTEMPTY, errno.EACCES)
    (disk / "d" / "new").unlink()
    origin.parameters(empty_every=0)
    origin.reset_counts()
    for k in range(5):
        assert errno_of(os.stat, disk / ("unknown%d" % k)) == errno.ENOENT
    assert origin.requests() == {"GetParameter": 5, "DescribeParameters": 5}
    origin.parameters(deny=[])
    assert parameters.names() == ["d/deep/er", "d/p", "other/one", "p"]


@pytest.mark.parametrize("state, word", [("disabled", "InvalidKeyId"), ("denied", "AccessDenied")])
def test_a_key_that_cannot_be_used_is_told_with_its_cause_once(origin, parameters, tree, state, word):
    parameters.put("s", "secret", "SecureString", KeyId="alias/mine")
    disk = tree({"p": "plain"}, ttl=0)
    origin.parameters(keys={"alias/mine": state})
    for _ in range(3):
        assert errno_of((disk / "s").read_text) in (errno.EKEYREJECTED, errno.EACCES)
    assert (disk / "p").read_text() == "plain"
    told = [line for line in disk.log().splitlines() if word in line]
    assert len(told) == 1 and "/s" in told[0] and "secret" not in disk.log()


def test_with_decryption_on_read_nothing_is_decrypted_before_an_open(origin, parameters, tree):
    parameters.put("s", "secret value", "SecureString")
    parameters.put("p", "plain")
    origin.parameters(keys={"alias/aws/ssm": "denied"})
    disk = tree(ssm_decrypt="read")
    assert sorted(os.listdir(disk.path)) == ["p", "s"] and os.stat(disk / "p").st_size == 5
    assert os.stat(disk / "s").st_size == 0 and os.stat(disk / "s").st_mode & 0o777 == 0o600
    assert errno_of((disk / "s").read_text) == errno.EACCES
    origin.parameters(keys={})
    origin.reset_counts()
    for _ in range(2):
        assert (disk / "s").read_text() == "secret value"
        run("grep", "-q", "secret value", disk / "s")
    assert origin.requests() == {"GetParameter": 4}
    with open(disk / "s", "a") as f:
        f.write(" grown")
    assert parameters.get("s") == "secret value grown"
    os.truncate(disk / "s", 6)
    wait_until(lambda: parameters.get("s") == "secret")
    (disk / "s").write_text("new")
    assert parameters.get("s") == "new" == (disk / "s").read_text()
    os.rename(disk / "s", disk / "s~")
    assert (disk / "s~").read_text() == "new"
    os.rename(disk / "s~", disk / "t")
    assert parameters.get("t") == "new" == (disk / "t").read_text()
    run("sed", "-i", "s/new/newer/", disk / "t")
    assert parameters.get("t") == "newer"


def test_one_key_that_cannot_be_used_hides_one_value_and_no_name(origin, parameters, tree):
    for i in range(25):
        parameters.put("p%02d" % i, "value", "SecureString", KeyId="alias/off" if i == 13 else "alias/on")
    origin.parameters(keys={"alias/off": "disabled"})
    disk = tree()
    assert len(os.listdir(disk.path)) == 25
    assert origin.requests() == {"GetParametersByPath": 4}
    assert errno_of((disk / "p13").read_text) == errno.EKEYREJECTED
    for i in (0, 12, 14, 24):
        assert (disk / ("p%02d" % i)).read_text() == "value"
    origin.parameters(keys={})
    assert (disk / "p13").read_text() == "value"


def test_views_of_thousands_of_parameters_cost_no_request_and_a_label_one_for_ten(origin, parameters, tree):
    origin.fill_parameters(parameters.root + "/d/p", 3000)
    parameters.ssm.label_parameter_version(Name=parameters.root + "/d/p000007", ParameterVersion=1, Labels=["live"])
    disk = tree()
    os.listdir(disk.path)
    assert origin.requests() == {"GetParametersByPath": 300}
    origin.reset_counts()
    assert json.loads((disk / "d" / "@json").read_text()) == {"p%06d" % i: "value %d" % i for i in range(3000)}
    assert len((disk / "d" / "@env").read_text().splitlines()) == 3000
    assert len(json.loads((disk / "@tree.json").read_text())["d"]) == 3000
    assert origin.requests() == {}
    assert json.loads((disk / "d" / "@json@live").read_text()) == {"p000007": "value 7"}
    assert (disk / "d" / "@json@live").read_text()
    assert origin.requests() == {"GetParameters": 300}


def test_a_view_of_sealed_values_decrypts_when_it_is_opened_and_forgets_with_the_close(origin, parameters, tree):
    for i in range(25):
        parameters.put("d/s%02d" % i, "secret %d" % i, "SecureString")
        parameters.ssm.label_parameter_version(Name=parameters.root + "/d/s%02d" % i, ParameterVersion=1, Labels=["live"])
    parameters.put("d/p", "plain")
    origin.parameters(keys={"alias/aws/ssm": "denied"})
    disk = tree(ssm_decrypt="read")
    os.listdir(disk / "d")
    origin.reset_counts()
    for view in ("@json", "@tree.json", "@env"):
        found = os.stat(disk / "d" / view)
        assert (found.st_size, found.st_mode & 0o777) == (0, 0o400)
    assert origin.requests() == {}
    found = os.stat(disk / "d" / "@json@live")
    assert (found.st_size, found.st_mode & 0o777) == (0, 0o400)
    assert errno_of(os.stat, disk / "d" / "@json@nowhere") == errno.ENOENT
    assert errno_of(open, disk / "d" / "@json") == errno.EACCES
    assert errno_of(open, disk / "d" / "@json@live") == errno.EACCES
    origin.parameters(keys={})
    values = {"s%02d" % i: "secret %d" % i for i in range(25)}
    for view, expected in (("@json", {"p": "plain", **values}), ("@json@live", values)):
        os.stat(disk / "d" / view)
        origin.reset_counts()
        with open(disk / "d" / view, encoding="ascii") as f:
            assert json.load(f) == expected
            assert json.loads((disk / "d" / view).read_text()) == expected
        assert json.loads((disk / "d" / view).read_text()) == expected
        assert origin.requests() == {"GetParameters": 6}
    run("cp", disk / "d" / "@env", disk.directory / "copied")
    assert subprocess.run(["sh", "-c", '. "$1"; echo "$S24"', "-", disk / "d" / "@env"], capture_output=True, text=True,
                          check=True).stdout == "secret 24\n"
    assert (disk.directory / "copied").read_text().startswith('P="plain"\nS00="secret 0"\n')
    with open(disk / "d" / "@json", encoding="ascii") as f:
        parameters.put("d/s00", "changed", "SecureString")
        (disk / "d" / "p").write_text("changed")
        assert json.load(f) == {"p": "plain", **values}
    assert json.loads((disk / "d" / "@json").read_text()) == {"p": "changed", **values, "s00": "changed"}


def test_what_cannot_be_decrypted_can_be_replaced_and_removed(origin, parameters, tree):
    for name in ("a", "b", "d/c"):
        parameters.put(name, "secret", "SecureString", KeyId="alias/mine")
    disk = tree()
    origin.parameters(keys={"alias/mine": "denied"})
    (disk / "a").write_text("new")
    (disk / "b").unlink()
    assert errno_of(os.rename, disk / "a", disk / "e") == errno.EACCES
    run("rm", "-r", disk / "d")
    origin.parameters(keys={})
    assert parameters.names() == ["a"] and parameters.get("a") == "new" and parameters.describe("a")["KeyId"] == "alias/mine"


def test_what_is_sealed_is_part_of_views_and_histories(origin, parameters, tree):
    parameters.put("d/p", "plain")
    parameters.put("d/s", "first secret", "SecureString")
    parameters.put("d/s", "second secret", "SecureString")
    disk = tree(ssm_decrypt="read")
    assert sorted(os.listdir(disk / "d")) == ["p", "s"]
    assert json.loads((disk / "d" / "@json").read_text()) == {"p": "plain", "s": "second secret"}
    assert os.stat(disk / "d" / "@json").st_mode & 0o777 == 0o400
    assert os.stat(disk / "d" / "s@history" / "1").st_size == 0
    assert (disk / "d" / "s@history" / "1").read_text() == "first secret"
    assert (disk / "d" / "s@2").read_text() == "second secret"


def test_labels_and_versions_are_those_of_the_service(origin, parameters, tree):
    for value in ("one", "two", "three"):
        parameters.put("p", value)
    disk = tree()
    os.setxattr(disk / "p@1", "user.ssm.labels", b"l1 l2 l3 l4 l5 l6 l7 l8 l9 l10")
    assert errno_of(os.setxattr, disk / "p", "user.ssm.label.l11", b"1") == errno.EDQUOT
    os.setxattr(disk / "p", "user.ssm.label.l1", b"3")
    assert (disk / "p@l1").read_text() == "three"
    assert len(os.getxattr(disk / "p@1", "user.ssm.labels").split(b",")) == 9
    assert sorted(os.listdir(disk / "p@history")) == ["1", "2", "3"]


@pytest.fixture
def fifty(origin, released, tmp_path):
    """fifty(): as many mounts of the same 30 parameters, begun at once. Their directories, and what is in their logs."""
    origin.parameters(gets_per_s=0)
    origin.fill_parameters("/together/p", 30)
    environment = dict(os.environ, AWS_ACCESS_KEY_ID=servers.ACCESS, AWS_SECRET_ACCESS_KEY=servers.SECRET)
    paths = [tmp_path / ("m%d" % i) for i in range(50)]
    mounts = []

    def logs():
        return "".join(path.with_suffix(".log").read_text() for path in paths)

    def begin():
        for path in paths:
            path.mkdir()
            mounts.append(subprocess.Popen([released, "ssm:/together", path, "-f", "-o", "region=us-east-1,log_level=debug,endpoint=%s,log=%s"
                                            % (origin.endpoint, path.with_suffix(".log"))], env=environment,
                                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        wait_until(lambda: all(path.is_mount() for path in paths), 60)
        return paths, logs

    yield begin
    for one in mounts:
        one.terminate()
    for one in mounts:
        one.wait(30)


def list_all(paths):
    listings = [threading.Thread(target=os.listdir, args=(path,)) for path in paths]
    for thread in listings:
        thread.start()
    for thread in listings:
        thread.join()


def fullest(numbers, least, most, slices):
    """How many of them are in the fullest of so many equal parts of the range, which all are in."""
    assert all(least <= n <= most for n in numbers), (least, most, numbers)
    parts = [int((n - least) * slices / (most - least + 1)) for n in numbers]
    return max(parts.count(part) for part in set(parts))


def test_fifty_mounts_that_start_together_share_the_quota_of_the_account(origin, fifty):
    """What nobody asked for they do at times of their own, what is refused they repeat at times of their own: all get through, and
    what is refused is less than what is needed. The times are those that they chose, not those at which a loaded machine got to it."""
    origin.fault({"status": 400, "code": "ThrottlingException"}, count=50)
    paths, logs = fifty()
    assert origin.counts()["total"] == 100 and origin.requests() == {"GetParametersByPath": 100}
    delays = [int(ms) >> int(number) - 2 for number, ms in re.findall(r"http: attempt (\d+) in (\d+) ms: .*ThrottlingException", logs())]
    assert len(delays) == 50 and fullest(delays, 0, 1000, 10) < 25
    origin.parameters(gets_per_s=40)
    origin.reset_counts()
    list_all(paths)
    counts = origin.counts()
    assert counts["total"] - counts["throttled"] == 50 * 3 and counts["throttled"] < 200
    earlier = [int(ms) for ms in re.findall(r"vfs: a listing .* by chance (\d+) ms earlier", logs())]
    assert len(earlier) == 50 and fullest(earlier, 0, 15000, 10) < 25
