"""Whole trees: what cp, diff, tar, rsync, git and ls see, also after a remount."""
import os
import shutil

import pytest

from support.work import describe, make_tree, pattern, run, shell


@pytest.fixture
def tree(tmp_path, rng):
    top = tmp_path / "tree"
    top.mkdir()
    make_tree(top, rng)
    return top


def test_cp_a_of_a_tree_is_the_same_after_a_remount_with_modes_times_and_symlinks(disk, tree):
    run("cp", "-a", str(tree) + "/.", disk / "copy")
    assert describe(disk / "copy") == describe(tree)
    disk.remount()
    run("diff", "-r", "--no-dereference", tree, disk / "copy")
    assert describe(disk / "copy") == describe(tree)


def test_owner_and_group_survive_a_remount(disk):
    if os.getuid():
        pytest.skip("only root may change owners")
    path = disk / "file"
    path.write_bytes(b"x")
    os.chown(path, 1234, 4321)
    disk.remount()
    assert (path.stat().st_uid, path.stat().st_gid) == (1234, 4321)


def test_a_tar_archive_is_unpacked_and_packed_again_without_a_difference(disk, tree, tmp_path):
    run("tar", "-C", tree, "--format=posix", "-cf", disk / "in.tar", ".")
    (disk / "out").mkdir()
    run("tar", "-C", disk / "out", "-xpf", disk / "in.tar")
    disk.remount()
    assert describe(disk / "out") == describe(tree)
    run("tar", "-C", disk / "out", "--compare", "-f", disk / "in.tar")


def rsync(source, target):
    """The names that rsync moved or changed."""
    out = run("rsync", "-a", "--itemize-changes", str(source) + "/", str(target) + "/")
    return [line for line in out.splitlines() if line.strip()]


def test_the_second_rsync_a_moves_nothing_also_after_a_remount(disk, tree):
    (disk / "copy").mkdir()
    assert rsync(tree, disk / "copy")
    assert rsync(tree, disk / "copy") == []
    disk.remount()
    assert rsync(tree, disk / "copy") == []
    assert describe(disk / "copy") == describe(tree)


def test_git_clones_commits_and_fscks_on_the_mount(disk, tmp_path):
    upstream = tmp_path / "upstream"
    identity = "git config user.name Tester; git config user.email tester@example.com; "
    upstream.mkdir()
    shell("git init -q .; " + identity + "for i in $(seq 30); do echo $i > f$i; done; git add .; git commit -qm one", upstream)
    run("git", "clone", "-q", upstream, disk / "clone", timeout=170)
    shell(identity + "echo changed > f1; git mv f2 moved; git add -A; git commit -qm two; git fsck --strict; git gc -q", disk / "clone",
          timeout=170)
    disk.remount()
    assert shell("git fsck --strict; git status --porcelain; git log --oneline | wc -l", disk / "clone").split()[-1] == "2"
    assert shell("git status --porcelain", disk / "clone") == ""
    shell("git push -q origin HEAD:refs/heads/back", disk / "clone")


def test_a_directory_of_2500_files_is_complete_and_each_file_readable(server, bucket, mount):
    witness = bucket(server)
    witness.put_many({"many/f%04d" % i: b"%d" % i for i in range(2500)})
    disk = mount(witness)
    names = os.listdir(disk / "many")
    assert sorted(names) == ["f%04d" % i for i in range(2500)]
    sizes = {entry.name: entry.stat().st_size for entry in os.scandir(disk / "many")}
    assert sizes == {"f%04d" % i: len(str(i)) for i in range(2500)}
    for i in (0, 999, 1000, 1001, 2499):
        assert (disk / "many" / ("f%04d" % i)).read_bytes() == b"%d" % i


