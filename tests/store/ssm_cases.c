/* What only the Parameter Store backend promises. */
#include "ssm_cases.h"

#include "awsfs/check.h"
#include "util/clock.h"

#include "aws/client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct aws_client *client;

void parameter_cases_use(struct aws_client *c)
{
    client = c;
}

static ssize_t read_body(void *arg, uint64_t offset, void *buf, size_t len)
{
    const char *s = arg;
    size_t n = strlen(s + offset) < len ? strlen(s + offset) : len;
    memcpy(buf, s + offset, n);
    return (ssize_t)n;
}

/* Sends a request past the store, as somebody else would. */
static __attribute__((format(printf, 2, 3))) void others(const char *op, const char *fmt, ...)
{
    static char json[20000];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(json, sizeof(json), fmt, ap);
    va_end(ap);
    char target[100];
    (void)snprintf(target, sizeof(target), "AmazonSSM.%s", op);
    const struct aws_param headers[] = {{"Content-Type", "application/x-amz-json-1.1"}, {"X-Amz-Target", target}, {0}};
    const struct http_body body = {.size = strlen(json), .read = read_body, .arg = json};
    const struct aws_request r = {.method = HTTP_POST, .what = "others", .headers = headers, .body = &body};
    struct err e = ERR_INIT;
    assert_ok(aws_call(client, &r, NULL, &e), &e);
}

static void add_count(void *arg, const char *kind, uint64_t count)
{
    *(uint64_t *)arg += count;
}

static uint64_t requests(void)
{
    uint64_t sent = 0;
    aws_client_each_count(client, add_count, &sent);
    return sent;
}

static void assert_property(struct suite *s, const char *key, const char *name, const char *want)
{
    BUF(value, 2048);
    struct err e = ERR_INIT;
    assert_ok(store_property_get(s->store, key, NULL, name, NULL, &value, &e), &e);
    assert_string_equal(buf_str(&value), want);
}

static void values_are_exact(struct suite *s)
{
    static const char *const values[] = {"x",
                                         "\n",
                                         "line\n",
                                         " a b ",
                                         "tab\there",
                                         "\"quoted\\",
                                         "caf\xc3\xa9 \xf0\x9f\x98\x80",
                                         "a,b,c",
                                         "{\"json\":[1]}",
                                         "$(x) `y` %41"};
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        (void)put_str(s, key_of(s, "f"), values[i]);
        assert_content(s, key_of(s, "f"), values[i]);
    }
    char *large = malloc(4097);
    memset(large, 'v', 4096);
    large[4096] = '\0';
    (void)put_str(s, key_of(s, "large"), large);
    assert_content(s, key_of(s, "large"), large);
    free(large);
}

static void a_new_parameter_is_a_secure_string(struct suite *s)
{
    (void)put_str(s, key_of(s, "f"), "v");
    assert_property(s, key_of(s, "f"), "type", "SecureString");
    assert_property(s, key_of(s, "f"), "tier", "Standard");
    assert_property(s, key_of(s, "f"), "version", "1");
    struct store_object o;
    stat_ok(s, key_of(s, "f"), &o);
    assert_int_equal(o.meta->mode & 0777, 0600);
    store_object_release(&o);
}

static void an_overwrite_keeps_type_key_and_tier(struct suite *s)
{
    others("PutParameter",
           "{\"Name\":\"/suite/%sf\",\"Value\":\"v\",\"Type\":\"SecureString\",\"KeyId\":\"alias/"
           "theirs\",\"Tier\":\"Advanced\","
           "\"Description\":\"what it is for\"}",
           s->base);
    others("PutParameter", "{\"Name\":\"/suite/%sg\",\"Value\":\"v\",\"Type\":\"StringList\"}", s->base);
    (void)put_str(s, key_of(s, "f"), "mine");
    (void)put_str(s, key_of(s, "g"), "a,b");
    assert_property(s, key_of(s, "f"), "type", "SecureString");
    assert_property(s, key_of(s, "f"), "key_id", "alias/theirs");
    assert_property(s, key_of(s, "f"), "tier", "Advanced");
    assert_property(s, key_of(s, "f"), "description", "what it is for");
    assert_property(s, key_of(s, "g"), "type", "StringList");
    assert_content(s, key_of(s, "f"), "mine");
}

