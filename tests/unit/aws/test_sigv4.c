#include "aws/sigv4.h"

#include "util/digest.h"
#include "util/str.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { HEADERS = 16, PARAMS = 16, FILE_MAX = 1 << 20 };

#define AWS_SECRET "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"

/* One vector; the texts lie in the file's buffer. */
struct vector {
    char *name, *req, *creq, *sts, *authz;
};

struct parsed {
    char method[16], path[1024];
    struct aws_param query[PARAMS], headers[HEADERS];
    char strings[8192], payload[2 * DIGEST_MAX + 1];
    struct buf values[2 * PARAMS];
    size_t n_values;
};

static const struct sigv4_scope scope = {"us-east-1", "service", 1440938160};

/* Cuts off what follows `marker` and returns it. */
static char *cut(char *text, const char *marker)
{
    char *at = strstr(text, marker);

    assert_non_null(at);
    at[-(at > text && at[-1] == '\n')] = '\0';
    return at + strlen(marker);
}

static char *decoded(struct parsed *p, const char *text, size_t len)
{
    struct buf *b = &p->values[p->n_values++];

    buf_init(b, 4096);
    assert_true(uri_decode(b, text, len, false));
    buf_add(b, "", 0);
    return b->data ? b->data : memset(p->strings + sizeof(p->strings) - 1, 0, 1);
}

static void parse_query(struct parsed *p, const char *text)
{
    for (size_t n = 0; *text; n++) {
        size_t len = strcspn(text, "&"), name = strcspn(text, "=&");

        assert_true(n < PARAMS - 1);
        p->query[n].name = decoded(p, text, name);
        p->query[n].value = decoded(p, text + name + (name < len), len - name - (name < len));
        text += len + (text[len] == '&');
    }
}

/* "Name:value" lines; an indented line goes on with the value before it. */
static char *parse_headers(struct parsed *p, char *line)
{
    size_t n = 0;

    while (line && *line && *line != '\n') {
        char *end = strchr(line, '\n'), *colon = strchr(line, ':');

        if (end)
            *end = '\0';
        if (*line == ' ') {
            char *value = (char *)p->headers[n - 1].value;
            memmove(value + strlen(value) + 1, line, strlen(line) + 1);
            value[strlen(value)] = '\n';
        } else {
            assert_true(colon && n < HEADERS - 2);
            *colon = '\0';
            p->headers[n++] = (struct aws_param){line, colon + 1};
        }
        line = end ? end + 1 : NULL;
    }
    return line && *line == '\n' ? line + 1 : NULL;
}

static void parse_request(const struct vector *v, struct parsed *p)
{
    char target[1024];

    snprintf(p->strings, sizeof(p->strings) - 1, "%s", v->req);
    char *first_end = strchr(p->strings, '\n'), *space = strchr(p->strings, ' '),
         *version = strstr(p->strings, " HTTP/");
    assert_true(first_end && space && version && version < first_end);
    snprintf(p->method, sizeof(p->method), "%.*s", (int)(space - p->strings), p->strings);
    snprintf(target, sizeof(target), "%.*s", (int)(version - space - 1), space + 1);
    char *question = strchr(target, '?');
    if (question) {
        *question = '\0';
        parse_query(p, question + 1);
    }
    snprintf(p->path, sizeof(p->path), "%s", target);
    const char *body = parse_headers(p, first_end + 1);
    assert_int_equal(digest_hex(DIGEST_SHA256, body ? body : "", body ? strlen(body) : 0, p->payload, NULL), ERR_OK);
}

