/* What is remembered of a server: kept, corrected, and never believed when it is not what was written. */
#include "backends/s3/traits.h"
#include "backends/s3/traits_file.h"
#include "util/clock.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define ENDPOINT "http://s3.test:9000"

static char dir[] = "/tmp/awsfs-traits-XXXXXX";

static int make_dir(void **state)
{
    (void)state;
    (void)snprintf(dir, sizeof(dir), "/tmp/awsfs-traits-XXXXXX");
    return mkdtemp(dir) != NULL ? 0 : -1;
}

static const char *path(void)
{
    static char p[PATH_MAX];
    assert_true(traits_file_path(dir, ENDPOINT, "general", p));
    return p;
}

static int remove_dir(void **state)
{
    (void)state;
    (void)unlink(path());
    return rmdir(dir);
}

static struct s3_traits *open_traits(void)
{
    struct s3_traits *t = s3_traits_new(ENDPOINT, false, false, dir, NULL);
    assert_non_null(t);
    return t;
}

/* As if it had been asked, with one trait that is not there. */
static void ask(struct s3_traits *t, enum s3_trait lacks)
{
    enum s3_verdict found[S3_TRAITS];
    for (int i = 0; i < S3_TRAITS; i++)
        found[i] = i == (int)lacks ? S3_IGNORES : S3_YES;
    assert_true(s3_traits_must_ask(t, NULL));
    s3_traits_met(t, "Test 1.0");
    s3_traits_asked(t, found);
}

static void what_was_found_out_is_remembered(void **state)
{
    (void)state;
    struct s3_traits *t = open_traits();
    assert_false(s3_traits_known(t));
    ask(t, S3_COPY_IF_MATCH);
    s3_traits_free(t);
    t = open_traits();
    assert_true(s3_traits_known(t));
    assert_false(s3_traits_must_ask(t, NULL));
    assert_int_equal(s3_traits_get(t, S3_COPY_IF_MATCH), S3_IGNORES);
    assert_int_equal(s3_traits_get(t, S3_PUT_IF_MATCH), S3_YES);
    /* The server has ACLs; whether the bucket has is another question. */
    assert_int_equal(s3_traits_get(t, S3_ACLS), S3_UNKNOWN);
    s3_traits_free(t);
}

static void each_endpoint_and_kind_of_bucket_has_its_own(void **state)
{
    (void)state;
    struct s3_traits *t = open_traits();
    ask(t, S3_COPY_IF_MATCH);
    s3_traits_free(t);
    t = s3_traits_new(ENDPOINT "1", false, false, dir, NULL);
    assert_false(s3_traits_known(t));
    s3_traits_free(t);
    t = s3_traits_new(ENDPOINT, false, true, dir, NULL);
    assert_false(s3_traits_known(t));
    s3_traits_free(t);
}

static void aws_is_known_and_never_asked(void **state)
{
    (void)state;
    struct s3_traits *t = s3_traits_new("https://s3.eu-west-1.amazonaws.com", true, false, dir, NULL);
    assert_true(s3_traits_known(t));
    assert_false(s3_traits_must_ask(t, NULL));
    for (int i = 0; i < S3_CONDITIONS; i++)
        assert_int_equal(s3_traits_get(t, i), S3_YES);
    s3_traits_met(t, "another");
    s3_traits_set(t, S3_TAGS, S3_REFUSES, false);
    s3_traits_free(t);
    assert_int_equal(rmdir(dir), 0);
    assert_int_equal(mkdir(dir, 0700), 0);
}

static void a_directory_bucket_of_aws_has_no_tags_and_no_start_after(void **state)
{
    (void)state;
    struct s3_traits *t = s3_traits_new("https://s3express-euw1-az1.eu-west-1.amazonaws.com", true, true, dir, NULL);
    assert_int_equal(s3_traits_get(t, S3_TAGS), S3_REFUSES);
    assert_int_equal(s3_traits_get(t, S3_START_AFTER), S3_REFUSES);
    assert_int_equal(s3_traits_get(t, S3_PUT_IF_ABSENT), S3_YES);
    s3_traits_free(t);
}

