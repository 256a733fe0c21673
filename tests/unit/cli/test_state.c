#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cli/client.h"
#include "cli/environment.h"
#include "cli/mounts.h"
#include "cli/state.h"
#include "util/cleanup.h"
#include "util/private_dir.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static char root[] = "/tmp/awsfs-test-XXXXXX";

static int make_root(void **state)
{
    return mkdtemp(root) ? 0 : -1;
}

static int remove_root(void **state)
{
    char command[64] = "";

    snprintf(command, sizeof(command), "%s", root);
    pid_t pid = fork();
    if (pid == 0) {
        execl("/bin/rm", "rm", "-rf", "--", command, NULL);
        _exit(1);
    }
    waitpid(pid, NULL, 0);
    return 0;
}

static const char *below(char path[256], const char *name)
{
    snprintf(path, 256, "%s/%s", root, name);
    return path;
}

static void a_directory_is_made_for_its_owner_only(void **state)
{
    char path[256];
    struct stat st;

    assert_int_equal(private_dir(below(path, "a/b/c"), NULL), ERR_OK);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
}

static ino_t synced[16];
static size_t n_synced;

/* In the place of the library's. */
int fsync(int fd)
{
    struct stat st;

    if (n_synced < ARRAY_LEN(synced) && fstat(fd, &st) == 0)
        synced[n_synced++] = st.st_ino;
    return (int)syscall(SYS_fsync, fd);
}

static bool is_synced(const char *path)
{
    struct stat st;

    assert_int_equal(stat(path, &st), 0);
    for (size_t k = 0; k < n_synced; k++)
        if (synced[k] == st.st_ino)
            return true;
    return false;
}

/* A journal that is synced in a directory which a power loss takes away is lost. */
static void what_is_made_is_made_for_good(void **state)
{
    char path[256];

    n_synced = 0;
    assert_int_equal(private_dir(below(path, "x/y/z"), NULL), ERR_OK);
    assert_true(is_synced(root));
    assert_true(is_synced(below(path, "x")));
    assert_true(is_synced(below(path, "x/y")));
    n_synced = 0;
    assert_int_equal(private_dir(below(path, "x/y/z"), NULL), ERR_OK);
    assert_int_equal(n_synced, 0);
}

static void wider_rights_are_taken_away(void **state)
{
    char path[256];
    struct stat st;

    assert_int_equal(mkdir(below(path, "wide"), 0755), 0);
    assert_int_equal(private_dir(path, NULL), ERR_OK);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
}

static void a_given_directory_of_something_else_is_left_as_it_is(void **state)
{
    static const char *const own[] = {"mine", "[0-9a-f][0-9a-f]", NULL};
    static const struct {
        const char *dir, *entry;
        enum err_code code;
    } cases[] = {
        {"given0", "passwd", ERR_NOT_EMPTY}, {"given1", "lost+found", ERR_OK}, {"given2", "mine", ERR_OK}, {"given3", "a7", ERR_OK},
        {"given4", "xy", ERR_NOT_EMPTY},
    };
    char path[256], entry[512];
    struct stat st;
    struct err e = ERR_INIT;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(mkdir(below(path, cases[i].dir), 0755), 0);
        snprintf(entry, sizeof(entry), "%s/%s", path, cases[i].entry);
        assert_int_equal(mkdir(entry, 0700), 0);
        assert_int_equal(private_dir_given(path, own, &e), cases[i].code);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 0777, cases[i].code ? 0755 : 0700);
    }
    assert_non_null(strstr(e.msg, "given4"));
}

static void links_files_and_the_directories_of_others_are_refused(void **state)
{
    char path[256], target[256];
    struct err e = ERR_INIT;

    assert_int_equal(mkdir(below(target, "target"), 0700), 0);
    assert_int_equal(symlink(target, below(path, "link")), 0);
    assert_int_equal(private_dir(path, &e), ERR_NOT_DIR);
    FILE *f = fopen(below(path, "file"), "w");
    fclose(f);
    assert_int_equal(private_dir(path, &e), ERR_NOT_DIR);
    assert_int_not_equal(private_dir("/proc/none", &e), ERR_OK);
    assert_non_null(strstr(e.msg, "/proc/none"));
    if (geteuid() == 0) {
        assert_int_equal(mkdir(below(path, "foreign"), 0700), 0);
        assert_int_equal(chown(path, 12345, 12345), 0);
        assert_int_equal(private_dir(path, &e), ERR_ACCESS);
    }
}

static void count(void *arg)
{
    ++*(int *)arg;
}

static void a_second_mount_of_the_same_waits_for_the_first_and_others_do_not(void **state)
{
    struct state first = STATE_INIT, second = STATE_INIT, other = STATE_INIT;
    char path[256];
    int waited = 0;

    below(path, "state");
    assert_int_equal(state_open(&first, path, "s3://a\n/mnt", count, &waited, NULL), ERR_OK);
    assert_int_equal(state_open(&other, path, "s3://a\n/mnt2", count, &waited, NULL), ERR_OK);
    assert_int_equal(waited, 0);
    assert_string_not_equal(first.dir, other.dir);
    pid_t pid = fork();
    if (pid == 0) {
        close(first.lock_fd);
        int status = state_open(&second, path, "s3://a\n/mnt", count, &waited, NULL) == ERR_OK && waited == 1 ? 0 : 1;
        _exit(status);
    }
    usleep(50000);
    assert_int_equal(state_holder(first.dir), getpid());
    int status = -1;
    assert_int_equal(waitpid(pid, &status, WNOHANG), 0);
    state_close(&first);
    waitpid(pid, &status, 0);
    assert_int_equal(status, 0);
    assert_int_equal(state_holder(first.dir), 0);
    state_close(&other);
}

