#include "util/clock.h"

#include "util/cleanup.h"

#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void iso_dates_become_utc(void **state)
{
    static const struct {
        const char *text;
        int64_t sec;
        long nsec;
    } cases[] = {
        {"1970-01-01T00:00:00Z", 0, 0},
        {"2026-11-21T14:47:59.123Z", 1795272479, 123000000},
        {"2026-11-21T14:47:59Z", 1795272479, 0},
        {"2026-11-21T14:47:59+00:00", 1795272479, 0},
        {"2026-11-21T15:47:59+01:00", 1795272479, 0},
        {"2026-11-21T09:17:59.5-05:30", 1795272479, 500000000},
        {"2026-11-21T14:47:59.123456789123Z", 1795272479, 123456789},
        {"2000-02-29T00:00:00Z", 951782400, 0},
        {"1969-12-31T23:59:59Z", -1, 0},
        {"9999-12-31T23:59:59Z", 253402300799, 0},
        {"2016-12-31T23:59:60Z", 1483228800, 0},
        {"0001-01-01T00:00:00Z", -62135596800, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct timespec ts = {0};
        assert_true(time_parse_iso8601(cases[i].text, &ts));
        assert_true(ts.tv_sec == cases[i].sec);
        assert_int_equal(ts.tv_nsec, cases[i].nsec);
    }
}

static void other_iso_dates_are_refused(void **state)
{
    static const char *const bad[] = {
        "",
        "2026",
        "2026-11-21",
        "2026-11-21T14:47:59",
        "2026-11-21T14:47:59z",
        "2026-11-21 14:47:59Z",
        "2026-11-21T14:47Z",
        "2026-13-21T14:47:59Z",
        "2026-00-21T14:47:59Z",
        "2026-02-29T14:47:59Z",
        "1900-02-29T14:47:59Z",
        "2026-11-31T14:47:59Z",
        "2026-11-00T14:47:59Z",
        "2026-11-21T24:00:00Z",
        "2026-11-21T14:60:59Z",
        "2026-11-21T14:47:61Z",
        "2026-11-21T14:47:59.Z",
        "2026-11-21T14:47:59ZZ",
        "2026-11-21T14:47:59+0000",
        "2026-11-21T14:47:59+24:00",
        "2026-11-21T14:47:59+00:60",
        "2026-11-21T14:47:59+",
        " 2026-11-21T14:47:59Z",
        "+026-11-21T14:47:59Z",
        "0000-11-21T14:47:59Z",
        "20261121T144759Z",
        "2026-11-21T14:47:59.123",
        "\xff\xff\xff\xff",
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct timespec ts = {5, 6};
        assert_false(time_parse_iso8601(bad[i], &ts));
        assert_int_equal(ts.tv_sec, 5);
        assert_int_equal(ts.tv_nsec, 6);
    }
}

static void http_dates_go_both_ways(void **state)
{
    struct timespec ts;
    char text[30];
    assert_true(time_parse_http("Sat, 21 Nov 2026 14:47:59 GMT", &ts));
    assert_int_equal(ts.tv_sec, 1795272479);
    assert_int_equal(ts.tv_nsec, 0);
    for (int64_t t = 0; t < 253402300799; t += 987654321) {
        time_format_http(t, text);
        assert_true(time_parse_http(text, &ts));
        assert_true(ts.tv_sec == t);
    }
}

static void other_http_dates_are_refused(void **state)
{
    static const char *const bad[] = {
        "",
        "Sat, 21 Nov 2026 14:47:59",
        "Sat, 21 Nov 2026 14:47:59 UTC",
        "Sat, 21 Nov 2026 14:47:59 GMT ",
        "sat, 21 Nov 2026 14:47:59 GMT",
        "Xat, 21 Nov 2026 14:47:59 GMT",
        "Sat, 21 Nob 2026 14:47:59 GMT",
        "Sat, 31 Nov 2026 14:47:59 GMT",
        "Sat, 1 Nov 2026 14:47:59 GMT",
        "Saturday, 21-Nov-26 14:47:59 GMT",
        "Sat Nov 21 14:47:59 2026",
        "Sat, 21 Nov 2026 25:47:59 GMT",
        "Sat",
        "Sat, 21 No",
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct timespec ts = {5, 6};
        assert_false(time_parse_http(bad[i], &ts));
        assert_int_equal(ts.tv_sec, 5);
    }
}

static void dates_are_written_in_their_forms(void **state)
{
    char amz[17], http[30];
    time_format_amz(1795272479, amz);
    assert_string_equal(amz, "20261121T144759Z");
    time_format_http(1795272479, http);
    assert_string_equal(http, "Sat, 21 Nov 2026 14:47:59 GMT");
    time_format_amz(INT64_MAX, amz);
    assert_string_equal(amz, "99991231T235959Z");
    time_format_http(INT64_MIN, http);
    assert_string_equal(http, "Thu, 01 Jan 1970 00:00:00 GMT");
}

static void the_monotonic_clock_does_not_go_back(void **state)
{
    uint64_t last = clock_mono_ms();
    for (int i = 0; i < 1000; i++) {
        uint64_t now = clock_mono_ms();
        assert_true(now >= last);
        last = now;
    }
    assert_true(clock_now().tv_sec > 1700000000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(iso_dates_become_utc),
        cmocka_unit_test(other_iso_dates_are_refused),
        cmocka_unit_test(http_dates_go_both_ways),
        cmocka_unit_test(other_http_dates_are_refused),
        cmocka_unit_test(dates_are_written_in_their_forms),
        cmocka_unit_test(the_monotonic_clock_does_not_go_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
