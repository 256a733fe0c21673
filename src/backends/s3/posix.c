#include "backends/s3/posix.h"

#include "util/clock.h"
#include "util/str.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define NS_PER_S 1000000000LL

/* All of `s` as digits of `base`. */
static bool parse_base(const char *s, int base, uint64_t max, uint64_t *out)
{
    if (s[0] == 0 || strspn(s, base == 8    ? "01234567"
                               : base == 16 ? "0123456789abcdefABCDEF"
                                            : "0123456789") != strlen(s))
        return false;
    errno = 0;
    unsigned long long v = strtoull(s, NULL, base);
    if (errno != 0 || v > max)
        return false;
    *out = v;
    return true;
}

static bool valid_type(uint64_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFREG:
    case S_IFDIR:
    case S_IFLNK:
    case S_IFIFO:
    case S_IFSOCK:
    case S_IFCHR:
    case S_IFBLK:
        return true;
    default:
        return false;
    }
}

static bool accept_mode(uint64_t v, bool is_dir, mode_t *out)
{
    if (v > 0177777 || ((v & S_IFMT) != 0 && !valid_type(v)))
        return false;
    if ((v & S_IFMT) == 0)
        v |= is_dir ? S_IFDIR : S_IFREG;
    *out = (mode_t)v;
    return true;
}

bool s3_parse_mode_octal(const char *s, bool is_dir, mode_t *out)
{
    uint64_t v;
    return parse_base(s, 8, 0177777, &v) && accept_mode(v, is_dir, out);
}

/* A decimal that another tool may have meant as octal. */
static bool reads_as_octal(uint64_t decimal, const char *s, bool is_dir)
{
    uint64_t octal;
    if (!parse_base(s, 8, 0177777, &octal))
        return false;
    if (decimal > 65535 || !valid_type(decimal))
        return true;
    if (!valid_type(octal))
        return false;
    return S_ISDIR(octal) && !S_ISDIR(decimal) && (is_dir || (S_ISLNK(decimal) && decimal != 0120777));
}

bool s3_parse_mode(const char *s, bool is_dir, mode_t *out)
{
    uint64_t v;
    if (s[0] == '0' && (s[1] == 'x' || s[1] == 'X'))
        return parse_base(s + 2, 16, 0177777, &v) && accept_mode(v, is_dir, out);
    if (s[0] == '0' && s[1] != 0)
        return s3_parse_mode_octal(s, is_dir, out);
    if (!parse_base(s, 10, UINT32_MAX, &v))
        return false;
    if (reads_as_octal(v, s, is_dir))
        return s3_parse_mode_octal(s, is_dir, out);
    return accept_mode(v, is_dir, out);
}

bool s3_parse_id(const char *s, uint32_t *out)
{
    uint64_t v;
    bool ok;
    if (s[0] == '0' && (s[1] == 'x' || s[1] == 'X'))
        ok = parse_base(s + 2, 16, UINT32_MAX, &v);
    else
        ok = parse_base(s, s[0] == '0' && s[1] != 0 ? 8 : 10, UINT32_MAX, &v);
    if (ok)
        *out = (uint32_t)v;
    return ok;
}

/* Decimal digits behind the point as nanoseconds; what is finer is cut off. */
static bool parse_fraction(const char *s, long *ns)
{
    size_t n = strspn(s, "0123456789");
    if (n == 0 || s[n] != 0)
        return false;
    long v = 0;
    for (size_t i = 0; i < 9; i++)
        v = v * 10 + (i < n ? s[i] - '0' : 0);
    *ns = v;
    return true;
}

bool s3_parse_time(const char *s, struct timespec *out)
{
    char whole[32];
    if (strchr(s, 'T') != NULL)
        return time_parse_iso8601(s, out);
    size_t len = strcspn(s, ".");
    if (len >= sizeof(whole))
        return false;
    memcpy(whole, s, len);
    whole[len] = 0;
    int64_t seconds;
    long ns = 0;
    if (!str_parse_i64(whole, &seconds) || (s[len] == '.' && !parse_fraction(s + len + 1, &ns)))
        return false;
    *out = (struct timespec){.tv_sec = seconds, .tv_nsec = ns};
    return true;
}

bool s3_parse_time_aws(const char *s, struct timespec *out)
{
    char digits[32];
    bool ns = str_ends(s, "ns");
    size_t len = strlen(s) - (ns ? 2 : 0);
    int64_t v;
    if (len >= sizeof(digits))
        return false;
    memcpy(digits, s, len);
    digits[len] = 0;
    if (!str_parse_i64(digits, &v))
        return false;
    int64_t per_second = ns ? NS_PER_S : 1000;
    int64_t seconds = v / per_second, rest = v % per_second;
    if (rest < 0) {
        rest += per_second;
        seconds--;
    }
    *out = (struct timespec){.tv_sec = seconds, .tv_nsec = rest * (NS_PER_S / per_second)};
    return true;
}

void s3_format_time(struct timespec t, char out[48])
{
    if (t.tv_nsec == 0)
        (void)snprintf(out, 48, "%lld", (long long)t.tv_sec);
    else
        (void)snprintf(out, 48, "%lld.%09ld", (long long)t.tv_sec, t.tv_nsec);
}
