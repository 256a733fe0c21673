/* awsfs, and mount.awsfs by the name it is called by. */
#include "cli/cache_command.h"
#include "cli/check.h"
#include "cli/client.h"
#include "cli/environment.h"
#include "cli/journal_command.h"
#include "cli/mount.h"
#include "cli/options.h"
#include "cli/source.h"
#include "util/cleanup.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LISTS_MAX 64

enum { EXIT_FAILED = 1, EXIT_MALFORMED = 2, MOUNT8_MALFORMED = 1, MOUNT8_FAILED = 32 };

static void help(FILE *out)
{
    fputs("Usage: awsfs SOURCE DIR [-f] [-o OPTION[,OPTION...]]   mounts; returns when the mount answers\n"
          "       awsfs umount DIR                               waits until all is written, then unmounts\n"
          "       awsfs flush DIR                                waits until all is written\n"
          "       awsfs status [DIR] [--json]                    what the mounts of this user do\n"
          "       awsfs check SOURCE [-o OPTION[,OPTION...]] [--json]  whether a mount would work, and what is missing\n"
          "       awsfs cache show|verify|pin|unpin|evict|clear [s3://BUCKET[/PREFIX]] [-o cache=DIR] [--json]\n"
          "       awsfs cache warm PATH [--json]                 reads what is below PATH, in a mount, into the cache\n"
          "       awsfs journal list [NAME...] [-o state=DIR] [--json]      what is not in the store\n"
          "       awsfs journal retry NAME... | export DIR [NAME...] | discard NAME... [-o state=DIR] [--json]\n"
          "       awsfs --help | --version\n"
          "\n"
          "SOURCE is s3://bucket, s3://bucket/prefix, s3:// (all buckets), ssm:/path or ssm: (all parameters).\n"
          "  -f  stays in the foreground and logs to stderr\n"
          "Credentials come from the environment, the shared files of AWS or the instance, never from options.\n"
          "\n"
          "Options [default]:\n", out);
    options_help(out);
    fputs("\nThe manual page awsfs(8) says more.\n", out);
}

static int malformed(const char *what, const char *which, int status)
{
    fprintf(stderr, "awsfs: %s%s; awsfs --help says how it is used\n", what, which);
    return status;
}

/* Whether `arg` is the short flag `name` with its value in it or behind it; moves on in the latter case. "" where none is. */
static const char *flag_value(int argc, char **argv, int *i, char name)
{
    const char *arg = argv[*i];

    if (arg[0] != '-' || arg[1] != name)
        return NULL;
    if (arg[2])
        return arg + 2;
    return *i + 1 < argc ? argv[++*i] : "";
}

/* Takes what stands behind -o. 0, or the status of an error that was told. `last`: the argument it came from. */
static int add_list(const char **lists, size_t *n, const char *value, const char *last, int status)
{
    if (!*value && strcmp(last, "-o") == 0)
        return malformed("-o needs options behind it, as in -o ro,ttl=10", "", status);
    if (*n == LISTS_MAX)
        return malformed("too many times -o", "", status);
    lists[(*n)++] = value;
    return 0;
}

/* A word that is neither a command nor the beginning of a mount, such as "help" or "unmount". */
static bool is_no_source(const char *word)
{
    return word[0] != '-' && !strchr(word, ':') && !strchr(word, '/');
}

static int run_mount(struct mount_request *r, const char *const *names, size_t n)
{
    if (n < 2)
        return malformed(n ? "DIR is missing" : "SOURCE and DIR are missing", "", r->usage_status);
    r->source = names[0];
    r->dir = names[1];
    return mount_run(r);
}

/* awsfs SOURCE DIR [-f] [-o ...], in any order. */
static int command_mount(int argc, char **argv)
{
    const char *lists[LISTS_MAX], *names[2], *value;
    struct mount_request r = {.lists = lists, .usage_status = EXIT_MALFORMED, .fail_status = EXIT_FAILED};
    size_t n = 0;
    bool only_names = false;

    for (int i = 1; i < argc; i++) {
        if (!only_names && strcmp(argv[i], "--") == 0) {
            only_names = true;
        } else if (!only_names && strcmp(argv[i], "-f") == 0) {
            r.foreground = true;
        } else if (!only_names && (value = flag_value(argc, argv, &i, 'o'))) {
            if (add_list(lists, &r.n_lists, value, argv[i], EXIT_MALFORMED))
                return EXIT_MALFORMED;
        } else if (!only_names && argv[i][0] == '-' && argv[i][1]) {
            return malformed("unknown flag ", argv[i], EXIT_MALFORMED);
        } else if (n == 2) {
            return malformed("one argument too many: ", argv[i], EXIT_MALFORMED);
        } else {
            names[n++] = argv[i];
        }
    }
    return run_mount(&r, names, n);
}

/* mount.awsfs SOURCE DIR [-sfnv] [-N namespace] [-t type] [-o ...], as mount(8) calls it. */
static int helper_mount(int argc, char **argv)
{
    const char *lists[LISTS_MAX], *names[2], *value;
    struct mount_request r = {.lists = lists, .usage_status = MOUNT8_MALFORMED, .fail_status = MOUNT8_FAILED};
    size_t n = 0;

    for (int i = 1; i < argc; i++) {
        if ((value = flag_value(argc, argv, &i, 'o'))) {
            if (add_list(lists, &r.n_lists, value, argv[i], MOUNT8_MALFORMED))
                return MOUNT8_MALFORMED;
        } else if (flag_value(argc, argv, &i, 't') || flag_value(argc, argv, &i, 'N')) {
            continue;
        } else if (argv[i][0] == '-' && argv[i][1] && strspn(argv[i] + 1, "sfnv") == strlen(argv[i] + 1)) {
            r.only_check |= strchr(argv[i], 'f') != NULL;
            r.verbose |= strchr(argv[i], 'v') != NULL;
            r.sloppy |= strchr(argv[i], 's') != NULL;
        } else if (n == 2 || (argv[i][0] == '-' && argv[i][1])) {
            return malformed("unknown argument ", argv[i], MOUNT8_MALFORMED);
        } else {
            names[n++] = argv[i];
        }
    }
    return run_mount(&r, names, n);
}

