"""A directory of parameters as one file: the views of a mount, on moto."""
import ctypes
import errno
import glob
import itertools
import json
import os
import random
import shlex
import shutil
import stat
import subprocess
import threading

import dotenv
import pytest
import yaml

from support import views
from support.buckets import Parameters
from support.work import errno_of, run, wait_until

VIEWS = ["env", "export", "dotenv", "docker", "tfvars", "json", "tree.json", "yaml", "tree.yaml", "properties", "csv", "tsv"]


def test_every_view_of_a_directory_is_found_and_none_is_listed(tree):
    disk = tree({"app/a": "1", "app/b-c": "two words", "app/sub/x": "deep"})
    assert sorted(os.listdir(disk / "app")) == ["a", "b-c", "sub"]
    text = {view: (disk / "app" / ("@" + view)).read_text() for view in VIEWS}
    assert sorted(os.listdir(disk / "app")) == ["a", "b-c", "sub"]
    assert text == {
        "env": 'A="1"\nB_C="two words"\n', "export": "export A=1\nexport B_C='two words'\n",
        "dotenv": 'A="1"\nB_C="two words"\n', "docker": "A=1\nB_C=two words\n", "tfvars": 'a = "1"\nb_c = "two words"\n',
        "json": '{"a":"1","b-c":"two words"}\n', "tree.json": '{"a":"1","b-c":"two words","sub":{"x":"deep"}}\n',
        "yaml": 'a: "1"\nb-c: two words\n', "tree.yaml": 'a: "1"\nb-c: two words\nsub:\n  x: deep\n',
        "properties": "a = 1\nb-c = two words\n", "csv": "a,1\nb-c,two words\n", "tsv": "a\t1\nb-c\ttwo words\n"}


def test_the_root_has_views_too_and_an_empty_directory_is_an_empty_document(tree):
    disk = tree({"a": "1"})
    assert (disk / "@json").read_text() == '{"a":"1"}\n'
    os.mkdir(disk / "empty")
    assert (disk / "empty" / "@json").read_text() == "{}\n"
    assert (disk / "empty" / "@env").read_text() == ""