def test_2500_files_made_on_the_mount_are_all_in_the_bucket_and_rm_r_removes_them(origin, bucket, mount):
    # Beyond ttl each new name would cost a listing of the names after it: test_requests counts that.
    disk = mount(bucket(origin), ttl=120)
    (disk / "many").mkdir()
    for i in range(2500):
        (disk / "many" / str(i)).write_bytes(b"x")
    assert len(disk.bucket.keys("many/")) in (2500, 2501)
    shutil.rmtree(disk / "many")
    assert disk.bucket.keys() == []
    assert os.listdir(disk.path) == []


def test_names_stay_put_while_a_directory_is_read_and_its_files_are_unlinked(disk):
    for i in range(50):
        (disk / str(i)).write_bytes(b"")
    seen = []
    with os.scandir(disk.path) as entries:
        for entry in entries:
            seen.append(entry.name)
            os.unlink(entry.path)
    assert sorted(seen, key=int) == [str(i) for i in range(50)]
    assert os.listdir(disk.path) == []


def test_a_renamed_directory_takes_its_files_and_their_attributes_along(disk, tree):
    run("cp", "-a", str(tree) + "/.", disk / "old")
    os.rename(disk / "old", disk / "new")
    assert not (disk / "old").exists()
    assert describe(disk / "new") == describe(tree)
    disk.remount()
    assert os.listdir(disk.path) == ["new"]
    assert describe(disk / "new") == describe(tree)


def test_rename_of_a_directory_over_an_empty_one_replaces_it_and_over_a_full_one_is_refused(disk):
    for name in ("a", "empty", "full"):
        (disk / name).mkdir()
    (disk / "a" / "f").write_bytes(b"1")
    (disk / "full" / "g").write_bytes(b"2")
    with pytest.raises(OSError) as refused:
        os.rename(disk / "a", disk / "full")
    assert refused.value.errno in (39, 17)  # ENOTEMPTY, EEXIST
    os.rename(disk / "a", disk / "empty")
    assert sorted(os.listdir(disk.path)) == ["empty", "full"]
    assert (disk / "empty" / "f").read_bytes() == b"1"


def test_rmdir_refuses_a_directory_with_files_and_removes_an_empty_one(disk):
    (disk / "d").mkdir()
    (disk / "d" / "f").write_bytes(b"")
    with pytest.raises(OSError) as refused:
        (disk / "d").rmdir()
    assert refused.value.errno == 39
    (disk / "d" / "f").unlink()
    (disk / "d").rmdir()
    assert not (disk / "d").exists() and disk.bucket.keys() == []


def test_a_directory_without_a_marker_stays_when_its_last_file_is_unlinked(server, bucket, mount):
    witness = bucket(server)
    witness.put("implicit/only", b"1")
    disk = mount(witness)
    (disk / "implicit" / "only").unlink()
    assert os.listdir(disk / "implicit") == []
    disk.remount()
    assert os.listdir(disk.path) == ["implicit"]
    assert witness.keys() == ["implicit/"]


def test_an_empty_directory_is_there_after_a_remount(disk):
    (disk / "a" / "b").mkdir(parents=True)
    disk.remount()
    assert (disk / "a" / "b").is_dir() and os.listdir(disk / "a" / "b") == []


def test_a_prefix_mount_shows_only_what_is_below_it(server, bucket, mount):
    witness = bucket(server)
    witness.put("top/in/file", b"in")
    witness.put("top/other", b"out")
    disk = mount(witness, source=witness.source + "/top/in")
    assert os.listdir(disk.path) == ["file"]
    (disk / "new").write_bytes(b"n")
    assert witness.get("top/in/new") == b"n"


def test_statfs_gives_a_size_that_programs_accept(disk):
    info = os.statvfs(disk.path)
    assert info.f_bavail * info.f_frsize > 1 << 40
    assert info.f_namemax == 255
    run("df", disk.path)


def test_a_large_file_is_the_same_bytes_after_a_remount(disk):
    data = pattern(24 << 20)
    (disk / "big").write_bytes(data)
    assert disk.bucket.get("big") == data
    disk.remount()
    assert (disk / "big").read_bytes() == data
