#include "vfs/standin.h"

#include "util/clock.h"
#include "util/str.h"
#include "vfs/beside.h"
#include "vfs/inode.h"
#include "vfs/look.h"

#include <string.h>

#define ASKED_FROM  (1u << 20) /* bytes: a smaller object costs little more than the question */
#define IN_VAIN_MAX 4          /* guesses in succession */
#define IN_VAIN_MS  600000

struct subject {
    char *key;
    struct store_version version;
    struct store_meta *meta;
    bool guess; /* by the size alone */
};

static void subject_release(struct subject *s)
{
    free(s->key);
    store_meta_unref(s->meta);
}

static bool eligible_locked(const struct vfs *v, const struct inode *i)
{
    const unsigned local = INODE_NEW | INODE_LOCAL | INODE_VIRTUAL | INODE_SEALED;
    return v->beside && i->kind == INODE_FILE && i->etag && i->size > 0 && !i->content && !(i->flags & local) &&
           !(i->active && i->active->stage) && !inode_unsent(i);
}

static bool take_subject(struct vfs *v, const struct inode *i, struct subject *s)
{
    LOCK_SCOPE(&v->tree);
    s->key = eligible_locked(v, i) ? inode_key_dup_locked(i) : NULL;
    s->meta = store_meta_ref(i->meta);
    s->guess = v->in_vain < IN_VAIN_MAX || clock_mono_ms() - v->in_vain_ms > IN_VAIN_MS;
    inode_version_locked(i, &s->version);
    return s->key != NULL;
}

static void count_guess(struct vfs *v, bool found)
{
    LOCK_SCOPE(&v->tree);
    v->in_vain = found ? 0 : v->in_vain + 1;
    v->in_vain_ms = clock_mono_ms();
}

static bool sha512_of(const struct store_meta *m, const char *name, uint8_t out[CACHE_SHA512])
{
    const char *hex = store_meta_prop(m, name, NULL);
    return hex && strlen(hex) == 2 * CACHE_SHA512 && hex_decode(hex, out, CACHE_SHA512);
}

/* "BASE64" of all bytes or "BASE64-N" of the sums of N parts. */
static bool sum_read(const char *text, enum cache_sum_kind kind, struct cache_sum *out)
{
    BUF(raw, 64);
    uint64_t parts = 0;
    const char *dash = strchr(text, '-');
    size_t len = dash ? (size_t)(dash - text) : strlen(text);
    if ((dash && (!str_parse_u64(dash + 1, &parts) || parts == 0 || parts > UINT32_MAX)) ||
        !base64_decode(&raw, text, len) || raw.len != cache_sum_size(kind))
        return false;
    *out = (struct cache_sum){.kind = kind, .parts = (unsigned)parts};
    memcpy(out->value, raw.data, raw.len);
    return true;
}

/* Of those that the server told the one that says most. */
static bool sum_of(const struct store_meta *m, struct cache_sum *out)
{
    static const struct {
        const char *prop;
        enum cache_sum_kind kind;
    } best[] = {{"checksum-sha256", CACHE_SUM_SHA256},
                {"checksum-sha1", CACHE_SUM_SHA1},
                {"checksum-crc64nvme", CACHE_SUM_CRC64NVME},
                {"checksum-crc32c", CACHE_SUM_CRC32C},
                {"checksum-crc32", CACHE_SUM_CRC32}};
    for (size_t k = 0; k < sizeof(best) / sizeof(best[0]); k++) {
        const char *text = store_meta_prop(m, best[k].prop, NULL);
        if (text && sum_read(text, best[k].kind, out))
            return true;
    }
    return false;
}

static bool canceled(void *arg)
{
    const struct vfs_caller *c = arg;
    return c && c->cancel && cancel_fired(c->cancel);
}

/* By what is known of the version. */
static bool claim(struct cache_entry *n, const struct subject *s, const struct vfs_caller *c)
{
    uint8_t told[CACHE_SHA512], said[CACHE_SHA512];
    struct cache_sum sum;
    struct cache_claim claim = {.guess = s->guess, .stop = canceled, .arg = (void *)c};
    claim.sha512 = sha512_of(s->meta, "checksum-sha512", told) ? told : NULL;
    claim.said_sha512 = sha512_of(s->meta, "sha512", said) ? said : NULL;
    claim.sum = sum_of(s->meta, &sum) ? &sum : NULL;
    return cache_entry_claim(n, &claim);
}

/* The server may tell a checksum: true if it has told anything of this version. */
static bool ask(struct vfs *v, struct inode *i, struct subject *s, const struct vfs_caller *c)
{
    struct err ignored = ERR_INIT;
    struct subject now;
    if (look_always(v, i, c, &ignored) || !take_subject(v, i, &now))
        return false;
    bool same = now.meta && strcmp(now.version.etag, s->version.etag) == 0 && strcmp(now.key, s->key) == 0;
    store_meta_unref(s->meta);
    s->meta = TAKE(now.meta);
    subject_release(&now);
    return same;
}

static enum err_code look_for(struct vfs *v, struct inode *i, struct subject *s, struct cache_entry *n,
                              const struct vfs_caller *c, struct err *e)
{
    bool large = s->version.size > CONTENT_BLOCK, alike = large && beside_has_size(v->beside, s->version.size);
    if (!alike && (large || !store_meta_prop(s->meta, "sha512", NULL)))
        return ERR_OK;
    if (large && c && c->nowait)
        return ERR_AGAIN;
    bool known = s->meta != NULL, found = claim(n, s, c);
    if (!found && !known && s->guess && s->version.size >= ASKED_FROM && !canceled((void *)c))
        found = ask(v, i, s, c) && claim(n, s, c);
    if (large && s->guess)
        count_guess(v, found);
    return canceled((void *)c) ? err_set(e, ERR_CANCELED, "interrupted") : ERR_OK;
}

enum err_code standin(struct vfs *v, struct inode *i, const struct vfs_caller *c, struct err *e)
{
    CLEANUP_RELEASE(subject_release) struct subject s = {0};
    if (!take_subject(v, i, &s))
        return ERR_OK;
    CLEANUP(cache_entry_unref) struct cache_entry *n = beside_entry(v->beside, s.key, &s.version);
    return !n || cache_held(n, 0, 1) > 0 ? ERR_OK : look_for(v, i, &s, n, c, e);
}
