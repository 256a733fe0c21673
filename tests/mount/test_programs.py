"""Programs people run, unchanged."""
import os
import sqlite3
import subprocess

from support.work import run, shell, wait_until


def test_sqlite3_keeps_a_database_whole(disk):
    script = """
    create table t(id integer primary key, v text);
    begin; with recursive n(i) as (select 1 union all select i+1 from n where i<5000) insert into t select i, hex(randomblob(40)) from n;
    commit;
    delete from t where id % 3 = 0; update t set v = 'x' where id % 7 = 0; vacuum;
    """
    run("sqlite3", disk / "db", script, timeout=170)
    assert run("sqlite3", disk / "db", "pragma integrity_check").strip() == "ok"
    disk.remount()
    assert run("sqlite3", disk / "db", "pragma integrity_check; select count(*) from t").split() == ["ok", "3334"]


def test_sqlite_rolls_back_on_the_mount(disk):
    with sqlite3.connect(disk / "db") as db:
        db.execute("create table t(v)")
        db.execute("insert into t values (1)")
    db.execute("insert into t values (2)")
    db.rollback()
    assert db.execute("select v from t").fetchall() == [(1,)]
    db.close()
    assert sorted(os.listdir(disk.path)) == ["db"]


def test_sed_i_edits_in_place(disk):
    (disk / "f").write_text("one\ntwo\n")
    run("sed", "-i", "s/two/three/", disk / "f")
    assert (disk / "f").read_text() == "one\nthree\n"
    assert disk.bucket.get("f") == b"one\nthree\n"
    assert os.listdir(disk.path) == ["f"]


def vim(path, *commands):
    arguments = ["vim", "-u", "NONE", "-es", "-N", "--cmd", "set nobackup writebackup swapfile"]
    for command in commands:
        arguments += ["-c", command]
    subprocess.run(arguments + [str(path)], stdin=subprocess.DEVNULL, timeout=60, check=True)


def test_vim_edits_a_file_and_leaves_nothing_beside_it(disk):
    (disk / "f").write_text("one\ntwo\n")
    (disk / "f").chmod(0o640)
    vim(disk / "f", "%s/two/zwei/", "wq")
    assert (disk / "f").read_text() == "one\nzwei\n"
    assert (disk / "f").stat().st_mode & 0o777 == 0o640
    assert os.listdir(disk.path) == ["f"]
    wait_until(lambda: disk.bucket.keys() == ["f"], what="only the file in the bucket")
    assert disk.bucket.get("f") == b"one\nzwei\n"


def test_a_c_program_is_built_on_the_mount(disk):
    (disk / "hello.c").write_text('#include <stdio.h>\nint main(void) { puts("hello"); return 0; }\n')
    shell("gcc -c hello.c && gcc -o hello hello.o && ./hello | grep -x hello", disk.path)


def test_dd_with_fsync_and_odd_block_sizes(disk):
    shell("head -c 3000000 /dev/urandom > /dev/shm/dd.$$; trap 'rm -f /dev/shm/dd.$$' EXIT;"
          "dd if=/dev/shm/dd.$$ of=f bs=7777 conv=fsync status=none; cmp f /dev/shm/dd.$$;"
          "dd if=f of=/dev/shm/dd.$$ bs=3333 status=none; cmp f /dev/shm/dd.$$;"
          "dd if=/dev/zero of=f bs=1000 seek=10 count=3 conv=notrunc status=none; test $(stat -c %s f) = 3000000", disk.path)


def test_tail_grep_find_and_du_work(disk):
    (disk / "d").mkdir()
    (disk / "d" / "f").write_text("needle\n" * 10)
    assert run("tail", "-n", "1", disk / "d" / "f") == "needle\n"
    assert run("grep", "-rc", "needle", disk / "d").strip().endswith(":10")
    assert run("find", disk.path, "-name", "f", "-size", "-2").strip() == str(disk / "d" / "f")
    run("du", "-s", disk.path)
    run("touch", disk / "d" / "new")
    run("cp", disk / "d" / "f", disk / "g")
    run("mv", disk / "g", disk / "d" / "h")
    assert sorted(os.listdir(disk / "d")) == ["f", "h", "new"]
