#include "neighbours_support.h"

#include <stdio.h>

void path_of(char out[64], const char *dir, int k)
{
    snprintf(out, 64, "%s/f%04d", dir, k);
}

void put_files(struct rig *r, const char *dir, int n)
{
    char path[64];
    for (int k = 0; k < n; k++) {
        path_of(path, dir, k);
        others_put(r, path, path);
    }
}

void read_file(struct rig *r, const char *dir, int k)
{
    char path[64];
    path_of(path, dir, k);
    struct vfs_handle *h = open_at(r, path, O_RDONLY);
    expect_bytes(r, h, path);
    release(r, h);
}

void list(struct rig *r, const char *dir)
{
    BUF(out, 1 << 20);
    expect_ok(r, names_in(r, dir, false, &out));
    rig_mark(r);
}

struct vfs_stats stats(struct rig *r)
{
    struct vfs_stats s;
    vfs_stats(r->v, &s);
    return s;
}
