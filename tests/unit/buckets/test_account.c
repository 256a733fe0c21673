/* Requests about buckets: what is sent, and what the answers mean. */
#include "fake.h"

#include "util/str.h"

#include <stdio.h>
#include <string.h>

#define LIST(items, more)                                                                                              \
    "<ListAllMyBucketsResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Owner><ID>o</ID></Owner><Buckets>"     \
    items "</Buckets>" more "</ListAllMyBucketsResult>"
#define BUCKET(name, region)                                                                                           \
    "<Bucket><Name>" name "</Name><CreationDate>2024-01-01T00:00:00.000Z</CreationDate><BucketRegion>" region          \
    "</BucketRegion></Bucket>"

/* One page of the root as "a/ b/ ", or "" with *code. */
static const char *list(struct store *s, const char *prefix, const char *after, const char *token, char **next,
                        enum err_code *code)
{
    static char out[4096];
    struct store_page page = {0};
    struct err e = ERR_INIT;
    const struct store_list l = {.prefix = prefix, .delimiter = true, .start_after = after, .token = token};
    out[0] = 0;
    *code = store_list(s, &l, NULL, &page, &e);
    for (size_t i = 0; i < page.n; i++) {
        assert_true(page.entries[i].is_prefix);
        assert_int_equal(page.entries[i].object.version.mtime.tv_sec, 1704067200);
        size_t len = strlen(out);
        snprintf(out + len, sizeof(out) - len, "%s ", page.entries[i].key);
    }
    if (next != NULL)
        *next = TAKE(page.next);
    store_page_release(&page);
    return out;
}

static void buckets_are_listed_in_order_and_in_pages(void **state)
{
    static const struct step steps[] = {
        {.op = "ListBuckets", .text = "max-buckets=1000", .status = 200,
         .reply = LIST(BUCKET("b", "eu-west-1") BUCKET("a", "us-east-1") BUCKET("a-1", ""),
                       "<ContinuationToken>t1</ContinuationToken>")},
        {.op = "ListBuckets", .text = "continuation-token=t1", .status = 200, .reply = LIST(BUCKET("c", ""), "")},
        {.op = NULL}};
    CLEANUP(free) char *next = NULL, *end = NULL;
    enum err_code code;
    struct store *s = fake_buckets(NULL, steps, false);
    assert_string_equal(list(s, "", NULL, NULL, &next, &code), "a-1/ a/ b/ ");
    assert_string_equal(next, "t1");
    assert_string_equal(list(s, "", NULL, next, &end, &code), "c/ ");
    assert_null(end);
    fake_done();
    store_free(s);
}

static void a_part_of_the_list_can_be_asked_for(void **state)
{
#define ALL                                                                                                            \
    {                                                                                                                  \
        .op = "ListBuckets", .text = "max", .status = 200, .reply = LIST(BUCKET("aa", "") BUCKET("ab", "") BUCKET("b", ""), "") \
    }
    static const struct step steps[] = {ALL, ALL, {.op = NULL}};
    enum err_code code;
    struct store *s = fake_buckets(NULL, steps, false);
    assert_string_equal(list(s, "a", NULL, NULL, NULL, &code), "aa/ ab/ ");
    assert_string_equal(list(s, "", "aa/", NULL, NULL, &code), "ab/ b/ ");
    store_free(s);
}