def test_sizes_are_those_of_the_bytes_and_programs_read_them(tree, tmp_path):
    disk = tree({"a": "x" * 3000, "b": "y\nz"})
    view = disk / "@env"
    content = view.read_bytes()
    assert os.stat(view).st_size == len(content) == len('A=""\nB=""\n') + 3003
    run("cp", view, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == content
    assert subprocess.run(["bash", "-c", '. "$1"; printf %s "$B"', "-", view], capture_output=True, check=True).stdout == b"y\nz"
    assert subprocess.run(["dd", "if=%s" % view, "bs=7", "status=none"], capture_output=True, check=True).stdout == content


def test_a_view_of_what_was_listed_costs_no_request(tree, recorder):
    disk = tree({"d/p%02d" % i: str(i) for i in range(25)})
    os.listdir(disk / "d")
    recorder.calls.clear()
    for view in VIEWS:
        assert (disk / "d" / ("@" + view)).read_bytes()
    assert recorder.operations() == []


def test_a_view_of_what_was_not_listed_costs_one_listing(tree, recorder):
    disk = tree({"d/p%02d" % i: str(i) for i in range(25)})
    os.stat(disk / "d")
    recorder.calls.clear()
    assert len(json.loads((disk / "d" / "@json").read_text())) == 25
    assert set(recorder.operations()) == {"GetParametersByPath"}
    assert len(recorder.calls) == 3


def test_what_this_mount_writes_shows_at_once(tree):
    disk = tree({"a": "1", "b": "2"})
    assert json.loads((disk / "@json").read_text()) == {"a": "1", "b": "2"}
    (disk / "a").write_text("changed")
    assert json.loads((disk / "@json").read_text()) == {"a": "changed", "b": "2"}
    (disk / "c").write_text("new")
    assert json.loads((disk / "@json").read_text()) == {"a": "changed", "b": "2", "c": "new"}
    (disk / "b").unlink()
    assert json.loads((disk / "@json").read_text()) == {"a": "changed", "c": "new"}
    (disk / "c").rename(disk / "d")
    assert json.loads((disk / "@json").read_text()) == {"a": "changed", "d": "new"}


def test_what_was_written_is_asked_for_once(tree, recorder):
    disk = tree({"a": "1", "b": "2"})
    os.listdir(disk.path)
    (disk / "a").write_text("changed")
    recorder.calls.clear()
    for _ in range(3):
        assert json.loads((disk / "@json").read_text()) == {"a": "changed", "b": "2"}
    assert recorder.operations() == ["GetParameter"]


def test_what_others_write_shows_after_ttl(tree):
    disk = tree({"a": "1"}, ttl=1)
    assert json.loads((disk / "@json").read_text()) == {"a": "1"}
    disk.parameters.put("a", "2")
    disk.parameters.put("b", "3")
    wait_until(lambda: json.loads((disk / "@json").read_text()) == {"a": "2", "b": "3"})


def test_an_open_view_stays_what_it_was(tree):
    disk = tree({"a": "1" * 2000, "b": "2" * 2000})
    with open(disk / "@json", "rb", buffering=0) as f:
        before = f.read(100)
        for value in ("x", "y", "z"):
            (disk / "a").write_text(value)
            assert json.loads((disk / "@json").read_text())["a"] == value
        f.seek(0)
        whole = f.read()
        assert whole.startswith(before) and json.loads(whole) == {"a": "1" * 2000, "b": "2" * 2000}
        assert os.fstat(f.fileno()).st_size == len(whole)


def test_a_parameter_beside_its_hierarchy_is_part_of_the_view(tree):
    disk = tree({"both": "value", "both/in": "inner", "a": "1"})
    assert json.loads((disk / "@json").read_text()) == {"a": "1", "both": "value"}
    assert json.loads((disk / "both" / "@json").read_text()) == {"in": "inner"}
    assert json.loads((disk / "@tree.json").read_text()) == {"a": "1", "both": {"@self": "value", "in": "inner"}}
    assert yaml.safe_load((disk / "@tree.yaml").read_text()) == {"a": "1", "both": {"@self": "value", "in": "inner"}}


def test_lists_are_arrays_of_trees(tree):
    disk = tree({"x": "1"})
    disk.parameters.put("hosts", "a,b,c", "StringList")
    assert json.loads((disk / "@tree.json").read_text()) == {"hosts": ["a", "b", "c"], "x": "1"}
    assert json.loads((disk / "@json").read_text()) == {"hosts": "a,b,c", "x": "1"}


def test_a_name_that_is_no_variable_is_an_error_that_the_log_names(tree):
    disk = tree({"good": "1", "2nd": "2"})
    assert errno_of(open, disk / "@env") == errno.EINVAL
    assert '"2nd"' in disk.log()
    assert json.loads((disk / "@json").read_text()) == {"good": "1", "2nd": "2"}


def test_views_are_read_only(tree):
    disk = tree({"a": "1"})
    assert stat.S_IMODE(os.stat(disk / "@json").st_mode) & 0o222 == 0
    assert errno_of((disk / "@json").write_text, "x") in (errno.EACCES, errno.EPERM)
    assert errno_of(os.unlink, disk / "@json") == errno.EPERM
    assert errno_of(os.rename, disk / "@json", disk / "kept") == errno.EPERM
    assert errno_of(os.rename, disk / "a", disk / "@json") == errno.EPERM
    assert errno_of(os.truncate, disk / "@json", 0) in (errno.EACCES, errno.EPERM)
    assert errno_of(os.stat, disk / "@nothing") == errno.ENOENT
    assert disk.parameters.names() == ["a"]


def test_a_view_with_a_secret_is_for_its_owner_alone(tree):
    disk = tree({"open/a": "1"})
    disk.parameters.put("closed/a", "1")
    disk.parameters.put("closed/b", "2", "SecureString")
    assert stat.S_IMODE(os.stat(disk / "open" / "@json").st_mode) == 0o444
    assert stat.S_IMODE(os.stat(disk / "closed" / "@json").st_mode) == 0o400


# ---- Generated trees, held against other programs' formats and read back

ODD = ["yes", "No", "null", "~", "1", "-1.5", "0x1f", "1e3", "1_000", ".5", "089", "12:30", "2024-01-02", "=", "<<", "-", "- a", "? a",
       "a: b", "a:", "# a", "a #b", "*a", "&a", "!a", "|", "> a", "%a", "@a", "`a`", "[a]", "{a}", "{", "'a'", '"a"', " lead", "trail ",
       "a\tb", "\ttab", "one\ntwo", "one\ntwo\n", "\n\n", "\nlead", "a\n b\n", "  a\nb", "a\r\nb", "\r", "10.0.0.1", "a\\b", "\\", "\\n",
       "$HOME", "${x}", "%{y}", "$${z}", "$(id)", "!!", "it's", "caf\u00e9", "\u00a0", "\u2028", "\u4e2d\u6587", "\U0001f600", "a,b", "\\.",
       "a=b", "postgres://u:p@h:5432/d?x=1&y=<2>", "-----BEGIN KEY-----\nab+/=\n-----END KEY-----\n", "a;b|c&d>e", "*.txt", "x" * 3000]
LETTERS = "ab1 :#-\n\t\\\"'$`{}[]\u00e9\u4e2d,=.<>&%!?@|~^*+/0_e\r"


def random_value(chance):
    kind = chance.random()
    if kind < 0.4:
        return chance.choice(ODD)
    if kind < 0.5:
        return chance.choice(ODD) + chance.choice(ODD)
    return "".join(chance.choice(LETTERS) for _ in range(chance.randint(1, 20)))


def random_names(chance):
    """Names that are different variables."""
    names = {}
    for _ in range(chance.randint(1, 6)):
        name = chance.choice(["a", "B", "c-d", "e.f", "_g", "yes", "null", "tf_var_z"]) + chance.choice(["", "1", "-x", ".y", "_Z"])
        names.setdefault(views.variable(name.removeprefix("tf_var_")), name)
    return list(names.values())


@pytest.fixture(scope="module")
def generated(moto):
    """200 directories of parameters, made from the seed of this run."""
    chance = random.Random(int(os.environ.get("AWSFS_SEED", "1")))
    witness = Parameters(moto)
    trees = {"t%03d" % n: {name: random_value(chance).replace("{{", "{") for name in random_names(chance)} for n in range(200)}
    for tree_name, parameters in trees.items():
        for name, value in parameters.items():
            witness.put("%s/%s" % (tree_name, name), value)
    return witness, trees


def views_of(disk, name, trees):
    return {tree_name: (disk / tree_name / ("@" + name)).read_bytes().decode() for tree_name in trees}


def by_variable(parameters):
    return {views.variable(k): v for k, v in parameters.items()}


def test_views_of_generated_trees_are_those_of_chamber_and_read_back(generated, mount):
    witness, trees = generated
    disk = mount(witness, ssm_rate=1000)
    for view in ("json", "csv", "tsv", "env", "dotenv", "export", "tfvars", "properties"):
        for tree_name, text in views_of(disk, view, trees).items():
            assert text == views.chamber(view, trees[tree_name]), (view, trees[tree_name])
    assert {n: json.loads(t) for n, t in views_of(disk, "json", trees).items()} == trees
    assert {n: views.read_yaml(t) for n, t in views_of(disk, "yaml", trees).items()} == trees
    assert {n: views.read_csv(t, ",") for n, t in views_of(disk, "csv", trees).items()} == trees
    assert {n: views.read_csv(t, "\t") for n, t in views_of(disk, "tsv", trees).items()} == trees
    assert {n: views.read_properties(t) for n, t in views_of(disk, "properties", trees).items()} == trees
    assert json.loads((disk / "@tree.json").read_bytes()) == trees
    assert views.read_yaml((disk / "@tree.yaml").read_bytes().decode()) == trees
    variables = {n: by_variable(t) for n, t in trees.items()}
    assert {n: views.read_environment_file(t) for n, t in views_of(disk, "env", trees).items()} == variables
    assert {n: views.read_dotenv(t) for n, t in views_of(disk, "dotenv", trees).items()} == variables
    for tree_name, text in views_of(disk, "export", trees).items():
        words = shlex.split(text)
        assert words[::2] == ["export"] * (len(words) // 2)
        assert dict(w.split("=", 1) for w in words[1::2]) == variables[tree_name]


def shell_reads(shell, path, names):
    script = '. "$1"; shift; for n; do eval "printf \'%s\\0\' \\"\\$$n\\""; done'
    out = subprocess.run([shell, "-c", script, "-", path, *names], capture_output=True, check=True, env={"PATH": os.environ["PATH"]})
    return dict(zip(names, out.stdout.decode().split("\0")))


def test_shells_read_generated_trees(generated, mount):
    witness, trees = generated
    disk = mount(witness, ssm_rate=1000)
    for number, (tree_name, parameters) in enumerate(trees.items()):
        variables = by_variable(parameters)
        for view in ("@env", "@export"):
            shell = ("sh", "bash")[number % 2]
            assert shell_reads(shell, disk / tree_name / view, sorted(variables)) == variables, (shell, view, parameters)


SYSTEMD = glob.glob("/usr/lib/*/systemd/libsystemd-shared-*.so") + glob.glob("/usr/lib*/systemd/libsystemd-shared-*.so")


@pytest.mark.skipif(not SYSTEMD, reason="systemd's library is not installed")
def test_systemds_own_reader_of_environment_files_reads_generated_trees(generated, mount):
    """load_env_file() is what reads EnvironmentFile= in systemd."""
    load = ctypes.CDLL(SYSTEMD[0]).load_env_file
    load.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.POINTER(ctypes.POINTER(ctypes.c_char_p))]
    witness, trees = generated
    disk = mount(witness, ssm_rate=1000)
    for tree_name, parameters in trees.items():
        found, read = ctypes.POINTER(ctypes.c_char_p)(), {}
        assert load(None, str(disk / tree_name / "@env").encode(), ctypes.byref(found)) == 0, parameters
        for line in itertools.takewhile(lambda one: one is not None, found):
            name, _, value = line.decode().partition("=")
            read[name] = value
        assert read == by_variable(parameters)


def test_a_dotenv_library_reads_what_needs_no_escape_that_it_lacks(generated, mount):
    witness, trees = generated
    disk = mount(witness, ssm_rate=1000)
    read = 0
    for tree_name, parameters in trees.items():
        if any(c in v for v in parameters.values() for c in "$`"):
            continue
        assert dict(dotenv.dotenv_values(disk / tree_name / "@dotenv", interpolate=False)) == by_variable(parameters)
        read += 1
    assert read > 20


def test_docker_takes_lines_as_they_are_and_refuses_breaks(tree):
    disk = tree({"good/a": ' "q" $x #', "good/b-c": "=", "bad/a": "one\ntwo"})
    assert (disk / "good" / "@docker").read_text() == 'A= "q" $x #\nB_C==\n'
    assert errno_of(open, disk / "bad" / "@docker") == errno.EINVAL
    assert '"a"' in disk.log()


@pytest.mark.skipif(not shutil.which("systemd-run") or not os.path.isdir("/run/systemd/system"), reason="no systemd runs here")
def test_systemd_takes_a_view_as_an_environment_file(tree):
    disk = tree({"a": 'one "two" $three', "b": "x\ny"}, allow_other=True)
    out = subprocess.run(["systemd-run", "--quiet", "--pipe", "--wait", "-p", "EnvironmentFile=%s" % (disk / "@env"), "printenv", "-0"],
                         capture_output=True, check=True).stdout.decode().split("\0")
    assert 'A=one "two" $three' in out and "B=x\ny" in out


@pytest.mark.tsan
def test_readers_beside_writers_never_see_two_states_in_one_view(origin, mount):
    """Every write changes two values together with the text between them, one after the other: a view has both of one moment."""
    origin.parameters(gets_per_s=0)
    disk = mount(Parameters(origin).plant({"d/a": "0" * 500, "d/b": "x" * 3000, "d/c": "0" * 500}), ssm_rate=1000)
    stop, problems, seen = threading.Event(), [], set()

    def reads():
        while not stop.is_set():
            try:
                with open(disk / "d" / "@json", "rb", buffering=0) as f:
                    size = os.fstat(f.fileno()).st_size
                    pieces = iter(lambda: f.read(700), b"")
                    text = b"".join(pieces)
                values = json.loads(text)
                if len(text) != size or set(map(len, values.values())) != {500, 3000} or int(values["a"]) - int(values["c"]) not in (0, 1):
                    problems.append(text)
                seen.add(values["a"])
            except (OSError, ValueError) as error:
                problems.append(repr(error))

    readers = [threading.Thread(target=reads) for _ in range(4)]
    for reader in readers:
        reader.start()
    for number in range(1, 16):
        for name in ("a", "c"):
            (disk / "d" / name).write_text("%0500d" % number)
    stop.set()
    for reader in readers:
        reader.join()
    assert not problems, problems[:3]
    assert len(seen) > 1
    assert int(json.loads((disk / "d" / "@json").read_text())["c"]) == 15


def test_nothing_of_a_view_is_on_a_disk_or_in_the_log(tree):
    disk = tree(log_level="debug")
    marker = "marker-%032x" % random.getrandbits(128)
    disk.parameters.put("s", "one %s\n\u4e2d" % marker, "SecureString")
    disk.parameters.put("1st", marker, "SecureString")
    for view in VIEWS:
        if view in ("env", "export", "dotenv", "docker", "tfvars"):
            assert errno_of(open, disk / ("@" + view)) == errno.EINVAL
        else:
            assert marker.encode() in (disk / ("@" + view)).read_bytes()
    assert marker.encode() in (disk / "@json@1").read_bytes()
    assert marker in (disk / "s@history" / "1").read_text()
    disk.umount()
    found = [path for top in (disk.state, disk.cache, disk.log_file.parent) for path in top.rglob("*")
             if path.is_file() and marker.encode() in path.read_bytes()]
    assert found == [] and "1st" in disk.log()
