#include "net/http_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static enum err_code line(struct reply *r, const char *s)
{
    struct err e = ERR_INIT;
    return reply_line(r, s, strlen(s), &e);
}

static struct http_transfer *with_lines(const char *const *lines)
{
    struct http_transfer *t = calloc(1, sizeof(*t));
    reply_init(&t->reply, 0, false);
    for (; *lines; lines++)
        assert_int_equal(line(&t->reply, *lines), ERR_OK);
    return t;
}

static void done(struct http_transfer *t)
{
    reply_release(&t->reply);
    free(t);
}

static void headers_are_found_by_any_case_and_walked_in_order(void **state)
{
    struct http_transfer *t =
        with_lines((const char *[]){"HTTP/1.1 200 OK\r\n", "ETag:   \"abc\" \r\n", "x-amz-meta-A: 1\r\n", "Empty:\r\n",
                                    "X-Amz-Meta-b:\t2\r\n", "Content-Length: 5\r\n", "\r\n", NULL});
    assert_int_equal(t->reply.status, 200);
    assert_true(t->reply.ended && t->reply.has_length && t->reply.length == 5);
    assert_string_equal(http_reply_header(t, "etag"), "\"abc\"");
    assert_string_equal(http_reply_header(t, "EMPTY"), "");
    assert_null(http_reply_header(t, "Eta"));
    size_t cursor = 0;
    const char *name, *value, *want[] = {"ETag", "x-amz-meta-A", "Empty", "X-Amz-Meta-b", "Content-Length"};
    for (int i = 0; i < 5; i++) {
        assert_true(http_reply_header_next(t, &cursor, &name, &value));
        assert_string_equal(name, want[i]);
    }
    assert_false(http_reply_header_next(t, &cursor, &name, &value));
    done(t);
}

static void a_continued_line_belongs_to_the_value_before(void **state)
{
    struct http_transfer *t = with_lines((const char *[]){"HTTP/1.1 200\r\n", " lost\r\n", "A: one\r\n", "  two \r\n",
                                                          "\tthree\r\n", "B: x\r\n", "\r\n", NULL});
    assert_string_equal(http_reply_header(t, "A"), "one two three");
    assert_string_equal(http_reply_header(t, "B"), "x");
    done(t);
}

static void an_interim_reply_and_trailers_leave_no_headers(void **state)
{
    struct http_transfer *t =
        with_lines((const char *[]){"HTTP/1.1 100 Continue\r\n", "A: interim\r\n", "\r\n", "HTTP/1.1 200 OK\r\n",
                                    "B: final\r\n", "\r\n", "C: trailer\r\n", "HTTP/1.1 500 no\r\n", "\r\n", NULL});
    assert_int_equal(t->reply.status, 200);
    assert_null(http_reply_header(t, "A"));
    assert_string_equal(http_reply_header(t, "B"), "final");
    assert_null(http_reply_header(t, "C"));
    done(t);
}

static void malformed_lines_are_refused(void **state)
{
    static const char *const bad[] = {
        "HTTP/1.1\r\n",
        "HTTP/1.1 \r\n",
        "HTTP/1.1 20\r\n",
        "HTTP/1.1 2x0 OK\r\n",
        "HTTP/1.1 2000 OK\r\n",
        "HTTP/1.1 099 OK\r\n",
        "no colon\r\n",
        ": no name\r\n",
        "Content-Length: -1\r\n",
        "Content-Length: 5x\r\n",
        "Content-Length: 5, 5\r\n",
        "Content-Length:\r\n",
        "Content-Length: 99999999999999999999999\r\n",
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct reply r;
        reply_init(&r, 0, false);
        if (line(&r, bad[i]) != ERR_PROTO)
            fail_msg("accepted: %s", bad[i]);
        reply_release(&r);
    }
    struct reply r;
    reply_init(&r, 0, false);
    assert_int_equal(reply_line(&r, "A: x\0y\r\n", 8, NULL), ERR_PROTO);
    reply_release(&r);
}

static void two_lengths_that_differ_are_refused(void **state)
{
    struct reply r;
    reply_init(&r, 0, false);
    assert_int_equal(line(&r, "HTTP/1.1 200 OK\r\n"), ERR_OK);
    assert_int_equal(line(&r, "Content-Length: 5\r\n"), ERR_OK);
    assert_int_equal(line(&r, "content-length: 5\r\n"), ERR_OK);
    assert_int_equal(line(&r, "Content-length: 6\r\n"), ERR_PROTO);
    reply_release(&r);
}

static void more_than_64_kib_of_headers_are_refused_also_over_many_interim_replies(void **state)
{
    struct reply r;
    reply_init(&r, 0, false);
    unsigned lines = 0;
    while (line(&r, lines % 2 ? "\r\n" : "HTTP/1.1 102 Processing\r\n") == ERR_OK)
        lines++;
    assert_in_range(lines, 4000, 6000);
    reply_release(&r);
}

static void a_body_is_collected_up_to_its_maximum(void **state)
{
    struct reply r;
    reply_init(&r, 10, true);
    assert_true(r.body.secret);
    buf_add(&r.body, "0123456789", 10);
    assert_false(r.body.failed);
    buf_add(&r.body, "x", 1);
    assert_true(r.body.failed);
    reply_release(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(headers_are_found_by_any_case_and_walked_in_order),
        cmocka_unit_test(a_continued_line_belongs_to_the_value_before),
        cmocka_unit_test(an_interim_reply_and_trailers_leave_no_headers),
        cmocka_unit_test(malformed_lines_are_refused),
        cmocka_unit_test(two_lengths_that_differ_are_refused),
        cmocka_unit_test(more_than_64_kib_of_headers_are_refused_also_over_many_interim_replies),
        cmocka_unit_test(a_body_is_collected_up_to_its_maximum),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
