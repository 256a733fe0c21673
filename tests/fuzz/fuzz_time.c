#include "fuzz.h"

#include "util/cleanup.h"
#include "util/clock.h"
#include "util/str.h"

#include <string.h>

static void check_http(const char *text)
{
    struct timespec ts, again;
    if (!time_parse_http(text, &ts))
        return;
    FUZZ_CHECK(strlen(text) == 29 && ts.tv_nsec == 0 && ts.tv_sec <= 253402300800);
    if (ts.tv_sec < 0 || ts.tv_sec > 253402300799)
        return;
    char written[30];
    time_format_http(ts.tv_sec, written);
    FUZZ_CHECK(time_parse_http(written, &again) && again.tv_sec == ts.tv_sec);
    /* The weekday is not checked against the date, and a leap second is written as the next one. */
    FUZZ_CHECK(strncmp(text + 23, "60", 2) == 0 || strcmp(text + 5, written + 5) == 0);
}

static void check_iso8601(const char *text)
{
    struct timespec ts;
    if (!time_parse_iso8601(text, &ts))
        return;
    FUZZ_CHECK(ts.tv_nsec >= 0 && ts.tv_nsec < 1000000000);
    FUZZ_CHECK(ts.tv_sec >= -62135596800 - 86400 && ts.tv_sec <= 253402300800 + 86400);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP(free) char *text = str_ndup((const char *)data, size);
    if (!text)
        return 0;
    check_http(text);
    check_iso8601(text);
    return 0;
}
