"""The recipes of docs/parameters.md with the programs they are for, where these are installed."""
import http.server
import json
import os
import shutil
import socketserver
import subprocess
import threading

import dotenv
import pytest

from support.work import run

VALUES = {"host": "db.example", "port": "5432", "password": "s3cr3t$`\"\\ x ${y} %{z}", "text": "one\ntwo\n"}


@pytest.mark.skipif(not shutil.which("terraform"), reason="terraform is not installed")
def test_terraform_takes_a_view_as_its_variables(tree, tmp_path):
    disk = tree({**VALUES, "db/user": "admin\n"})
    configuration = ['variable "%s" {}\noutput "%s" { value = var.%s }\n' % (name, name, name) for name in VALUES]
    configuration.append('output "user" { value = trimspace(file("%s")) }\n' % (disk / "db" / "user"))
    (tmp_path / "main.tf").write_text("".join(configuration))
    quiet = {**os.environ, "CHECKPOINT_DISABLE": "1", "TF_IN_AUTOMATION": "1"}
    for step in (["init"], ["apply", "-auto-approve", "-var-file=%s" % (disk / "@tfvars")]):
        subprocess.run(["terraform", *step, "-input=false", "-no-color"], cwd=tmp_path, env=quiet, check=True, capture_output=True)
    out = subprocess.run(["terraform", "output", "-json"], cwd=tmp_path, env=quiet, check=True, capture_output=True).stdout
    assert {name: output["value"] for name, output in json.loads(out).items()} == {**VALUES, "user": "admin"}


class Daemon(http.server.BaseHTTPRequestHandler):
    """As much of Docker's as shows what a container would get."""

    protocol_version = "HTTP/1.1"

    def answer(self, code, body):
        self.send_response(code)
        self.send_header("Api-Version", "1.41")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_HEAD(self):
        self.answer(200, b"")

    def do_GET(self):
        self.answer(200, b"{}")

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path.endswith("/containers/create"):
            self.server.asked.append(json.loads(body))
        self.answer(500, b'{"message": "told to"}')

    def log_message(self, *_):
        pass