static void another_server_at_that_address_is_asked_again(void **state)
{
    (void)state;
    struct s3_traits *t = open_traits();
    ask(t, S3_COPY_IF_MATCH);
    s3_traits_free(t);
    t = open_traits();
    s3_traits_met(t, "Test 1.0");
    assert_true(s3_traits_known(t));
    s3_traits_free(t);
    t = open_traits();
    s3_traits_met(t, "Test 2.0");
    assert_false(s3_traits_known(t));
    assert_int_equal(s3_traits_get(t, S3_PUT_IF_MATCH), S3_UNKNOWN);
    assert_true(s3_traits_must_ask(t, NULL));
    s3_traits_asked(t, NULL);
    s3_traits_free(t);
}

static void a_reply_that_contradicts_is_believed_and_remembered(void **state)
{
    (void)state;
    struct s3_traits *t = open_traits();
    ask(t, S3_COPY_IF_MATCH);
    s3_traits_set(t, S3_SHA512, S3_REFUSES, false);
    s3_traits_set(t, S3_TAGS, S3_REFUSES, true);
    s3_traits_free(t);
    t = open_traits();
    assert_int_equal(s3_traits_get(t, S3_SHA512), S3_REFUSES);
    assert_int_equal(s3_traits_get(t, S3_TAGS), S3_YES);
    s3_traits_free(t);
}

static void one_that_could_not_be_asked_is_not_asked_at_once_again(void **state)
{
    (void)state;
    struct s3_traits *t = open_traits();
    assert_true(s3_traits_must_ask(t, NULL));
    s3_traits_asked(t, NULL);
    assert_false(s3_traits_must_ask(t, NULL));
    assert_false(s3_traits_known(t));
    s3_traits_free(t);
}

static void the_place_of_the_buckets_name_is_remembered_by_itself(void **state)
{
    (void)state;
    struct s3_traits *t = open_traits();
    assert_int_equal(s3_traits_virtual(t), -1);
    s3_traits_set_virtual(t, true);
    s3_traits_free(t);
    t = open_traits();
    assert_int_equal(s3_traits_virtual(t), 1);
    assert_false(s3_traits_known(t));
    s3_traits_free(t);
}

static size_t read_file(char *out, size_t size)
{
    FILE *f = fopen(path(), "rb");
    assert_non_null(f);
    size_t n = fread(out, 1, size - 1, f);
    fclose(f);
    out[n] = 0;
    return n;
}

