/*
 * A key, from where it differs from the other, is read as the digits of a fraction: the digit of a byte is 1 + the number of bytes
 * seen that are less, 0 where the key ends.
 */
#include "vfs/split.h"
#include "util/str.h"

#include <stdint.h>
#include <string.h>

#define DIGITS_MAX 20

void alphabet_add(struct alphabet *a, const char *name)
{
    bool added = false;
    for (const unsigned char *p = (const unsigned char *)name; *p && *p != '/'; p++) {
        added |= !a->seen[*p];
        a->seen[*p] = true;
    }
    if (!added)
        return;
    a->n = 0;
    for (unsigned b = 0; b < 256; b++) {
        a->rank[b] = (unsigned char)a->n;
        if (a->seen[b])
            a->byte[a->n++] = (unsigned char)b;
    }
}

static unsigned base_of(const struct alphabet *a)
{
    return a->n + 2;
}

/* As many digits as fit into 62 bits. */
static unsigned digits_of(const struct alphabet *a)
{
    unsigned n = 0;
    for (uint64_t x = UINT64_MAX >> 2; x >= base_of(a) && n < DIGITS_MAX; x /= base_of(a))
        n++;
    return n;
}

static size_t common(const char *a, const char *b)
{
    size_t n = 0;
    while (a[n] && a[n] == b[n])
        n++;
    return n;
}

/* NULL: behind every key of bytes that were seen. */
static uint64_t number_of(const struct alphabet *a, const char *key)
{
    uint64_t x = 0;
    for (unsigned k = 0; k < digits_of(a); k++) {
        unsigned digit = !key && k == 0 ? base_of(a) - 1 : 0;
        if (key && *key)
            digit = 1u + a->rank[(unsigned char)*key++];
        x = x * base_of(a) + digit;
    }
    return x;
}

static bool fits(const char *key, size_t len, const char *after, const char *end)
{
    return utf8_valid(key, len) && strcmp(key, after) > 0 && (!end || strcmp(key, end) < 0);
}

/* Completes a character of several bytes that the key stops in, or began wrongly, with the least there is. */
static size_t complete(char *key, size_t len, size_t keep)
{
    while (len > keep && ((unsigned char)key[len - 1] & 0xC0) == 0x80)
        len--;
    unsigned char lead = len ? (unsigned char)key[len - 1] : 0;
    size_t more = lead >= 0xF0 ? 3 : lead >= 0xE0 ? 2 : lead >= 0xC0 ? 1 : 0;
    if (len + more > SPLIT_KEY_MAX)
        return len;
    for (size_t k = 0; k < more; k++) {
        bool high = k == 0 && (lead == 0xE0 || lead == 0xF0);
        key[len++] = (char)(!high ? 0x80 : lead == 0xE0 ? 0xA0 : 0x90);
    }
    key[len] = 0;
    return len;
}

bool split_between(const struct alphabet *a, const char *after, const char *end, char out[SPLIT_KEY_MAX + 1])
{
    size_t same = end ? common(after, end) : 0;
    if (a->n == 0 || same + DIGITS_MAX + 4 > SPLIT_KEY_MAX)
        return false;
    uint64_t low = number_of(a, after + same), high = number_of(a, end ? end + same : NULL);
    if (high <= low || high - low < 2)
        return false;
    uint64_t middle = low + (high - low) / 2;
    unsigned digits[DIGITS_MAX], n = digits_of(a);
    for (unsigned k = n; k > 0; k--, middle /= base_of(a))
        digits[k - 1] = (unsigned)(middle % base_of(a));
    memcpy(out, after, same);
    bool beyond = false; /* no byte is so great: the greatest, and so on */
    for (unsigned k = 0; k < n && (beyond || digits[k] > 0); k++) {
        beyond |= digits[k] > a->n;
        unsigned rank = beyond ? a->n - 1 : digits[k] - 1;
        size_t len = same + k + 1;
        out[len - 1] = (char)a->byte[rank];
        out[len] = 0;
        if (fits(out, len, after, end))
            return true;
        char whole[SPLIT_KEY_MAX + 1];
        memcpy(whole, out, len + 1);
        if (!fits(whole, complete(whole, len, same), after, end))
            continue;
        memcpy(out, whole, strlen(whole) + 1);
        return true;
    }
    return false;
}

double split_part(const struct alphabet *a, const char *from, const char *end, const char *at)
{
    size_t same = end ? common(from, end) : 0;
    if (strncmp(at, from, same) != 0)
        return strcmp(at, from) < 0 ? 0 : 1;
    uint64_t low = number_of(a, from + same), high = number_of(a, end ? end + same : NULL), x = number_of(a, at + same);
    if (high <= low || x <= low)
        return 0;
    return x >= high ? 1 : (double)(x - low) / (double)(high - low);
}
