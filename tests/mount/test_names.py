"""Keys are paths: every name has one key and every key one name."""
import os

import pytest

from support.work import errno_of, sha512

SCRIPTS = ["Ελληνικά", "русский", "עברית", "العربية", "हिन्दी", "ไทย", "中文", "日本語", "한국어", "ქართული", "አማርኛ", "emoji 🦀",
           "e\u0301 decomposed", "\u00e9 composed", "ﬃ ligature", "a\u200bzero width", "𝔘𝔫𝔦𝔠𝔬𝔡𝔢", "\u00a0nbsp"]
PLAIN = ["100%", "f +%", "a%20b", "x%2Fy", "a&b=c?d#e", "per%25cent", "~tilde", "sp ace", " lead", "trail ", "a\\b", 'q"uote', "it's",
         "<xml>", "new;semi", "$HOME", "*", "?", "[a]", "{b}", "|", "..a", "...", "a..", "-rf", "name%", "%name", "a%2E", "!@^()_=,:"]


@pytest.mark.parametrize("names", [SCRIPTS, PLAIN], ids=["scripts", "punctuation"])
def test_a_name_made_on_the_mount_is_the_key_byte_for_byte(disk, names):
    for name in names:
        (disk / name).write_bytes(name.encode())
    assert disk.bucket.keys() == sorted(names)
    disk.remount()
    assert sorted(os.listdir(disk.path)) == sorted(names)
    for name in names:
        assert (disk / name).read_bytes() == name.encode()


@pytest.mark.parametrize("names", [SCRIPTS, PLAIN], ids=["scripts", "punctuation"])
def test_a_key_put_by_others_is_a_file_of_that_name_that_can_be_read_renamed_and_removed(server, bucket, mount, names):
    witness = bucket(server)
    for name in names:
        witness.put(name, name.encode())
    disk = mount(witness)
    assert sorted(os.listdir(disk.path)) == sorted(names)
    for name in names:
        assert (disk / name).read_bytes() == name.encode()
        os.rename(disk / name, disk / ("moved " + name))
    assert witness.keys() == sorted("moved " + name for name in names)
    for name in names:
        (disk / ("moved " + name)).unlink()
    assert witness.keys() == []


LONG = "l" * 300
CUT = "l" * 200 + "%~" + sha512(LONG.encode())[:32]

# keys in the bucket, the file's path, what the server must be able to do
ODD = [
    (["e//f"], "e/%/f", "odd components"),
    (["/lead"], "%/lead", "odd components"),
    (["d/./f"], "d/%2E/f", "odd components"),
    (["d/../f"], "d/%2E%2E/f", "odd components"),
    (["body/"], "body/%", "body of a marker"),
    (["both", "both/in"], "both%", "a beside a/b"),
    (["both", "both/in"], "both/in", "a beside a/b"),
    ([LONG], CUT, "component over 255 bytes"),
    (["deep/" + LONG + "/f"], "deep/" + CUT + "/f", "component over 255 bytes"),
    (["p/%"], "p/%25", None),
    (["p/%2E"], "p/%252E", None),
    (["p/%2E%2E"], "p/%252E%252E", None),
    (["x", "x/in", "x%"], "x%25", "a beside a/b"),
    (["new\nline"], "new\nline", "control characters"),
    (["bell\a"], "bell\a", "control characters"),
]


@pytest.mark.parametrize("keys, path, need", ODD, ids=[repr(o[1][:30]) for o in ODD])
def test_an_odd_key_is_reachable_under_its_one_name(server, bucket, mount, needs, keys, path, need):
    if need:
        needs(server, need)
    witness = bucket(server)
    for key in keys:
        witness.put(key, b"body of " + key.encode()[:50])
    disk = mount(witness)
    wanted = disk.path / path
    names = os.listdir(wanted.parent)
    assert wanted.name in names and len(names) == len(set(names))
    content = wanted.read_bytes()
    key = next(k for k in keys if content == b"body of " + k.encode()[:50])
    wanted.write_bytes(b"changed")
    assert witness.get(key) == b"changed" and sorted(witness.keys()) == sorted(keys)
    wanted.unlink()
    assert key not in witness.keys()


def test_the_file_and_the_directory_of_one_name_swap_back_when_one_is_gone(server, bucket, mount, needs):
    needs(server, "a beside a/b")
    witness = bucket(server)
    witness.put("a", b"object")
    witness.put("a/b", b"inside")
    disk = mount(witness, ttl=0)
    assert sorted(os.listdir(disk.path)) == ["a", "a%"]
    assert (disk / "a").is_dir() and (disk / "a%").read_bytes() == b"object"
    (disk / "a" / "b").unlink()
    (disk / "a").rmdir()
    assert (disk / "a").read_bytes() == b"object" and os.listdir(disk.path) == ["a"]


def test_a_listing_holds_a_back_until_it_has_passed_its_directory(server, bucket, mount, needs):
    needs(server, "a beside a/b")
    witness = bucket(server)
    for key in ["a", "a-", "a-b/x", "a.", "a.txt", "a/b", "a0"]:
        witness.put(key, b"x")
    disk = mount(witness)
    assert sorted(os.listdir(disk.path)) == ["a", "a%", "a-", "a-b", "a.", "a.txt", "a0"]


def test_a_name_that_is_no_utf8_is_refused(disk):
    assert errno_of(os.open, os.fsencode(disk.path) + b"/\xff\xfe", os.O_CREAT | os.O_WRONLY) == 84  # EILSEQ
    assert disk.bucket.keys() == []


def test_a_name_or_a_key_that_is_too_long_is_refused(disk):
    assert errno_of(os.open, disk / ("n" * 256), os.O_CREAT | os.O_WRONLY) == 36  # ENAMETOOLONG
    deep = disk.path
    for _ in range(4):
        deep = deep / ("d" * 240)
        deep.mkdir()
    assert errno_of(os.open, deep / ("f" * 240), os.O_CREAT | os.O_WRONLY) == 36
    assert not any(len(key.encode()) > 1024 for key in disk.bucket.keys())


def test_names_beside_a_collision_in_a_listing_are_all_different(origin, bucket, mount):
    witness = bucket(origin)
    for key in ["x", "x/1", "x%", "x%25", "x%/2", "%", "%25"]:
        witness.put(key, key.encode())
    disk = mount(witness)
    names = os.listdir(disk.path)
    assert len(names) == len(set(names))
    files = {}
    for folder, _, found in os.walk(disk.path):
        for name in found:
            with open(os.path.join(folder, name), "rb") as f:
                files[os.path.join(folder, name)] = f.read().decode()
    assert sorted(files.values()) == sorted(witness.keys())
