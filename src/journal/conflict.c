#include "journal/conflict.h"

#include "util/clock.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

void conflict_key(const char *key, unsigned attempt, struct buf *out)
{
    char host[65] = "host", when[32], number[16] = "";
    gethostname(host, sizeof(host) - 1);
    struct tm tm;
    time_t now = clock_now().tv_sec;
    gmtime_r(&now, &tm);
    strftime(when, sizeof(when), "%Y-%m-%dT%H-%M-%SZ", &tm);
    if (attempt > 1)
        snprintf(number, sizeof(number), " %u", attempt);
    buf_addf(out, "%s (conflict %s %s%s)", key, host, when, number);
}