static void check_vector(const struct vector *v)
{
    static struct parsed p;
    char token[1024];
    struct sigv4_key key = {"AKIDEXAMPLE", AWS_SECRET, NULL};
    struct err e = ERR_INIT;
    BUF(canonical, 65536);
    BUF(names, 4096);
    BUF(text, 4096);
    BUF(authorization, 4096);

    memset(&p, 0, sizeof(p));
    parse_request(v, &p);
    if (!strcmp(v->name, "get-vanilla-with-session-token")) {
        size_t n = 0;
        const char *line = strstr(v->creq, "x-amz-security-token:");
        snprintf(token, sizeof(token), "%.*s", (int)strcspn(line + 21, "\n"), line + 21);
        while (p.headers[n].name)
            n++;
        p.headers[n] = (struct aws_param){"X-Amz-Security-Token", token};
    }
    /* Here the token is added after the signature was made. */
    if (!strcmp(v->name, "post-sts-token/post-sts-header-after"))
        assert_null(strstr(v->creq, "security-token"));
    const struct sigv4_request r = {p.method, p.path, p.query, p.headers, p.payload};
    assert_int_equal(sigv4_canonical(&r, &scope, &canonical, &names, &e), ERR_OK);
    if (strcmp(buf_str(&canonical), v->creq))
        fail_msg("%s: canonical request\n%s\nnot\n%s", v->name, buf_str(&canonical), v->creq);
    assert_int_equal(sigv4_string_to_sign(&canonical, &scope, &text, &e), ERR_OK);
    assert_string_equal(buf_str(&text), v->sts);
    assert_int_equal(sigv4_authorization(&r, &key, &scope, &authorization, &e), ERR_OK);
    assert_string_equal(buf_str(&authorization), v->authz);
    for (size_t i = 0; i < p.n_values; i++)
        buf_release(&p.values[i]);
}

static void every_published_vector_is_reproduced(void **state)
{
    static char file[FILE_MAX];
    FILE *f = fopen(AWS_VECTORS "/aws4_testsuite.txt", "r");
    unsigned n = 0;

    assert_non_null(f);
    assert_true(fread(file, 1, sizeof(file) - 1, f) > 1000);
    fclose(f);
    for (char *at = cut(file, "@@@@ "); strncmp(at, "end\n", 4); n++) {
        struct vector v = {.name = at};
        v.req = cut(at, "@@@ req\n");
        v.creq = cut(v.req, "@@@ creq\n");
        v.sts = cut(v.creq, "@@@ sts\n");
        v.authz = cut(v.sts, "@@@ authz\n");
        at = cut(v.authz, "@@@@ ");
        check_vector(&v);
    }
    assert_int_equal(n, 34);
}

/* The example of "Authenticating Requests: Using Query Parameters" in the S3 API reference. */
static void the_documented_presigned_url_is_reproduced(void **state)
{
    const struct aws_param headers[] = {{"Host", "examplebucket.s3.amazonaws.com"}, {0}};
    const struct sigv4_request r = {"GET", "/test.txt", NULL, headers, SIGV4_UNSIGNED};
    const struct sigv4_key key = {"AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", NULL};
    const struct sigv4_scope s = {"us-east-1", "s3", 1369353600};
    BUF(out, 8192);

    assert_int_equal(sigv4_presign(&r, &key, &s, 86400, &out, NULL), ERR_OK);
    assert_string_equal(buf_str(&out),
                        "X-Amz-Algorithm=AWS4-HMAC-SHA256"
                        "&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request"
                        "&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host"
                        "&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404");
}

/* The examples of "Authenticating Requests: Using the Authorization Header" there. */
static void the_documented_s3_requests_are_reproduced(void **state)
{
    static const char empty[] = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    static const char put[] = "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072";
    const struct sigv4_key key = {"AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", NULL};
    const struct sigv4_scope s = {"us-east-1", "s3", 1369353600};
    const struct {
        struct sigv4_request r;
        struct aws_param query[4], headers[8];
        const char *signature;
    } table[] = {
        {{"GET", "/test.txt", NULL, NULL, empty},
         {{0}},
         {{"Host", "examplebucket.s3.amazonaws.com"},
          {"Range", "bytes=0-9"},
          {"x-amz-content-sha256", empty},
          {"x-amz-date", "20130524T000000Z"}},
         "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"},
        {{"PUT", "/test%24file.text", NULL, NULL, put},
         {{0}},
         {{"Date", "Fri, 24 May 2013 00:00:00 GMT"},
          {"Host", "examplebucket.s3.amazonaws.com"},
          {"x-amz-date", "20130524T000000Z"},
          {"x-amz-storage-class", "REDUCED_REDUNDANCY"},
          {"x-amz-content-sha256", put}},
         "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"},
        {{"GET", "/", NULL, NULL, empty},
         {{"lifecycle", NULL}},
         {{"Host", "examplebucket.s3.amazonaws.com"},
          {"x-amz-date", "20130524T000000Z"},
          {"x-amz-content-sha256", empty}},
         "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"},
        {{"GET", "/", NULL, NULL, empty},
         {{"prefix", "J"}, {"max-keys", "2"}},
         {{"Host", "examplebucket.s3.amazonaws.com"},
          {"x-amz-date", "20130524T000000Z"},
          {"x-amz-content-sha256", empty}},
         "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"},
    };

    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct sigv4_request r = table[i].r;
        BUF(out, 8192);

        r.query = table[i].query;
        r.headers = table[i].headers;
        assert_int_equal(sigv4_authorization(&r, &key, &s, &out, NULL), ERR_OK);
        assert_true(str_ends(buf_str(&out), table[i].signature));
    }
}