static void a_mount_point_must_be_an_empty_directory(void **state)
{
    char path[256], out[PATH_MAX];
    struct err e = ERR_INIT;

    assert_int_equal(mounts_check_target(below(path, "missing"), out, &e), ERR_IO);
    assert_non_null(strstr(e.msg, path));
    FILE *f = fopen(below(path, "plain"), "w");
    fclose(f);
    assert_int_equal(mounts_check_target(path, out, &e), ERR_NOT_DIR);
    assert_int_equal(mounts_check_target(root, out, &e), ERR_NOT_EMPTY);
    assert_int_equal(mkdir(below(path, "empty"), 0700), 0);
    assert_int_equal(mounts_check_target(path, out, &e), ERR_OK);
    assert_string_equal(out, path);
    below(path, "./empty//");
    assert_int_equal(mounts_check_target(path, out, &e), ERR_OK);
    assert_string_equal(out, below(path, "empty"));
}

static void mounts_are_found_in_the_kernels_table(void **state)
{
    struct mount_entry m;

    assert_true(mounts_find("/proc", &m));
    assert_string_equal(m.type, "proc");
    assert_false(mounts_find("/proc/", &m));
    assert_false(mounts_find("/no/such/mount", &m));
}

static void credentials_are_hidden_from_what_is_started(void **state)
{
    struct environment env = {0};

    setenv("AWS_SECRET_ACCESS_KEY", "s", 1);
    setenv("AWS_SESSION_TOKEN", "t", 1);
    setenv("AWS_REGION", "eu-west-1", 1);
    environment_hide(&env);
    assert_null(getenv("AWS_SECRET_ACCESS_KEY"));
    assert_null(getenv("AWS_SESSION_TOKEN"));
    assert_string_equal(getenv("AWS_REGION"), "eu-west-1");
    environment_restore(&env);
    assert_string_equal(getenv("AWS_SECRET_ACCESS_KEY"), "s");
    environment_release(&env);
}

static void status_is_printed_as_indented_text(void **state)
{
    char text[512] = "";
    FILE *f = fmemopen(text, sizeof(text), "w");

    client_print_text("{\"a\":\"x\\\"y\",\"n\":5,\"g\":{\"b\":1,\"c\":2},\"l\":[{\"p\":\"q,\\u0001\",\"r\":2},{\"p\":\"s\"}],\"e\":[]}\n", f);
    fclose(f);
    assert_string_equal(text, "a: x\"y\nn: 5\ng:\n  b: 1\n  c: 2\nl:\n  - p: q,\\u0001\n    r: 2\n  - p: s\ne: none\n");
}

static void a_daemon_goes_on_where_the_same_one_still_serves(void **state)
{
    static const char before[] = "{\"source\":\"s3://b/\\\"pid\\\":8\",\"state\":\"serving\",\"pid\":71,\"seconds\":5}\n";
    static const struct {
        const char *before, *now;
        bool goes_on;
    } cases[] = {
        {before, "{\"state\":\"serving\",\"pid\":71,\"seconds\":9}", true},
        {before, "{\"state\":\"ending\",\"pid\":71,\"seconds\":9}", false},
        {before, "{\"state\":\"serving\",\"pid\":7,\"seconds\":1}", false},
        {before, "{\"state\":\"serving\",\"pid\":710,\"seconds\":1}", false},
        {before, "{\"state\":\"serving\"}", false},
        {before, NULL, false},
        {NULL, "{\"state\":\"serving\",\"pid\":71}", true},
        {NULL, NULL, false},
    };

    for (size_t k = 0; k < sizeof(cases) / sizeof(*cases); k++)
        assert_int_equal(client_goes_on(cases[k].before, cases[k].now), cases[k].goes_on);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_directory_is_made_for_its_owner_only),
        cmocka_unit_test(what_is_made_is_made_for_good),
        cmocka_unit_test(wider_rights_are_taken_away),
        cmocka_unit_test(a_given_directory_of_something_else_is_left_as_it_is),
        cmocka_unit_test(links_files_and_the_directories_of_others_are_refused),
        cmocka_unit_test(a_second_mount_of_the_same_waits_for_the_first_and_others_do_not),
        cmocka_unit_test(a_mount_point_must_be_an_empty_directory),
        cmocka_unit_test(mounts_are_found_in_the_kernels_table),
        cmocka_unit_test(credentials_are_hidden_from_what_is_started),
        cmocka_unit_test(status_is_printed_as_indented_text),
        cmocka_unit_test(a_daemon_goes_on_where_the_same_one_still_serves),
    };

    return cmocka_run_group_tests(tests, make_root, remove_root);
}