static void an_equal_value_makes_no_version(struct suite *s)
{
    struct store_version a = put_str(s, key_of(s, "f"), "same"), b = put_str(s, key_of(s, "f"), "same"), c;
    assert_string_equal(a.etag, b.etag);
    assert_int_equal(put_if(s, key_of(s, "f"), "same", STORE_IF_MATCH, a.etag, &c), ERR_OK);
    assert_string_equal(a.etag, c.etag);
    assert_property(s, key_of(s, "f"), "version", "1");
}

static void what_others_change_is_another_version(struct suite *s)
{
    struct store_version a = put_str(s, key_of(s, "f"), "mine"), b;
    others("PutParameter", "{\"Name\":\"/suite/%sf\",\"Value\":\"theirs\",\"Overwrite\":true}", s->base);
    assert_int_equal(put_if(s, key_of(s, "f"), "late", STORE_IF_MATCH, a.etag, &b), ERR_CONFLICT);
    assert_content(s, key_of(s, "f"), "theirs");
}

static void old_versions_and_labels_can_be_read(struct suite *s)
{
    (void)put_str(s, key_of(s, "f"), "one");
    (void)put_str(s, key_of(s, "f"), "two");
    (void)put_str(s, key_of(s, "f"), "three");
    others("LabelParameterVersion", "{\"Name\":\"/suite/%sf\",\"ParameterVersion\":2,\"Labels\":[\"live\"]}", s->base);
    assert_content(s, key_of(s, "f@1"), "one");
    assert_content(s, key_of(s, "f@live"), "two");
    assert_content(s, key_of(s, "f"), "three");
    assert_absent(s, key_of(s, "f@9"));
    assert_absent(s, key_of(s, "f@other"));
    struct store_copy c = {.from = key_of(s, "f@1"), .size = 3, .to = key_of(s, "f")};
    struct err e = ERR_INIT;
    assert_ok(store_copy(s->store, &c, NULL, NULL, &e), &e);
    assert_content(s, key_of(s, "f"), "one");
    assert_property(s, key_of(s, "f"), "version", "4");
}

static void a_parameter_and_a_hierarchy_share_a_name(struct suite *s)
{
    (void)put_str(s, key_of(s, "a"), "self");
    (void)put_str(s, key_of(s, "a/b"), "below");
    assert_content(s, key_of(s, "a"), "self");
    assert_content(s, key_of(s, "a/b"), "below");
}

/* Counts what a listing has of names "NN" with the value "value NN", over all its pages. */
static unsigned walk(struct suite *s, const char *prefix, unsigned *pages)
{
    unsigned n = 0;
    char *token = NULL;
    for (*pages = 0; *pages == 0 || token != NULL; (*pages)++) {
        struct store_list l = {.prefix = prefix, .token = token};
        struct store_page page;
        struct err e = ERR_INIT;
        assert_ok(store_list(s->store, &l, NULL, &page, &e), &e);
        for (size_t i = 0; i < page.n; i++) {
            char want[32];
            int len = snprintf(want, sizeof(want), "value %s", page.entries[i].key + strlen(prefix));
            assert_int_equal(page.entries[i].object.version.size, len);
            assert_memory_equal(page.entries[i].object.content, want, (size_t)len);
            n++;
        }
        free(token);
        token = page.next ? strdup(page.next) : NULL;
        store_page_release(&page);
    }
    return n;
}

static void a_subtree_comes_in_pages_with_its_values(struct suite *s)
{
    static const unsigned counts[] = {1, 10, 25, 30};
    for (size_t c = 0; c < sizeof(counts) / sizeof(counts[0]); c++) {
        char prefix[96], name[128], value[32];
        (void)snprintf(prefix, sizeof(prefix), "%sn%u/", s->base, counts[c]);
        for (unsigned i = 0; i < counts[c]; i++) {
            (void)snprintf(name, sizeof(name), "%s%02u", prefix, i);
            (void)snprintf(value, sizeof(value), "value %02u", i);
            (void)put_str(s, name, value);
        }
        unsigned pages;
        assert_int_equal(walk(s, prefix, &pages), counts[c]);
        assert_true(pages >= (counts[c] + 9) / 10);
    }
}

