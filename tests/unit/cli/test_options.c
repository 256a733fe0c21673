#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cli/options.h"
#include "cli/option_table.h"
#include "util/str.h"
#include "util/cleanup.h"

#include <stdio.h>
#include <string.h>

static void durations_have_units_and_a_maximum(void **state)
{
    static const struct {
        const char *text;
        bool ok;
        uint64_t ms;
    } cases[] = {
        {"5", true, 5000},       {"5s", true, 5000},          {"100ms", true, 100},  {"0", true, 0},
        {"2m", true, 120000},    {"1h", true, 3600000},       {"1d", true, 86400000}, {"inf", true, UINT64_MAX},
        {"", false, 0},          {"s", false, 0},             {"-1", false, 0},      {"+1", false, 0},
        {"1.5", false, 0},       {"5 s", false, 0},           {"5S", false, 0},      {"soon", false, 0},
        {"infinite", false, 0},  {"18446744073709551615", false, 0}, {"18446744073709551616", false, 0},
        {"99999999999999999999999999999999", false, 0},       {"1ss", false, 0},     {" 1", false, 0},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        uint64_t ms = 0;
        assert_int_equal(duration_parse(cases[i].text, &ms), cases[i].ok);
        if (cases[i].ok)
            assert_true(ms == cases[i].ms);
    }
}

static void the_defaults_are_those_of_the_design(void **state)
{
    CLEANUP_RELEASE(options_release) struct options o;

    assert_int_equal(options_init(&o, NULL), ERR_OK);
    assert_int_equal(options_finish(&o, false, NULL), ERR_OK);
    assert_int_equal(o.timeout_ms, 60000);
    assert_int_equal(o.ttl_ms, 5000);
    assert_int_equal(o.file_mode, 0644);
    assert_int_equal(o.dir_mode, 0755);
    assert_int_equal(o.memory, 128 << 20);
    assert_int_equal(o.rename_limit, 100000);
    assert_int_equal(o.umask, 0);
    assert_int_equal(options_finish(&o, true, NULL), ERR_OK);
    assert_int_equal(o.ttl_ms, 60000);
    assert_int_equal(o.ssm_rate, 10);
    assert_string_equal(o.ssm_type, "SecureString");
}

static void a_list_is_taken_apart_and_a_backslash_keeps_a_comma(void **state)
{
    CLEANUP_RELEASE(options_release) struct options o;

    assert_int_equal(options_init(&o, NULL), ERR_OK);
    assert_int_equal(options_parse_list(&o, "ro,,ttl=inf,profile=a\\,b\\\\c,memory=1G,umask=022,attrs=head,", NULL), ERR_OK);
    assert_true(o.read_only);
    assert_true(o.ttl_ms == UINT64_MAX);
    assert_string_equal(o.profile, "a,b\\c");
    assert_true(o.memory == 1ULL << 30);
    assert_int_equal(o.umask, 022);
    assert_int_equal(o.attrs, 2);
    assert_true(options_given(&o, "ttl"));
    assert_false(options_given(&o, "region"));
}

static void the_last_of_an_option_given_twice_wins(void **state)
{
    CLEANUP_RELEASE(options_release) struct options o;

    assert_int_equal(options_init(&o, NULL), ERR_OK);
    assert_int_equal(options_parse_list(&o, "region=eu-west-1,ro,region=us-east-1,rw", NULL), ERR_OK);
    assert_string_equal(o.region, "us-east-1");
    assert_false(o.read_only);
}

static void what_mount_8_and_systemd_add_is_ignored(void **state)
{
    CLEANUP_RELEASE(options_release) struct options o;

    assert_int_equal(options_init(&o, NULL), ERR_OK);
    assert_int_equal(options_parse_list(&o, "rw,defaults,auto,noauto,_netdev,nofail,nosuid,nodev,noexec,noatime,user,user=joe,"
                                            "x-systemd.automount,x-systemd.idle-timeout=60,X-mount.mkdir,relatime", NULL), ERR_OK);
    assert_true(o.noexec && o.noatime);
}

