#include "keys.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const key_kind_names[KEY_KINDS] = {"numbered",   "numbered in many places", "two letters", "around the slash",
                                               "any ASCII",  "characters of all lengths", "beginnings of each other",
                                               "one long beginning", "one end is crowded"};

uint64_t keys_random(uint64_t *seed)
{
    uint64_t z = *seed += 0x9E3779B97F4A7C15;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
    return z ^ (z >> 31);
}

static size_t put_utf8(char *to, unsigned c)
{
    if (c < 0x80)
        return to[0] = (char)c, 1;
    if (c < 0x800)
        return to[0] = (char)(0xC0 | c >> 6), to[1] = (char)(0x80 | (c & 63)), 2;
    if (c < 0x10000)
        return to[0] = (char)(0xE0 | c >> 12), to[1] = (char)(0x80 | (c >> 6 & 63)), to[2] = (char)(0x80 | (c & 63)), 3;
    to[0] = (char)(0xF0 | c >> 18);
    to[1] = (char)(0x80 | (c >> 12 & 63));
    to[2] = (char)(0x80 | (c >> 6 & 63));
    to[3] = (char)(0x80 | (c & 63));
    return 4;
}

static void from_letters(char *to, const char *letters, size_t most, uint64_t *seed)
{
    size_t len = 1 + keys_random(seed) % most;
    for (size_t k = 0; k < len; k++)
        to[k] = letters[keys_random(seed) % strlen(letters)];
    to[len] = 0;
}

static void any_character(char *to, uint64_t *seed)
{
    static const unsigned special[] = {1, 0x7F, 0x80, 0x7FF, 0x800, 0xFFFD, 0x10000, 0x10FFFF, 0xD7FF, 0xE000, '%', '+', ' '};
    size_t len = 1 + keys_random(seed) % 6, at = 0;
    for (size_t k = 0; k < len; k++) {
        uint64_t x = keys_random(seed);
        unsigned c = x % 3 ? 0x4E00 + (unsigned)(x >> 8) % 500 : special[(x >> 8) % (sizeof(special) / sizeof(special[0]))];
        at += put_utf8(to + at, c);
    }
    to[at] = 0;
}

static void make_one(char *to, unsigned kind, size_t k, uint64_t *seed)
{
    switch (kind) {
    case 0:
        snprintf(to, KEY_SIZE, "f%06zu", k);
        return;
    case 1:
        snprintf(to, KEY_SIZE, "%c%03zu-%zu", "bcxyz"[k % 5], k / 5, (size_t)(keys_random(seed) % 10));
        return;
    case 2:
        from_letters(to, "ab", 12, seed);
        return;
    case 3:
        from_letters(to, "a-./0%", 6, seed);
        return;
    case 4:
        for (size_t n = 0, len = 1 + keys_random(seed) % 5; n <= len; n++)
            to[n] = n < len ? (char)(1 + keys_random(seed) % 126) : 0;
        return;
    case 5:
        any_character(to, seed);
        return;
    case 6:
        memset(to, 'a' + (int)(k % 3), 1 + k / 3 % 150);
        strcpy(to + 1 + k / 3 % 150, k % 2 ? "" : k % 5 ? "-" : "/x");
        return;
    case 7:
        snprintf(to, KEY_SIZE, "measurements-of-2026-11-21-part-%05zu.parquet", k);
        return;
    default:
        if (k % 50)
            snprintf(to, KEY_SIZE, "zz%05zu", k);
        else
            snprintf(to, KEY_SIZE, "%c%zu", 'a' + (int)(k / 50 % 26), k);
        return;
    }
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(a, b);
}

void keys_make(struct keys *k, unsigned kind, size_t n, uint64_t seed)
{
    memset(k, 0, sizeof(*k));
    for (size_t x = 0; x < n && x < KEYS_MAX; x++) {
        make_one(k->key[k->n], kind, x, &seed);
        const char *slashes = strstr(k->key[k->n], "//");
        k->n += k->key[k->n][0] != '/' && !slashes;
    }
    qsort(k->key, k->n, KEY_SIZE, by_bytes);
    size_t kept = 0;
    for (size_t x = 0; x < k->n; x++)
        if (kept == 0 || strcmp(k->key[kept - 1], k->key[x]) != 0)
            memmove(k->key[kept++], k->key[x], KEY_SIZE);
    k->n = kept;
}
