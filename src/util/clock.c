#include "util/clock.h"

#include <stdio.h>
#include <string.h>

static const char day_names[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
static const char month_names[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                        "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

/* 9999-12-31T23:59:59Z: the last second with a year of four digits. */
#define LAST_FORMATTABLE 253402300799LL

uint64_t clock_mono_ms(void)
{
    struct timespec ts;
    if (clock_gettime(CLOCK_BOOTTIME, &ts) != 0)
        clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

uint64_t clock_mono_us(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

struct timespec clock_now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    return ts;
}

/* The fields of a date as they were read. */
struct fields {
    int year, month, day, hour, minute, second;
};

/* Reads exactly `digits` digits and steps behind them. */
static bool read_digits(const char **s, int digits, int *out)
{
    int value = 0;
    for (int i = 0; i < digits; i++) {
        char c = (*s)[i];
        if (c < '0' || c > '9')
            return false;
        value = value * 10 + (c - '0');
    }
    *s += digits;
    *out = value;
    return true;
}

static bool read_char(const char **s, char c)
{
    if (**s != c)
        return false;
    (*s)++;
    return true;
}

static int days_in_month(int year, int month)
{
    static const int days[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return month == 2 && leap ? 29 : days[month - 1];
}

/* A leap second (60) is legal and is the next minute's first. */
static bool fields_valid(const struct fields *f)
{
    return f->year >= 1 && f->month >= 1 && f->month <= 12 && f->day >= 1 &&
           f->day <= days_in_month(f->year, f->month) && f->hour <= 23 && f->minute <= 59 && f->second <= 60;
}

/* Seconds since 1970 in the proleptic Gregorian calendar, with the year counted from March so that the leap day is
 * last. */
static time_t fields_to_time(const struct fields *f)
{
    int64_t y = f->month <= 2 ? f->year - 1 : f->year;
    int64_t m = f->month <= 2 ? f->month + 9 : f->month - 3;
    int64_t days = 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + f->day - 1 - 719468;
    return days * 86400 + f->hour * 3600 + f->minute * 60 + f->second;
}

/* ".123" to nanoseconds; digits behind the ninth are dropped. No fraction is fine, a dot without digits is not. */
static bool read_fraction(const char **s, long *nsec)
{
    *nsec = 0;
    if (!read_char(s, '.'))
        return true;
    long unit = 100000000;
    const char *first = *s;
    for (; **s >= '0' && **s <= '9'; (*s)++) {
        *nsec += (**s - '0') * unit;
        unit /= 10;
    }
    return *s > first;
}

/* "Z" or "+HH:MM" to seconds east of UTC. */
static bool read_offset(const char **s, int *seconds)
{
    *seconds = 0;
    if (read_char(s, 'Z'))
        return true;
    int sign = **s == '-' ? -1 : 1;
    int hours, minutes;
    if (!read_char(s, '+') && !read_char(s, '-'))
        return false;
    if (!read_digits(s, 2, &hours) || !read_char(s, ':') || !read_digits(s, 2, &minutes) || hours > 23 || minutes > 59)
        return false;
    *seconds = sign * (hours * 3600 + minutes * 60);
    return true;
}

static bool read_time_of_day(const char **s, struct fields *f)
{
    return read_digits(s, 2, &f->hour) && read_char(s, ':') && read_digits(s, 2, &f->minute) && read_char(s, ':') &&
           read_digits(s, 2, &f->second);
}

bool time_parse_iso8601(const char *s, struct timespec *out)
{
    struct fields f;
    long nsec;
    int offset;
    if (!read_digits(&s, 4, &f.year) || !read_char(&s, '-') || !read_digits(&s, 2, &f.month) || !read_char(&s, '-') ||
        !read_digits(&s, 2, &f.day) || !read_char(&s, 'T') || !read_time_of_day(&s, &f))
        return false;
    if (!read_fraction(&s, &nsec) || !read_offset(&s, &offset) || *s || !fields_valid(&f))
        return false;
    out->tv_sec = fields_to_time(&f) - offset;
    out->tv_nsec = nsec;
    return true;
}

/* One of `n` names of three letters; its index. */
static bool read_name(const char **s, const char (*names)[4], int n, int *index)
{
    for (int i = 0; i < n; i++) {
        if (strncmp(*s, names[i], 3) == 0) {
            *s += 3;
            *index = i;
            return true;
        }
    }
    return false;
}

bool time_parse_http(const char *s, struct timespec *out)
{
    struct fields f;
    int weekday;
    if (!read_name(&s, day_names, 7, &weekday) || !read_char(&s, ',') || !read_char(&s, ' ') ||
        !read_digits(&s, 2, &f.day) || !read_char(&s, ' ') || !read_name(&s, month_names, 12, &f.month) ||
        !read_char(&s, ' ') || !read_digits(&s, 4, &f.year) || !read_char(&s, ' ') || !read_time_of_day(&s, &f))
        return false;
    f.month++;
    if (strcmp(s, " GMT") != 0 || !fields_valid(&f))
        return false;
    out->tv_sec = fields_to_time(&f);
    out->tv_nsec = 0;
    return true;
}

/* Broken down in UTC; times that have no year of four digits become the nearest that has. */
static struct tm to_utc(time_t t)
{
    struct tm tm;
    if (t < 0)
        t = 0;
    if (t > LAST_FORMATTABLE)
        t = LAST_FORMATTABLE;
    gmtime_r(&t, &tm);
    return tm;
}

void time_format_amz(time_t t, char out[17])
{
    struct tm tm = to_utc(t);
    char text[64];
    snprintf(text, sizeof(text), "%04d%02d%02dT%02d%02d%02dZ", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour,
             tm.tm_min, tm.tm_sec);
    memcpy(out, text, 16);
    out[16] = '\0';
}

void time_format_http(time_t t, char out[30])
{
    struct tm tm = to_utc(t);
    char text[80];
    snprintf(text, sizeof(text), "%s, %02d %s %04d %02d:%02d:%02d GMT", day_names[tm.tm_wday], tm.tm_mday,
             month_names[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
    memcpy(out, text, 29);
    out[29] = '\0';
}