/* option list, is it for ssm:, what the message must have */
static const struct {
    const char *list;
    bool is_ssm;
    const char *told[4];
} wrong[] = {
    {"ttl=soon", false, {"ttl", "inf"}},
    {"ttl=-1", false, {"ttl"}},
    {"ttl", false, {"ttl", "needs a value"}},
    {"ttl=", false, {"ttl", "needs a value"}},
    {"timeout=0", false, {"timeout", "from 1s to 3600s"}},
    {"timeout=inf", false, {"timeout"}},
    {"timeout=99999999999999999999", false, {"timeout"}},
    {"memory=1", false, {"memory", "16M"}},
    {"memory=1.5G", false, {"memory"}},
    {"memory=99999999999999999999G", false, {"memory"}},
    {"umask=999", false, {"umask", "octal"}},
    {"umask=07777", false, {"umask"}},
    {"file_mode=rw", false, {"file_mode", "octal"}},
    {"attrs=some", false, {"attrs", "auto", "list", "head"}},
    {"addressing=sideways", false, {"addressing", "path", "virtual"}},
    {"excl=maybe", false, {"excl", "close", "open"}},
    {"write=sometimes", false, {"write", "through"}},
    {"write=back", true, {"write=back", "through", "parameters"}},
    {"write=back,excl=open", false, {"write=back", "excl=open"}},
    {"dirty_limit=1", false, {"dirty_limit", "1M"}},
    {"offline=serve", false, {"offline", "not available"}},
    {"sse=c", false, {"sse=c", "sse_c_key_file"}},
    {"sse_c_key_file=/k", false, {"sse=c", "sse_c_key_file"}},
    {"sse=kms,sse_c_key_file=/k", false, {"sse=c", "sse_c_key_file"}},
    {"sse=rot13", false, {"sse", "kms"}},
    {"ssm_watch=q", true, {"ssm_watch", "https://"}},
    {"storage_class=BEST", false, {"storage_class", "STANDARD_IA"}},
    {"acl=everybody", false, {"acl", "bucket-owner-full-control"}},
    {"region=not a region", false, {"region"}},
    {"region=../../x", false, {"region"}},
    {"endpoint=ftp://x", false, {"endpoint"}},
    {"endpoint=http://host:99999", false, {"endpoint"}},
    {"endpoint=http://user:pw@host", false, {"endpoint"}},
    {"uid=no-such-user-here", false, {"uid", "name or number"}},
    {"uid=4294967296", false, {"uid"}},
    {"ro=perhaps", false, {"ro", "yes or no"}},
    {"endpiont=http://x", false, {"endpiont", "endpoint"}},
    {"nothing_like_this_at_all", false, {"nothing_like_this_at_all"}},
    {"=x", false, {"unknown option"}},
    {"suid", false, {"suid", "nosuid"}},
    {"anonymous,profile=x", false, {"anonymous", "profile"}},
    {"endpoint=http://x,fips", false, {"endpoint", "fips"}},
    {"sse_kms_key=k", false, {"sse_kms_key", "sse=kms"}},
    {"ssm_rate=5", false, {"ssm_rate", "ssm:"}},
    {"ssm_rate=0", true, {"ssm_rate"}},
    {"storage_class=GLACIER", true, {"storage_class", "s3://"}},
    {"attrs=head", true, {"attrs", "s3://"}},
};

static void what_is_wrong_is_named_with_what_is_legal(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        CLEANUP_RELEASE(options_release) struct options o;
        struct err e = ERR_INIT;

        assert_int_equal(options_init(&o, NULL), ERR_OK);
        enum err_code code = options_parse_list(&o, wrong[i].list, &e);
        if (code == ERR_OK)
            code = options_finish(&o, wrong[i].is_ssm, &e);
        if (code != ERR_INVAL && code != ERR_UNSUPPORTED)
            fail_msg("%s: %s", wrong[i].list, err_name(code));
        for (size_t k = 0; k < 4 && wrong[i].told[k]; k++)
            if (!strstr(e.msg, wrong[i].told[k]))
                fail_msg("%s: no %s in: %s", wrong[i].list, wrong[i].told[k], e.msg);
    }
}

static void an_unknown_option_does_not_show_its_value(void **state)
{
    CLEANUP_RELEASE(options_release) struct options o;
    struct err e = ERR_INIT;

    assert_int_equal(options_init(&o, NULL), ERR_OK);
    assert_int_equal(options_parse_list(&o, "secret_access_key=abcdef", &e), ERR_INVAL);
    assert_null(strstr(e.msg, "abcdef"));
}

static void a_long_list_is_an_error_and_no_crash(void **state)
{
    CLEANUP_RELEASE(options_release) struct options o;
    CLEANUP(free) char *list = malloc(200001);

    memset(list, 'a', 200000);
    list[200000] = '\0';
    assert_int_equal(options_init(&o, NULL), ERR_OK);
    assert_int_not_equal(options_parse_list(&o, list, NULL), ERR_OK);
}