static void the_path_of_s3_is_not_touched_and_that_of_others_is_normalised_and_encoded_again(void **state)
{
    const struct aws_param headers[] = {{"Host", "h"}, {0}};
    const struct sigv4_request r = {"GET", "/a//./b/../c%20d", NULL, headers, SIGV4_UNSIGNED};
    struct sigv4_scope s = {"r", "s3", 0};
    BUF(out, 4096);
    BUF(names, 4096);

    assert_int_equal(sigv4_canonical(&r, &s, &out, &names, NULL), ERR_OK);
    assert_true(str_starts(buf_str(&out), "GET\n/a//./b/../c%20d\n"));
    buf_clear(&out);
    buf_clear(&names);
    s.service = "ssm";
    assert_int_equal(sigv4_canonical(&r, &s, &out, &names, NULL), ERR_OK);
    assert_true(str_starts(buf_str(&out), "GET\n/a/c%2520d\n"));
}

static void headers_that_proxies_change_are_not_signed(void **state)
{
    const struct aws_param headers[] = {
        {"Host", "h"},      {"User-Agent", "x"},   {"Expect", "100-continue"},       {"Connection", "close"},
        {"X-Absent", NULL}, {"X-Amz-Meta-A", "v"}, {"transfer-encoding", "chunked"}, {0}};
    const struct sigv4_request r = {"GET", "/", NULL, headers, SIGV4_UNSIGNED};
    const struct sigv4_scope s = {"r", "s3", 0};
    BUF(out, 4096);
    BUF(names, 4096);

    assert_int_equal(sigv4_canonical(&r, &s, &out, &names, NULL), ERR_OK);
    assert_string_equal(buf_str(&names), "host;x-amz-meta-a");
}

static void a_presigned_url_carries_the_session_token_and_has_a_limited_life(void **state)
{
    const struct aws_param headers[] = {{"host", "h"}, {0}};
    const struct sigv4_request r = {"GET", "/", NULL, headers, SIGV4_UNSIGNED};
    const struct sigv4_key key = {"AKID", "secret", "to/ken+="};
    const struct sigv4_scope s = {"r", "s3", 0};
    struct err e = ERR_INIT;
    BUF(out, 4096);

    assert_int_equal(sigv4_presign(&r, &key, &s, 0, &out, &e), ERR_INVAL);
    assert_int_equal(sigv4_presign(&r, &key, &s, 604801, &out, &e), ERR_INVAL);
    assert_int_equal(out.len, 0);
    assert_int_equal(sigv4_presign(&r, &key, &s, 604800, &out, &e), ERR_OK);
    assert_non_null(strstr(buf_str(&out), "&X-Amz-Security-Token=to%2Fken%2B%3D&"));
}

static void too_many_headers_or_parameters_are_refused(void **state)
{
    static struct aws_param many[SIGV4_HEADERS_MAX + 2];
    const struct sigv4_scope s = {"r", "s3", 0};
    BUF(out, 1 << 20);
    BUF(names, 1 << 20);

    for (size_t i = 0; i <= SIGV4_HEADERS_MAX; i++)
        many[i] = (struct aws_param){"a", "b"};
    const struct sigv4_request headers = {"GET", "/", NULL, many, SIGV4_UNSIGNED};
    const struct sigv4_request query = {"GET", "/", many, NULL, SIGV4_UNSIGNED};
    assert_int_equal(sigv4_canonical(&headers, &s, &out, &names, NULL), ERR_TOO_BIG);
    assert_int_equal(sigv4_canonical(&query, &s, &out, &names, NULL), ERR_TOO_BIG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_published_vector_is_reproduced),
        cmocka_unit_test(the_documented_presigned_url_is_reproduced),
        cmocka_unit_test(the_documented_s3_requests_are_reproduced),
        cmocka_unit_test(the_path_of_s3_is_not_touched_and_that_of_others_is_normalised_and_encoded_again),
        cmocka_unit_test(headers_that_proxies_change_are_not_signed),
        cmocka_unit_test(a_presigned_url_carries_the_session_token_and_has_a_limited_life),
        cmocka_unit_test(too_many_headers_or_parameters_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
