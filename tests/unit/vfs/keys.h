/* Sets of keys that are as hard to list as keys can be, for tests of listings. */
#ifndef TEST_VFS_KEYS_H
#define TEST_VFS_KEYS_H

#include <stddef.h>
#include <stdint.h>

#define KEYS_MAX 3000
#define KEY_SIZE 200

struct keys {
    char key[KEYS_MAX][KEY_SIZE];
    size_t n;
};

#define KEY_KINDS 9
extern const char *const key_kind_names[KEY_KINDS];

/* About `n` different keys of that kind, sorted by their bytes. */
void keys_make(struct keys *k, unsigned kind, size_t n, uint64_t seed);
uint64_t keys_random(uint64_t *seed);

#endif