static int command_status(int argc, char **argv)
{
    const char *dir = NULL;
    bool json = false;

    for (int i = 2; i < argc; i++) {
        if (strcmp(argv[i], "--json") == 0)
            json = true;
        else if (dir || argv[i][0] == '-')
            return malformed("unknown argument ", argv[i], EXIT_MALFORMED);
        else
            dir = argv[i];
    }
    return client_status(dir, json);
}

static int command_check(int argc, char **argv)
{
    const char *lists[LISTS_MAX], *value;
    struct check_request r = {.lists = lists, .usage_status = EXIT_MALFORMED, .fail_status = EXIT_FAILED};

    for (int i = 2; i < argc; i++) {
        if (strcmp(argv[i], "--json") == 0) {
            r.json = true;
        } else if ((value = flag_value(argc, argv, &i, 'o'))) {
            if (add_list(lists, &r.n_lists, value, argv[i], EXIT_MALFORMED))
                return EXIT_MALFORMED;
        } else if (r.source || argv[i][0] == '-') {
            return malformed("unknown argument ", argv[i], EXIT_MALFORMED);
        } else {
            r.source = argv[i];
        }
    }
    return r.source ? check_run(&r) : malformed("SOURCE is missing after ", "check", EXIT_MALFORMED);
}

static int command_cache(int argc, char **argv)
{
    const char *lists[LISTS_MAX], *value;
    struct cache_request r = {.lists = lists, .usage_status = EXIT_MALFORMED, .fail_status = EXIT_FAILED};

    for (int i = 2; i < argc; i++) {
        if (strcmp(argv[i], "--json") == 0) {
            r.json = true;
        } else if ((value = flag_value(argc, argv, &i, 'o'))) {
            if (add_list(lists, &r.n_lists, value, argv[i], EXIT_MALFORMED))
                return EXIT_MALFORMED;
        } else if (r.what || argv[i][0] == '-') {
            return malformed("unknown argument ", argv[i], EXIT_MALFORMED);
        } else if (r.command) {
            r.what = argv[i];
        } else {
            r.command = argv[i];
        }
    }
    if (!r.command)
        return malformed("show, verify, warm, pin, unpin, evict or clear is missing after ", "cache", EXIT_MALFORMED);
    return cache_command_run(&r);
}

static int command_journal(int argc, char **argv)
{
    const char *lists[LISTS_MAX], *value;
    CLEANUP(free) const char **names = calloc((size_t)argc, sizeof(*names));
    struct journal_request r = {.names = names, .lists = lists, .usage_status = EXIT_MALFORMED, .fail_status = EXIT_FAILED};

    for (int i = 2; names && i < argc; i++) {
        if (strcmp(argv[i], "--json") == 0) {
            r.json = true;
        } else if ((value = flag_value(argc, argv, &i, 'o'))) {
            if (add_list(lists, &r.n_lists, value, argv[i], EXIT_MALFORMED))
                return EXIT_MALFORMED;
        } else if (argv[i][0] == '-') {
            return malformed("unknown argument ", argv[i], EXIT_MALFORMED);
        } else if (r.command) {
            names[r.n_names++] = argv[i];
        } else {
            r.command = argv[i];
        }
    }
    if (!r.command)
        return malformed("list, retry, export or discard is missing after ", "journal", EXIT_MALFORMED);
    return journal_command_run(&r);
}

static int with_dir(int argc, char **argv, int (*command)(const char *dir))
{
    if (argc != 3)
        return malformed("one DIR is wanted after ", argv[1], EXIT_MALFORMED);
    return command(argv[2]);
}

int main(int argc, char **argv)
{
    const char *slash = argc ? strrchr(argv[0], '/') : NULL, *name = slash ? slash + 1 : argc ? argv[0] : "";
    struct err e = ERR_INIT;

    if (environment_settle(&e) != ERR_OK) {
        fprintf(stderr, "awsfs: %s\n", e.msg);
        return EXIT_FAILED;
    }
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            help(stdout);
            return 0;
        }
        if (strcmp(argv[i], "--version") == 0 || strcmp(argv[i], "-V") == 0) {
            puts("awsfs " AWSFS_VERSION);
            return 0;
        }
    }
    if (strcmp(name, "mount.awsfs") == 0)
        return helper_mount(argc, argv);
    if (argc < 2) {
        help(stderr);
        return EXIT_MALFORMED;
    }
    if (strcmp(argv[1], "status") == 0)
        return command_status(argc, argv);
    if (strcmp(argv[1], "check") == 0)
        return command_check(argc, argv);
    if (strcmp(argv[1], "cache") == 0)
        return command_cache(argc, argv);
    if (strcmp(argv[1], "journal") == 0)
        return command_journal(argc, argv);
    if (strcmp(argv[1], "flush") == 0)
        return with_dir(argc, argv, client_flush);
    if (strcmp(argv[1], "umount") == 0)
        return with_dir(argc, argv, client_umount);
    if (is_no_source(argv[1])) {
        fprintf(stderr, "awsfs: \"%s\" is no command (umount, flush, status, check, cache, journal) and no SOURCE (%s)\n", argv[1], SOURCE_FORMS);
        return EXIT_MALFORMED;
    }
    return command_mount(argc, argv);
}