class Listener(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True

    def get_request(self):
        return super().get_request()[0], ("docker", 0)


@pytest.mark.skipif(not shutil.which("docker"), reason="docker is not installed")
def test_docker_takes_a_view_as_a_file_of_variables(tree, tmp_path):
    values = {"host": ' "q" $x #', "b-c": "=", "d": "# no comment", "e": " lead and trail "}
    disk = tree(values)
    server = Listener(str(tmp_path / "docker.sock"), Daemon)
    server.asked = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        subprocess.run(["docker", "run", "--env-file", disk / "@docker", "--mount",
                        "type=bind,source=%s,target=/run/config,readonly,bind-propagation=rslave" % disk.path, "image"],
                       env={**os.environ, "DOCKER_HOST": "unix://%s" % (tmp_path / "docker.sock")}, capture_output=True, check=False,
                       timeout=60)
    finally:
        server.shutdown()
        server.server_close()
    assert server.asked[0]["Env"] == ["B_C==", "D=# no comment", "E= lead and trail ", 'HOST= "q" $x #']


def test_shells_and_a_dotenv_library_read_the_views(tree):
    disk = tree(VALUES)
    script = 'set -a; . "$1"; set +a; printf %s "$PASSWORD$TEXT"'
    for shell in ("sh", "bash"):
        for view in ("@env", "@export"):
            assert run(shell, "-c", script, "-", disk / view, stdin=subprocess.DEVNULL) == VALUES["password"] + VALUES["text"]
    assert run("bash", "-c", 'source <(cat "$1"); printf %s "$HOST"', "-", disk / "@export") == VALUES["host"]
    assert dotenv.dotenv_values(disk / "@dotenv", interpolate=False)["TEXT"] == VALUES["text"]


CONTAINER = """mount --rbind "$1" "$2" && mount --make-rslave "$2" || exit
while read -r file; do cat "$2/$file" 2>/dev/null; echo .; done"""


@pytest.mark.skipif(os.geteuid() != 0, reason="binding a directory into a namespace is root's")
def test_a_container_with_the_directory_above_sees_a_mount_made_anew(tree, tmp_path):
    """A namespace of its own, in which the directory is bound as rslave: what a container has of its volume."""
    disk = tree({"host": "one"})
    disk.umount()
    target = tmp_path / "config"
    target.mkdir()
    run("mount", "--bind", disk.directory, disk.directory)
    try:
        run("mount", "--make-shared", disk.directory)
        disk.start()
        with subprocess.Popen(["unshare", "--mount", "--propagation", "slave", "sh", "-c", CONTAINER, "-", disk.directory, target],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as inside:
            def read():
                inside.stdin.write("mnt/host\n")
                inside.stdin.flush()
                return inside.stdout.readline()
            assert read() == "one.\n"
            disk.umount()
            assert read() == ".\n"
            disk.parameters.put("host", "two")
            disk.start()
            assert read() == "two.\n"
            inside.stdin.close()
        assert inside.returncode == 0
        disk.umount()
    finally:
        run("umount", "--lazy", disk.directory)


NSPAWN = """while read -r file; do /bin/busybox cat "/run/config/$file" 2>/dev/null; echo "$(/bin/busybox id -u)."; done"""


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("systemd-nspawn") or not shutil.which("busybox"),
                    reason="needs root, systemd-nspawn and busybox")
def test_a_container_of_systemd_reads_parameters_and_secrets_as_its_user(tree, tmp_path):
    """As docs/parameters.md has it: the directory above is bound, the SecureStrings are the user's in the container."""
    disk = tree({"host": "one"}, allow_other=True, ro=True, uid=10001)
    disk.parameters.put("password", "secret", "SecureString")
    disk.umount()
    root = tmp_path / "root"
    for needed in ("usr", "bin", "etc", "run/config", "proc", "sys", "dev", "tmp"):
        (root / needed).mkdir(parents=True)
    shutil.copy(shutil.which("busybox"), root / "bin" / "busybox")
    (root / "bin" / "sh").symlink_to("busybox")
    (root / "etc" / "passwd").write_text("root:x:0:0::/:/bin/sh\nservice:x:10001:10001::/:/bin/sh\n")
    (root / "etc" / "group").write_text("root:x:0:\nservice:x:10001:\n")
    run("mount", "--bind", disk.directory, disk.directory)
    try:
        run("mount", "--make-shared", disk.directory)
        disk.start()
        command = ["systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--pipe", "-D", root,
                   "--bind-ro=%s:/run/config" % disk.directory, "/bin/busybox", "su", "-s", "/bin/sh", "-c", NSPAWN, "service"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as inside:
            def read(name):
                inside.stdin.write("mnt/%s\n" % name)
                inside.stdin.flush()
                return inside.stdout.readline()
            first = read("host")
            if not first:
                pytest.skip("systemd-nspawn starts nothing here")
            assert (first, read("password")) == ("one10001.\n", "secret10001.\n")
            disk.umount()
            assert read("host") == "10001.\n"
            disk.parameters.put("host", "two")
            disk.start()
            assert read("host") == "two10001.\n"
            inside.stdin.close()
        disk.umount()
    finally:
        run("umount", "--lazy", disk.directory)


def test_what_changed_is_found_by_its_time(tree, tmp_path):
    disk = tree({"a": "1", "d/b": "2"}, ttl=0)
    started = tmp_path / "started"
    started.touch()
    os.utime(started, (os.stat(disk / "a").st_mtime + 1,) * 2)
    os.listdir(disk.path)
    assert run("find", disk.path, "-type", "f", "-newer", started) == ""
    os.utime(started, (os.stat(disk / "a").st_mtime - 1,) * 2)
    disk.parameters.put("d/b", "changed")
    assert run("find", disk.path, "-type", "f", "-newer", started, "-name", "b") == "%s\n" % (disk / "d" / "b")