static void an_unknown_option_is_told_what_comes_nearest(void **state)
{
    static const struct {
        const char *typed, *meant; /* NULL: nothing comes near */
    } cases[] = {
        {"endpiont", "endpoint"}, {"endpont", "endpoint"},   {"endpoint-url", "endpoint"}, {"url", "endpoint"},
        {"reigon", "region"},     {"region_name", "region"}, {"proifle", "profile"},       {"Profile", "profile"},
        {"tll", "ttl"},           {"ttls", "ttl"},           {"cachesize", "cache_size"},  {"cache-size", "cache_size"},
        {"use_cache", "cache"},   {"dirmode", "dir_mode"},   {"file-mode", "file_mode"},   {"allowother", "allow_other"},
        {"readonly", "ro"},       {"umaks", "umask"},        {"mem", "memory"},            {"insecure", "insecure_tls"},
        {"loglevel", "log_level"}, {"kms_key", "sse_kms_key"}, {"storageclass", "storage_class"}, {"timeouts", "timeout"},
        {"gidd", "gid"},          {"nonempty", NULL},        {"nobody", NULL},             {"r", NULL},
        {"xy", NULL},             {"rx", NULL},              {"big_writes", NULL},        
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct options o;
        struct err e = ERR_INIT;
        char part[64];
        assert_int_equal(options_init(&o, &e), ERR_OK);
        assert_int_equal(options_set(&o, cases[i].typed, "1", &e), ERR_INVAL);
        snprintf(part, sizeof(part), cases[i].meant ? "the nearest is %s (" : "%s", cases[i].meant ? cases[i].meant : "nearest");
        if (!strstr(e.msg, part) == !!cases[i].meant)
            fail_msg("%s: %s", cases[i].typed, e.msg);
        options_release(&o);
    }
}

static void an_option_without_the_value_it_needs_says_what_is_legal(void **state)
{
    size_t n;
    const struct option_row *rows = option_table(&n);
    for (size_t i = 0; i < n; i++) {
        if (rows[i].kind == OPTION_FLAG || rows[i].kind == OPTION_IGNORED)
            continue;
        for (int empty = 0; empty < 2; empty++) {
            struct options o;
            struct err e = ERR_INIT;
            char part[80];
            assert_int_equal(options_init(&o, &e), ERR_OK);
            snprintf(part, sizeof(part), "option %s needs a value: ", rows[i].name);
            assert_int_equal(options_set(&o, rows[i].name, empty ? "" : NULL, &e), ERR_INVAL);
            if (!str_starts(e.msg, part) || strlen(e.msg) == strlen(part))
                fail_msg("%s: %s", rows[i].name, e.msg);
            options_release(&o);
        }
    }
}

static void sloppy_lets_unknown_options_pass(void **state)
{
    CLEANUP_RELEASE(options_release) struct options o;

    assert_int_equal(options_init(&o, NULL), ERR_OK);
    o.sloppy = true;
    assert_int_equal(options_parse_list(&o, "whatever=1,ro", NULL), ERR_OK);
    assert_true(o.read_only);
}

static void a_remount_is_refused_whatever_else_mount_hands_over(void **state)
{
    static const char *const lists[] = {"remount", "remount,ro", "rw,nosuid,user_id=0,group_id=0,remount,ro"};

    for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
        struct options o;
        struct err e = ERR_INIT;

        assert_int_equal(options_init(&o, &e), ERR_OK);
        assert_int_equal(options_parse_list(&o, lists[i], &e), ERR_UNSUPPORTED);
        assert_non_null(strstr(e.msg, "unmount it"));
        options_release(&o);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(durations_have_units_and_a_maximum),
        cmocka_unit_test(the_defaults_are_those_of_the_design),
        cmocka_unit_test(a_list_is_taken_apart_and_a_backslash_keeps_a_comma),
        cmocka_unit_test(the_last_of_an_option_given_twice_wins),
        cmocka_unit_test(what_mount_8_and_systemd_add_is_ignored),
        cmocka_unit_test(what_is_wrong_is_named_with_what_is_legal),
        cmocka_unit_test(an_unknown_option_does_not_show_its_value),
        cmocka_unit_test(a_long_list_is_an_error_and_no_crash),
        cmocka_unit_test(an_unknown_option_is_told_what_comes_nearest),
        cmocka_unit_test(an_option_without_the_value_it_needs_says_what_is_legal),
        cmocka_unit_test(sloppy_lets_unknown_options_pass),
        cmocka_unit_test(a_remount_is_refused_whatever_else_mount_hands_over),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
