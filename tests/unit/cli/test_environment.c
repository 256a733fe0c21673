#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cli/environment.h"
#include "util/cleanup.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void paths_are_absolute_afterwards(void **state)
{
    static const struct {
        const char *name, *value;
        const char *becomes; /* NULL: below the current directory; "": as it is */
    } cases[] = {
        {"AWS_CONFIG_FILE", "conf/aws", NULL},          {"AWS_SHARED_CREDENTIALS_FILE", "./keys", NULL},
        {"AWS_WEB_IDENTITY_TOKEN_FILE", "token", NULL}, {"AWS_CA_BUNDLE", "../ca.pem", NULL},
        {"SSL_CERT_DIR", "/etc/certs", ""},             {"BOTO_CONFIG", "~/boto", ""},
        {"AWS_LOGIN_CACHE_DIRECTORY", "$HOME/x", ""},   {"REQUESTS_CA_BUNDLE", "", ""},
        {"AWS_PROFILE", "conf", ""},
    };
    char cwd[PATH_MAX], expected[2 * PATH_MAX];
    struct err e = ERR_INIT;

    assert_non_null(getcwd(cwd, sizeof(cwd)));
    unsetenv("AWS_CREDENTIAL_FILE");
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        assert_int_equal(setenv(cases[i].name, cases[i].value, 1), 0);
    assert_int_equal(environment_settle(&e), ERR_OK);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        snprintf(expected, sizeof(expected), "%s%s%s", cases[i].becomes ? "" : cwd, cases[i].becomes ? "" : "/",
                 cases[i].value);
        assert_string_equal(getenv(cases[i].name), expected);
    }
    assert_null(getenv("AWS_CREDENTIAL_FILE"));
}

/* In a process of its own, since cmocka prints to these. */
static int without_standard_descriptors(void)
{
    struct stat null, st;

    signal(SIGCHLD, SIG_IGN);
    for (int fd = 0; fd < 3; fd++)
        close(fd);
    if (environment_settle(NULL) != ERR_OK || stat("/dev/null", &null) != 0)
        return 1;
    for (int fd = 0; fd < 3; fd++)
        if (fstat(fd, &st) != 0 || st.st_rdev != null.st_rdev || (fcntl(fd, F_GETFD) & FD_CLOEXEC))
            return 2;
    int next = open("/dev/null", O_RDONLY);
    if (next < 3)
        return 3;
    pid_t pid = fork();
    if (pid == 0)
        _exit(7);
    int status = 0;
    return waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) == 7 ? 0 : 4;
}

static void no_standard_descriptor_is_missing_and_children_can_be_waited_for(void **state)
{
    int status = 0;
    pid_t pid = fork();

    if (pid == 0)
        _exit(without_standard_descriptors());
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void credentials_are_hidden_and_come_back(void **state)
{
    struct environment env = {0};

    setenv("AWS_SECRET_ACCESS_KEY", "secret", 1);
    environment_hide(&env);
    assert_null(getenv("AWS_SECRET_ACCESS_KEY"));
    assert_non_null(getenv("PATH"));
    char **hidden = environ;
    environment_restore(&env);
    assert_string_equal(getenv("AWS_SECRET_ACCESS_KEY"), "secret");
    /* A thread that is in getenv() goes on in the list that it found. */
    size_t n = 0;
    while (hidden[n] && strncmp(hidden[n], "PATH=", 5) != 0)
        n++;
    assert_non_null(hidden[n]);
    environment_release(&env);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths_are_absolute_afterwards),
        cmocka_unit_test(no_standard_descriptor_is_missing_and_children_can_be_waited_for),
        cmocka_unit_test(credentials_are_hidden_and_come_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