static void many_are_removed_by_tens(struct suite *s)
{
    enum { N = 23 };
    char keys[N][96];
    const char *list[N + 1];
    for (int i = 0; i < N; i++) {
        (void)snprintf(keys[i], sizeof(keys[i]), "%sm/%02d", s->base, i);
        list[i] = keys[i];
        (void)put_str(s, keys[i], "v");
    }
    list[N] = key_of(s, "never-was");
    (void)put_str(s, key_of(s, "kept"), "k");
    uint64_t before = requests();
    enum err_code results[N + 1];
    struct err e = ERR_INIT;
    assert_ok(store_remove_many(s->store, list, NULL, N + 1, NULL, results, &e), &e);
    assert_int_equal(requests() - before, 3);
    for (int i = 0; i <= N; i++)
        assert_int_equal(results[i], ERR_OK);
    assert_absent(s, keys[0]);
    assert_absent(s, keys[N - 1]);
    assert_content(s, key_of(s, "kept"), "k");
}

static void what_the_service_refuses_costs_no_request(struct suite *s)
{
    static char large[8200];
    memset(large, 'v', sizeof(large) - 1);
    static const char *const names[] = {"a b", "x@3", "a//b", "caf\xc3\xa9", "1/2/3/4/5/6/7/8/9/10/11/12/13/14/15"};
    static const char *const values[] = {"", "{{x}}", "\xff"};
    uint64_t before = requests();
    struct bytes b;
    struct err e = ERR_INIT;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        assert_int_not_equal(store_check(s->store, key_of(s, names[i]), false, NULL, &e), ERR_OK);
        assert_int_not_equal(put_if(s, key_of(s, names[i]), "v", STORE_IF_ABSENT, NULL, NULL), ERR_OK);
    }
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        assert_int_not_equal(store_check(s->store, key_of(s, "f"), false, body_of_str(&b, values[i]), &e), ERR_OK);
        assert_int_not_equal(put_if(s, key_of(s, "f"), values[i], STORE_IF_ABSENT, NULL, NULL), ERR_OK);
    }
    assert_int_equal(store_check(s->store, key_of(s, "f"), false, body_of_str(&b, large), &e), ERR_TOO_BIG);
    assert_int_equal(store_check(s->store, key_of(s, "f"), false, body_of_str(&b, large + 4000), &e), ERR_TOO_BIG);
    assert_int_equal(store_check(s->store, key_of(s, "f"), false, body_of_str(&b, "v"), &e), ERR_OK);
    assert_int_equal(requests(), before);
}

static void a_probe_finds_the_store(struct suite *s)
{
    struct err e = ERR_INIT;
    assert_ok(store_probe(s->store, NULL, &e), &e);
}

static void trials_find_all_allowed_and_leave_nothing(struct suite *s)
{
    const uint64_t now = clock_mono_ms();
    const struct check_limits limits = {now + 20000, now + 40000, now + 60000};
    struct check_report r = {0};
    struct err e = ERR_INIT;
    assert_ok(put_if(s, key_of(s, "f"), "v", STORE_IF_ABSENT, NULL, NULL), &e);
    assert_ok(store_try(s->store, &limits, &r, &e), &e);
    for (size_t i = 0; i < r.n; i++)
        /* That a parameter is there already may be told before anything would be encrypted. */
        if (r.rows[i].verdict != (strcmp(r.rows[i].what, "encryption") == 0 ? CHECK_UNKNOWN : CHECK_YES))
            fail_msg("%s is not told as it is: %s", r.rows[i].what, r.rows[i].detail);
    struct store_object o;
    stat_ok(s, key_of(s, "f"), &o);
    store_object_release(&o);
    assert_content(s, key_of(s, "f"), "v");
}

const struct suite_case parameter_cases[] = {
    {"values are exact", values_are_exact, 0},
    {"a new parameter is a SecureString", a_new_parameter_is_a_secure_string, 0},
    {"an overwrite keeps type, key and tier", an_overwrite_keeps_type_key_and_tier, 0},
    {"an equal value makes no version", an_equal_value_makes_no_version, 0},
    {"what others change is another version", what_others_change_is_another_version, 0},
    {"old versions and labels can be read", old_versions_and_labels_can_be_read, 0},
    {"a parameter and a hierarchy share a name", a_parameter_and_a_hierarchy_share_a_name, 0},
    {"a subtree comes in pages with its values", a_subtree_comes_in_pages_with_its_values, 0},
    {"many are removed by tens", many_are_removed_by_tens, 0},
    {"what the service refuses costs no request", what_the_service_refuses_costs_no_request, 0},
    {"a probe finds the store", a_probe_finds_the_store, 0},
    {"trials find all allowed and leave nothing", trials_find_all_allowed_and_leave_nothing, 0},
    {NULL, NULL, 0},
};
