/*
 * Where to cut a range of keys in two: guesses from the bytes that names were made of so far. A guess that is wrong costs a
 * request, never a name. Pure functions. Private to src/vfs.
 */
#ifndef VFS_SPLIT_H
#define VFS_SPLIT_H

#include <stdbool.h>
#include <stddef.h>

#define SPLIT_KEY_MAX 1024

/* The bytes that were seen in names, in their order. Zeroed at first; holds no '/'. */
struct alphabet {
    unsigned char byte[256], rank[256]; /* rank: how many of them are less than that byte */
    bool seen[256];
    unsigned n;
};

void alphabet_add(struct alphabet *a, const char *name);

/* A key about in the middle between `after` and `end` (NULL: no end), as far as names are spread evenly: valid UTF-8, no '/',
 * greater than `after`, less than `end`. False: there is none that is worth it. */
bool split_between(const struct alphabet *a, const char *after, const char *end, char out[SPLIT_KEY_MAX + 1]);

/* Which part of what is between `from` and `end` (NULL: no end) lies before `at`, from 0 to 1, as far as names are spread evenly. */
double split_part(const struct alphabet *a, const char *from, const char *end, const char *at);

#endif
