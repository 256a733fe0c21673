/*
 * A form byte, then fixed fields, then the pairs of both kinds: their number, and for each the lengths of name and value before
 * them. Numbers are little-endian. Whatever is read is checked: it comes from a disk.
 */
#include "store/meta_pack.h"

#include "store/meta.h"

#include <string.h>

#define FORM      1
#define LEN_MAX   (16u << 20)

static void put(struct buf *out, uint64_t v, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        buf_add_char(out, (char)(v >> (8 * i)));
}

static void put_time(struct buf *out, const struct timespec *t)
{
    put(out, (uint64_t)t->tv_sec, 8);
    put(out, (uint64_t)t->tv_nsec, 4);
}

static void put_pairs(struct buf *out, const struct meta_pair *pairs, size_t n)
{
    put(out, n, 4);
    for (size_t i = 0; i < n; i++) {
        put(out, strlen(pairs[i].name), 4);
        put(out, pairs[i].len, 4);
        buf_add_str(out, pairs[i].name);
        buf_add(out, pairs[i].value, pairs[i].len);
    }
}

void store_meta_pack(const struct store_meta *m, struct buf *out)
{
    put(out, FORM, 1);
    put(out, m->has, 4);
    put(out, m->mode, 4);
    put(out, m->uid, 4);
    put(out, m->gid, 4);
    put_time(out, &m->mtime);
    put_time(out, &m->atime);
    put_time(out, &m->ctime);
    put_pairs(out, m->xattrs, m->n_xattrs);
    put_pairs(out, m->props, m->n_props);
}

struct reader {
    const unsigned char *p;
    size_t left;
    bool bad;
};

static const unsigned char *take(struct reader *r, size_t len)
{
    const unsigned char *p = r->p;
    if (r->bad || len > r->left) {
        r->bad = true;
        return NULL;
    }
    r->p += len;
    r->left -= len;
    return p;
}

static uint64_t get(struct reader *r, unsigned bytes)
{
    const unsigned char *p = take(r, bytes);
    uint64_t v = 0;
    for (unsigned i = 0; p && i < bytes; i++)
        v |= (uint64_t)p[i] << (8 * i);
    return v;
}

static struct timespec get_time(struct reader *r)
{
    struct timespec t = {.tv_sec = (time_t)get(r, 8)};
    t.tv_nsec = (long)get(r, 4);
    r->bad |= t.tv_nsec >= 1000000000;
    return t;
}

static bool get_pair(struct reader *r, struct store_meta *m, bool xattr)
{
    uint64_t name_len = get(r, 4), len = get(r, 4);
    BUF(name, LEN_MAX);
    const unsigned char *p = take(r, name_len), *value = take(r, len);
    if (r->bad || name_len == 0 || memchr(p, 0, name_len))
        return false;
    buf_add(&name, p, name_len);
    if (name.failed)
        return false;
    enum err_code code = xattr ? store_meta_set_xattr(m, buf_str(&name), value, len, NULL)
                               : store_meta_set_prop(m, buf_str(&name), value, len, NULL);
    return code == ERR_OK;
}

static bool get_pairs(struct reader *r, struct store_meta *m, bool xattr)
{
    uint64_t n = get(r, 4);
    while (!r->bad && n-- > 0)
        if (!get_pair(r, m, xattr))
            return false;
    return !r->bad;
}

struct store_meta *store_meta_unpack(const void *p, size_t len)
{
    struct reader r = {.p = p, .left = len};
    CLEANUP(store_meta_unref) struct store_meta *m = store_meta_new();
    if (!m || get(&r, 1) != FORM)
        return NULL;
    m->has = (unsigned)get(&r, 4);
    m->mode = (mode_t)get(&r, 4);
    m->uid = (uid_t)get(&r, 4);
    m->gid = (gid_t)get(&r, 4);
    m->mtime = get_time(&r);
    m->atime = get_time(&r);
    m->ctime = get_time(&r);
    bool good = get_pairs(&r, m, true) && get_pairs(&r, m, false);
    return good && r.left == 0 ? TAKE(m) : NULL;
}