static void a_hostile_list_does_no_harm(void **state)
{
    static const struct {
        const char *reply;
        enum err_code code;
        const char *names;
    } cases[] = {
        {LIST(BUCKET("ok", "") BUCKET("../x", "") BUCKET("a/b", "") BUCKET("", "") BUCKET(".", "") BUCKET("..", "")
                  BUCKET("sp ace", "") BUCKET("d--use1-az4--x-s3", ""), ""), ERR_OK, "ok/ "},
        {LIST(BUCKET("two", "") BUCKET("two", "../../evil"), ""), ERR_OK, "two/ "},
        {LIST("", ""), ERR_OK, ""},
        {"<ListAllMyBucketsResult/>", ERR_OK, ""},
        {"<ListBucketResult/>", ERR_PROTO, ""},
        {"<ListAllMyBucketsResult><Buckets>", ERR_PROTO, ""},
        {"", ERR_PROTO, ""},
        {"not XML", ERR_PROTO, ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const struct step steps[] = {{.op = "ListBuckets", .text = "max", .status = 200, .reply = cases[i].reply}, {.op = NULL}};
        enum err_code code;
        struct store *s = fake_buckets(NULL, steps, false);
        assert_string_equal(list(s, "", NULL, NULL, NULL, &code), cases[i].names);
        assert_int_equal(code, cases[i].code);
        store_free(s);
    }
}

static void a_bucket_is_opened_in_the_region_that_the_list_told(void **state)
{
    static const struct step steps[] = {
        {.op = "ListBuckets", .text = "max", .status = 200, .reply = LIST(BUCKET("far", "ap-south-1") BUCKET("odd", "x/../y"), "")},
        {.op = NULL}};
    enum err_code code;
    struct err e = ERR_INIT;
    struct store *s = fake_buckets(NULL, steps, false);
    (void)list(s, "", NULL, NULL, NULL, &code);
    assert_int_equal(fake_put(s, "far/f", "x", &e), ERR_OK);
    assert_string_equal(fake_last_region(), "ap-south-1");
    assert_int_equal(fake_put(s, "odd/f", "x", &e), ERR_OK);
    assert_string_equal(fake_last_region(), "");
    BUF(region, 100);
    assert_int_equal(store_property_get(s, "far/", NULL, "region", NULL, &region, &e), ERR_OK);
    assert_string_equal(buf_str(&region), "ap-south-1");
    assert_int_equal(store_property_get(s, "far/", NULL, "etag", NULL, &region, &e), ERR_NO_ATTR);
    store_free(s);
    assert_int_equal(fake_clients(), 0);
}

static void only_a_refused_list_does_not_fail_the_probe(void **state)
{
    static const struct {
        struct step step;
        enum err_code code;
    } cases[] = {
        {{.op = "ListBuckets", .text = "max-buckets=1 ", .status = 200, .reply = LIST("", "")}, ERR_OK},
        {{.op = "ListBuckets", .text = "max", .status = 403, .reply = S3_ERROR("AccessDenied")}, ERR_OK},
        {{.op = "ListBuckets", .text = "max", .status = 403, .reply = S3_ERROR("SignatureDoesNotMatch")}, ERR_AUTH},
        {{.op = "ListBuckets", .text = "max", .status = 403, .reply = S3_ERROR("InvalidAccessKeyId")}, ERR_AUTH},
        {{.op = "ListBuckets", .text = "max", .status = 404}, ERR_IO},
        {{.op = "ListBuckets", .text = "max", .status = 0, .transport = ERR_NET}, ERR_NET},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const struct step steps[] = {cases[i].step, {.op = NULL}};
        struct err e = ERR_INIT;
        struct store *s = fake_buckets(NULL, steps, false);
        assert_int_equal(store_probe(s, NULL, &e), cases[i].code);
        if (cases[i].code != ERR_OK)
            assert_non_null(strstr(e.msg, "http://127.0.0.1:1"));
        fake_done();
        store_free(s);
    }
}

static void nobody_lists_no_buckets(void **state)
{
    enum err_code code;
    struct err e = ERR_INIT;
    struct store *s = fake_buckets(NULL, NULL, true);
    assert_int_equal(store_probe(s, NULL, &e), ERR_OK);
    (void)list(s, "", NULL, NULL, NULL, &code);
    assert_int_equal(code, ERR_ACCESS);
    store_free(s);
}

static void what_a_head_says_of_a_name(void **state)
{
    static const struct {
        const char *key, *name;
        int status;
        enum err_code code;
        bool kept; /* the client, for the bucket that is there */
    } cases[] = {
        {"there/", "there", 200, ERR_OK, true},
        {"shut/", "shut", 403, ERR_OK, true},
        {"none/", "none", 404, ERR_NOT_FOUND, false},
        {"Old_Name/", "Old_Name", 200, ERR_OK, true},
        {"Old_Name/", "Old_Name", 400, ERR_NOT_FOUND, false},
        {"good-name/", "good-name", 400, ERR_INVAL, false},
        {"busy/", "busy", 0, ERR_TIMEOUT, false},
        {"throttled/", "throttled", 503, ERR_THROTTLED, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const struct step steps[] = {
            {.bucket = cases[i].name, .op = "HeadBucket", .status = cases[i].status, .transport = ERR_TIMEOUT}, {.op = NULL}};
        struct store_object o = {0};
        struct err e = ERR_INIT;
        struct store *s = fake_buckets(NULL, steps, false);
        assert_int_equal(store_stat(s, cases[i].key, NULL, &o, &e), cases[i].code);
        store_object_release(&o);
        assert_int_equal(fake_clients(), cases[i].kept);
        fake_done();
        store_free(s);
        assert_int_equal(fake_clients(), 0);
    }
}

static void an_old_name_that_is_known_is_not_absent_for_a_refusal(void **state)
{
    static const struct step steps[] = {
        {.op = "ListBuckets", .text = "max", .status = 200, .reply = LIST(BUCKET("Old_Name", "us-east-1"), "")},
        {.bucket = "Old_Name", .op = "HeadBucket", .status = 400},
        {.bucket = "Other_Name", .op = "HeadBucket", .status = 400},
        {.op = NULL}};
    struct store_object o = {0};
    enum err_code code;
    struct store *s = fake_buckets(NULL, steps, false);
    assert_string_equal(list(s, "", NULL, NULL, NULL, &code), "Old_Name/ ");
    assert_int_equal(store_stat(s, "Old_Name/", NULL, &o, NULL), ERR_INVAL);
    assert_int_equal(store_stat(s, "Other_Name/", NULL, &o, NULL), ERR_NOT_FOUND);
    fake_done();
    store_free(s);
}

static void names_that_cannot_be_cost_no_request(void **state)
{
    static const char *const keys[] = {".git/", ".Trash-0/", "sp ace/", "%/", "d--use1-az4--x-s3/", "file", "\xc3\xa4/"};
    struct store *s = fake_buckets(NULL, NULL, false);
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        struct store_object o = {0};
        struct err e = ERR_INIT;
        assert_int_equal(store_stat(s, keys[i], NULL, &o, &e), ERR_NOT_FOUND);
    }
    store_free(s);
}

static void the_client_that_found_its_bucket_is_kept_for_it(void **state)
{
    static const struct step steps[] = {
        {.bucket = "far", .op = "HeadBucket", .status = 200, .region = "ap-south-1"},
        {.bucket = "far", .op = "HeadBucket", .status = 200},
        {.op = NULL}};
    struct store_object o = {0};
    struct err e = ERR_INIT;
    BUF(region, 100);
    struct store *s = fake_buckets(NULL, steps, false);
    assert_int_equal(store_stat(s, "far/", NULL, &o, &e), ERR_OK);
    assert_int_equal(fake_clients(), 1);
    assert_int_equal(store_property_get(s, "far/", NULL, "region", NULL, &region, &e), ERR_OK);
    assert_string_equal(buf_str(&region), "ap-south-1");
    assert_int_equal(fake_clients(), 1);
    fake_done();
    store_free(s);
}

static enum err_code make(struct store *s, const char *key, int kind, struct err *e)
{
    const struct store_body body = {.size = 0};
    const struct store_cond cond = {.kind = kind};
    return store_put(s, key, &body, NULL, &cond, NULL, NULL, e);
}

static void what_is_sent_to_make_a_bucket(void **state)
{
    static const struct {
        const char *region, *text;
    } cases[] = {{"us-east-1", NULL}, {"eu-west-1", "<LocationConstraint>eu-west-1</LocationConstraint>"}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const struct step steps[] = {{.bucket = "new", .op = "HeadBucket", .status = 404},
                                     {.bucket = "new", .op = "CreateBucket", .text = cases[i].text, .status = 200},
                                     {.op = NULL}};
        struct err e = ERR_INIT;
        struct store *s = fake_buckets(cases[i].region, steps, false);
        if (make(s, "new/", STORE_IF_ABSENT, &e) != ERR_OK)
            fail_msg("%s", e.msg);
        fake_done();
        assert_int_equal(fake_put(s, "new/f", "x", &e), ERR_OK);
        assert_int_equal(fake_clients(), 1);
        store_free(s);
    }
}

static void why_a_bucket_cannot_be_made(void **state)
{
    static const struct {
        int head;
        int status; /* of CreateBucket; 0: it is not sent */
        const char *reply;
        unsigned unanswered;
        enum err_code code;
    } cases[] = {
        {200, 0, NULL, 0, ERR_CONFLICT}, /* CreateBucket would reset its ACL in us-east-1 */
        {403, 0, NULL, 0, ERR_CONFLICT},
        {503, 0, NULL, 0, ERR_THROTTLED},
        {404, 409, S3_ERROR("BucketAlreadyExists"), 0, ERR_CONFLICT},
        {404, 409, S3_ERROR("BucketAlreadyOwnedByYou"), 0, ERR_CONFLICT},
        {404, 409, S3_ERROR("BucketAlreadyOwnedByYou"), 1, ERR_OK},
        {404, 409, S3_ERROR("BucketAlreadyExists"), 1, ERR_CONFLICT},
        {404, 409, S3_ERROR("OperationAborted"), 0, ERR_BUSY},
        {404, 400, S3_ERROR("TooManyBuckets"), 0, ERR_QUOTA},
        {404, 403, S3_ERROR("AccessDenied"), 0, ERR_ACCESS},
        {404, 400, S3_ERROR("InvalidBucketName"), 0, ERR_INVAL},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const struct step steps[] = {{.bucket = "new", .op = "HeadBucket", .status = cases[i].head},
                                     {.bucket = "new",
                                      .op = cases[i].status > 0 ? "CreateBucket" : NULL,
                                      .text = "LocationConstraint",
                                      .status = cases[i].status,
                                      .reply = cases[i].reply,
                                      .unanswered = cases[i].unanswered},
                                     {.op = NULL}};
        struct err e = ERR_INIT;
        struct store *s = fake_buckets(NULL, steps, false);
        assert_int_equal(make(s, "new/", STORE_IF_ABSENT, &e), cases[i].code);
        fake_done();
        store_free(s);
        assert_int_equal(fake_clients(), 0);
    }
}

static void a_bucket_is_never_put_over(void **state)
{
    struct err e = ERR_INIT;
    struct store *s = fake_buckets(NULL, NULL, false);
    assert_int_equal(make(s, "name/", STORE_ALWAYS, &e), ERR_PERM);
    assert_int_equal(fake_put(s, "name/", "bytes", &e), ERR_PERM);
    assert_int_equal(make(s, "file", STORE_IF_ABSENT, &e), ERR_PERM);
    assert_int_equal(make(s, "Not_Legal/", STORE_IF_ABSENT, &e), ERR_INVAL);
    store_free(s);
}

static void what_becomes_of_a_bucket_to_be_deleted(void **state)
{
    static const struct {
        int status;
        const char *reply;
        enum err_code code;
    } cases[] = {
        {204, NULL, ERR_OK},
        {404, S3_ERROR("NoSuchBucket"), ERR_OK},
        {409, S3_ERROR("BucketNotEmpty"), ERR_NOT_EMPTY},
        {403, S3_ERROR("AccessDenied"), ERR_ACCESS},
        {409, S3_ERROR("OperationAborted"), ERR_BUSY},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const struct step steps[] = {
            {.bucket = "old", .op = "DeleteBucket", .status = cases[i].status, .reply = cases[i].reply}, {.op = NULL}};
        struct err e = ERR_INIT;
        struct store *s = fake_buckets(NULL, steps, false);
        assert_int_equal(store_remove(s, "old/", NULL, NULL, &e), cases[i].code);
        fake_done();
        store_free(s);
    }
}

static void names_that_a_bucket_can_be_given(void **state)
{
    static const struct {
        const char *name;
        bool legal;
    } cases[] = {
        {"abc", true}, {"a-b.c1", true}, {"1.2.3", true}, {"a1234567890123456789012345678901234567890123456789012345678901z", true},
        {"a12345678901234567890123456789012345678901234567890123456789012z", false}, {"ab", false}, {"", false},
        {"Abc", false}, {"a_b", false}, {"-abc", false}, {"abc-", false}, {".abc", false}, {"abc.", false}, {"a..b", false},
        {"192.168.5.4", false}, {"1.2.3.4.5", true}, {"xn--abc", false}, {"sthree-abc", false}, {"amzn-s3-demo-x", false},
        {"abc-s3alias", false}, {"abc--ol-s3", false}, {"abc--use1-az4--x-s3", false}, {"abc--table-s3", false}, {"abc.mrap", false},
        {"sp ace", false}, {"\xc3\xa4\xc3\xa4\xc3\xa4", false},
    };
    struct store *s = fake_buckets(NULL, NULL, false);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct err e = ERR_INIT;
        CLEANUP(free) char *key = str_printf("%s/", cases[i].name);
        enum err_code code = store_check(s, key, true, NULL, &e);
        if (code != (cases[i].legal ? ERR_OK : ERR_INVAL))
            fail_msg("%s: %s", key, err_name(code));
    }
    store_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(buckets_are_listed_in_order_and_in_pages),
        cmocka_unit_test(a_part_of_the_list_can_be_asked_for),
        cmocka_unit_test(a_hostile_list_does_no_harm),
        cmocka_unit_test(a_bucket_is_opened_in_the_region_that_the_list_told),
        cmocka_unit_test(only_a_refused_list_does_not_fail_the_probe),
        cmocka_unit_test(nobody_lists_no_buckets),
        cmocka_unit_test(what_a_head_says_of_a_name),
        cmocka_unit_test(an_old_name_that_is_known_is_not_absent_for_a_refusal),
        cmocka_unit_test(names_that_cannot_be_cost_no_request),
        cmocka_unit_test(the_client_that_found_its_bucket_is_kept_for_it),
        cmocka_unit_test(what_is_sent_to_make_a_bucket),
        cmocka_unit_test(why_a_bucket_cannot_be_made),
        cmocka_unit_test(a_bucket_is_never_put_over),
        cmocka_unit_test(what_becomes_of_a_bucket_to_be_deleted),
        cmocka_unit_test(names_that_a_bucket_can_be_given),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
