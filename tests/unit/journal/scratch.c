#include "scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "util/str.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FILE_MAX (1024 * 1024)

void scratch_make(struct scratch *s)
{
    const char *tmp = getenv("TMPDIR");
    snprintf(s->path, sizeof(s->path), "%.40s/journal-XXXXXX", tmp ? tmp : "/tmp");
    assert_non_null(mkdtemp(s->path));
}

unsigned scratch_count(const struct scratch *s, const char *suffix, char *path, size_t path_size)
{
    DIR *d = opendir(s->path);
    assert_non_null(d);
    unsigned n = 0;
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        if (e->d_name[0] == '.' || !str_ends(e->d_name, suffix))
            continue;
        n++;
        if (path)
            assert_true(snprintf(path, path_size, "%s/%s", s->path, e->d_name) < (int)path_size);
    }
    closedir(d);
    return n;
}

void scratch_remove(struct scratch *s)
{
    char path[512];
    while (scratch_count(s, "", path, sizeof(path)) > 0)
        assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(s->path), 0);
}

char *scratch_read(const char *path, size_t *len)
{
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    char *p = calloc(1, FILE_MAX + 1);
    assert_non_null(p);
    *len = fread(p, 1, FILE_MAX, f);
    fclose(f);
    return p;
}

void scratch_write(const char *path, const void *p, size_t len)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(p, 1, len, f), len);
    fclose(f);
}
