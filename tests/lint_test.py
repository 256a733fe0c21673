"""tests/lint finds what it is meant to find, names the line, and leaves a clean tree alone."""
import pathlib
import subprocess
import sys

import pytest

LINT = pathlib.Path(__file__).with_name("lint")

CLEAN = {
    "include/awsfs/err.h": "#ifndef ERR_H\n#define ERR_H\nenum err_code { ERR_OK };\n#endif\n",
    "include/awsfs/store.h": '#ifndef STORE_H\n#define STORE_H\n#include "awsfs/err.h"\n#endif\n',
    "src/util/buf.h": '#ifndef BUF_H\n#define BUF_H\n#include <stddef.h>\n#include "awsfs/err.h"\nsize_t buf_len(void);\n#endif\n',
    "src/util/xml.c": '#include <libxml/parser.h>\n#include "util/buf.h"\n/* never strcpy(a, b) */\nconst char *s = "system(1)";\n',
    "src/net/http.c": '#include <curl/curl.h>\n#include "util/buf.h"\n',
    "src/net/http_internal.h": "#include <curl/curl.h>\nint net_curl(CURL *easy);\n",
    "src/fuse/wire.h": "struct fuse_entry_out;\n",
    "src/backends/s3/list.c": '#include "awsfs/store.h"\n#include "util/buf.h"\n#include "backends/s3/key.h"\n',
    "src/backends/s3/key.h": "int s3_key(void);\n",
    "src/vfs/inode.c": '#include "awsfs/store.h"\n#include <time.h>\nvoid f(void) { gmtime_r(0, 0); }\n',
    "src/cli/main.c": '#include "backends/s3/key.h"\n#include "vfs/inode.h"\n',
    "src/vfs/inode.h": "int inode(void);\n",
    "tests/unit/meson.build": "foreach name : ['util/test_buf']\nendforeach\nexecutable('t', 'test_http.c')\n",
    "tests/unit/util/test_buf.c": "int main(void) { return 0; }\n",
    "tests/unit/test_http.c": "int main(void) { return 0; }\n",
    "tests/mount/test_read.py": "def test_x(): pass\n",
}

# path, content, the line of the finding (of that path), a word of the message
BAD = [
    ("src/util/a.c", '#include "net/http.h"\n', 1, "util must not include net/http.h"),
    ("src/util/a.c", '#include "awsfs/store.h"\n', 1, "util must not include awsfs/store.h"),
    ("src/net/a.c", '\n#include "aws/sigv4.h"\n', 2, "net must not include"),
    ("src/aws/a.c", '#include "store/store.h"\n', 1, "aws must not include"),
    ("src/store/a.c", '#include "net/http.h"\n', 1, "store must not include"),
    ("src/backends/s3/a.c", '#include "backends/ssm/put.h"\n', 1, "backends/s3 must not include"),
    ("src/backends/ssm/a.c", '#include "vfs/inode.h"\n', 1, "backends/ssm must not include"),
    ("src/cache/a.c", '#include "journal/j.h"\n', 1, "cache must not include"),
    ("src/journal/a.c", '#include "cache/c.h"\n', 1, "journal must not include"),
    ("src/vfs/a.c", '#include "aws/sigv4.h"\n', 1, "vfs must not include"),
    ("src/vfs/a.c", '#include "fuse/ops.h"\n', 1, "vfs must not include"),
    ("src/fuse/a.c", '#include "store/store.h"\n', 1, "fuse must not include"),
    ("src/net/a.c", '#include "buf.h"\n', 1, "names no folder"),
    ("src/aws/a.c", '#include "net/http_internal.h"\n', 1, "internal to src/net"),
    ("src/util/a_internal.h", "typedef struct easy CURL;\n", 1, "foreign type CURL"),
    ("src/novel/a.c", "", 1, "not known"),
    ("src/vfs/a.c", "#include <curl/curl.h>\n", 1, "outside its home src/net"),
    ("src/net/a.c", "#include <libxml/parser.h>\n", 1, "outside its home src/util"),
    ("src/aws/a.c", "#include <jansson.h>\n", 1, "outside its home src/util"),
    ("src/aws/a.c", "#include <openssl/hmac.h>\n", 1, "outside its home src/util"),
    ("src/cli/a.c", "#include <fuse_lowlevel.h>\n", 1, "outside its home src/fuse"),
    ("src/cli/a.c", "#include <fuse3/fuse_lowlevel.h>\n", 1, "outside its home src/fuse"),
    ("src/cache/a.c", "#include <sqlite3.h>\n", 1, "outside its home src/util"),
    ("src/net/a.h", "typedef struct easy CURL;\n", 1, "foreign type CURL"),
    ("src/util/a.h", "typedef struct node xmlNode;\n", 1, "foreign type xmlNode"),
    ("src/util/a.h", "typedef struct json json_t;\n", 1, "foreign type json_t"),
    ("src/util/a.h", "typedef struct db sqlite3;\n", 1, "foreign type sqlite3"),
    ("src/vfs/a.h", "struct b;\nstruct fuse_req;\n", 2, "foreign type fuse_req"),
    ("src/util/a.h", "int f(size_t n);\n", 1, "does not compile alone"),
    ("include/awsfs/a.h", "struct twice { int a; };\n", 1, "does not compile alone"),
    ("src/util/a.c", "\n" * 501, 501, "501 lines"),
    ("tests/origin/a.py", "\n" * 501, 501, "501 lines"),
    ("tests/unit/test_forgotten.c", "", 1, "listed in no meson.build"),
    ("tests/unit/test_htt.c", "", 1, "listed in no meson.build"),
    ("tests/unit/test_x.py", "", 1, "no stage of tests/run"),
] + [
    ("src/util/a.c", "\nint f(void)\n{\n    return (int)%s(0);\n}\n" % name, 4, "call of %s" % name)
    for name in ("strcpy strcat sprintf vsprintf gets strtok atoi atol system popen mktemp tmpnam alloca localtime gmtime "
                 "rand").split()
]


def lint(root, files):
    for path, text in files.items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    return subprocess.run([sys.executable, LINT, "--root", root], capture_output=True, text=True, check=False)


def test_a_clean_tree_has_no_findings(tmp_path):
    result = lint(tmp_path, CLEAN)
    assert (result.returncode, result.stdout.count("\n"), result.stderr) == (0, 1, ""), result.stdout


@pytest.mark.parametrize("path, text, line, message", BAD, ids=["%s: %s" % (b[0], b[3]) for b in BAD])
def test_a_violation_is_reported_with_its_line_and_nothing_else_is(tmp_path, path, text, line, message):
    result = lint(tmp_path, {**CLEAN, path: text})
    findings = result.stdout.splitlines()
    assert result.returncode == 1
    assert len(findings) == 1 and findings[0].startswith("%s:%d: " % (path, line)) and message in findings[0], result.stdout
    assert ";" in findings[0]