static void write_file(const char *text, size_t len)
{
    FILE *f = fopen(path(), "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, len, f), len);
    fclose(f);
    assert_int_equal(chmod(path(), 0600), 0);
}

static void assert_not_believed(const char *text, size_t len)
{
    write_file(text, len);
    struct s3_traits *t = open_traits();
    assert_false(s3_traits_known(t));
    assert_int_equal(s3_traits_virtual(t), -1);
    for (int i = 0; i < S3_TRAITS; i++)
        assert_int_equal(s3_traits_get(t, i), S3_UNKNOWN);
    s3_traits_free(t);
}

/* Each replaces `from` in a good file. */
static const struct {
    const char *from, *to;
} damages[] = {
    {"awsfs-server 1\n", "awsfs-server 2\n"},
    {"awsfs-server 1\n", ""},
    {ENDPOINT, "http://other.test:9000"},
    {"kind general", "kind directory"},
    {"put-if-match yes", "put-if-match maybe"},
    {"put-if-match yes\n", ""},
    {"put-if-match yes\n", "put-if-match yes\nput-if-match yes\n"},
    {"put-if-match yes\n", "put-if-match yes\nnew-trait yes\n"},
    {"put-if-match yes\n", "put-if-match\n"},
    {"asked ", "asked -"},
    {"asked ", "asked 99999999999999999999"},
    {"server Test", "server \x1b[31m"},
    {"end\n", ""},
    {"end\n", "end\nmore\n"},
};

static void damage(char *text, size_t size, const char *from, const char *to)
{
    char rest[8192];
    char *at = strstr(text, from);
    assert_non_null(at);
    (void)snprintf(rest, sizeof(rest), "%s", at + strlen(from));
    (void)snprintf(at, size - (size_t)(at - text), "%s%s", to, rest);
}

static void a_damaged_file_is_not_believed(void **state)
{
    (void)state;
    char good[8192], text[16384], huge[20000];
    struct s3_traits *t = open_traits();
    ask(t, S3_COPY_IF_MATCH);
    s3_traits_set_virtual(t, true);
    s3_traits_free(t);
    size_t n = read_file(good, sizeof(good));
    for (size_t i = 0; i < sizeof(damages) / sizeof(damages[0]); i++) {
        (void)snprintf(text, sizeof(text), "%s", good);
        damage(text, sizeof(text), damages[i].from, damages[i].to);
        assert_not_believed(text, strlen(text));
    }
    for (size_t cut = 0; cut < n; cut += 7)
        assert_not_believed(good, cut);
    memcpy(text, good, n);
    text[n / 2] = 0;
    assert_not_believed(text, n);
    memset(huge, '\n', sizeof(huge));
    memcpy(huge, good, n);
    assert_not_believed(huge, sizeof(huge));
    /* Undamaged it would be. */
    write_file(good, n);
    t = open_traits();
    assert_true(s3_traits_known(t));
    s3_traits_free(t);
}

static void assert_age(long long when, bool believed)
{
    struct traits_file f;
    char text[8192], from[64], to[64];
    struct s3_traits *t = open_traits();
    if (s3_traits_must_ask(t, NULL)) {
        s3_traits_asked(t, NULL);
        s3_traits_free(t);
        (void)unlink(path());
        t = open_traits();
        ask(t, S3_COPY_IF_MATCH);
    }
    s3_traits_free(t);
    assert_int_equal(traits_file_load(path(), ENDPOINT, "general", clock_now().tv_sec, &f, NULL), ERR_OK);
    size_t n = read_file(text, sizeof(text));
    (void)n;
    (void)snprintf(from, sizeof(from), "asked %lld", (long long)f.when);
    (void)snprintf(to, sizeof(to), "asked %lld", when);
    damage(text, sizeof(text), from, to);
    write_file(text, strlen(text));
    t = open_traits();
    assert_int_equal(s3_traits_known(t), believed);
    s3_traits_free(t);
}

static void one_that_is_a_week_old_or_of_the_future_is_not_believed(void **state)
{
    (void)state;
    long long now = clock_now().tv_sec;
    assert_age(now - 6 * 86400, true);
    assert_age(now - 8 * 86400, false);
    assert_age(now + 86400, false);
}

static void a_file_that_others_may_write_or_that_is_a_link_is_not_believed(void **state)
{
    (void)state;
    char good[8192], other[PATH_MAX];
    struct s3_traits *t = open_traits();
    ask(t, S3_COPY_IF_MATCH);
    s3_traits_free(t);
    size_t n = read_file(good, sizeof(good));
    assert_int_equal(chmod(path(), 0666), 0);
    t = open_traits();
    assert_false(s3_traits_known(t));
    s3_traits_free(t);
    (void)snprintf(other, sizeof(other), "%s/other", dir);
    write_file(good, n);
    assert_int_equal(rename(path(), other), 0);
    assert_int_equal(symlink(other, path()), 0);
    t = open_traits();
    assert_false(s3_traits_known(t));
    s3_traits_free(t);
    assert_int_equal(unlink(other), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_dir, remove_dir)
    const struct CMUnitTest tests[] = {
        TEST(what_was_found_out_is_remembered),
        TEST(each_endpoint_and_kind_of_bucket_has_its_own),
        TEST(aws_is_known_and_never_asked),
        TEST(a_directory_bucket_of_aws_has_no_tags_and_no_start_after),
        TEST(another_server_at_that_address_is_asked_again),
        TEST(a_reply_that_contradicts_is_believed_and_remembered),
        TEST(one_that_could_not_be_asked_is_not_asked_at_once_again),
        TEST(the_place_of_the_buckets_name_is_remembered_by_itself),
        TEST(a_damaged_file_is_not_believed),
        TEST(one_that_is_a_week_old_or_of_the_future_is_not_believed),
        TEST(a_file_that_others_may_write_or_that_is_a_link_is_not_believed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
