#include "vfs/remember.h"

#include "store/meta_pack.h"
#include "util/str.h"
#include "vfs/beside.h"
#include "vfs/inode.h"
#include "vfs/look.h"

#include <string.h>

#define MADE_SLACK_S 2
#define MADE_HOLD_MS ((MADE_SLACK_S + 1) * 1000) /* what this mount stores after that has another Last-Modified */
#define PACKED_MAX   CACHE_NOTE_MAX

/* The first byte of a note. */
enum { TOLD = 1, MADE = 2 };

/* The properties that describe the bytes, or are shown without a look. */
static struct store_meta *part_of(const struct store_meta *m)
{
    CLEANUP(store_meta_unref) struct store_meta *part = store_meta_copy(m);
    if (!part)
        return NULL;
    for (size_t k = part->n_props; k-- > 0;) {
        const char *name = part->props[k].name;
        if (strcmp(name, "symlink-target") != 0 && !store_meta_is_sum(name) &&
            store_meta_set_prop(part, name, NULL, 0, NULL))
            return NULL;
    }
    return TAKE(part);
}

static void note_locked(struct vfs *v, const struct inode *i, char form, time_t modified, unsigned hold_ms)
{
    struct store_version version;
    BUF(packed, PACKED_MAX);
    BUF(key, KEY_BUF_MAX);
    CLEANUP(store_meta_unref) struct store_meta *part = part_of(i->meta);
    if (!part)
        return;
    inode_key_locked(i, &key);
    inode_version_locked(i, &version);
    buf_add_char(&packed, form);
    store_meta_pack(part, &packed);
    if (!key.failed && !packed.failed)
        beside_note(v->beside, buf_str(&key), &version, modified, packed.data, packed.len, hold_ms);
}

static bool noted_locked(const struct vfs *v, const struct inode *i)
{
    return v->beside && vfs_has(v, STORE_POSIX) && i->meta && i->etag && i->parent && !inode_unsent(i) &&
           !(i->flags & (INODE_NEW | INODE_LOCAL | INODE_VIRTUAL));
}

void remember_told_locked(struct vfs *v, const struct inode *i)
{
    lock_assert_held(&v->tree);
    if (noted_locked(v, i) && i->meta->settled)
        note_locked(v, i, TOLD, i->meta->modified.tv_sec, 0);
}

void remember_made_locked(struct vfs *v, const struct inode *i, const struct store_version *version)
{
    lock_assert_held(&v->tree);
    if (noted_locked(v, i) && !vfs_has(v, STORE_LATER))
        note_locked(v, i, MADE, version->mtime.tv_sec, MADE_HOLD_MS);
}

/* The version as it is now known: what a note has to agree with. */
struct subject {
    char *key;
    struct store_version version;
    uint64_t seq, checked_ms;
};

static bool subject_locked(struct vfs *v, const struct inode *i, struct subject *s)
{
    bool open = v->beside && !i->meta && i->etag && i->parent && !inode_unsent(i) && !(i->flags & INODE_OUR_MTIME);
    s->key = open ? inode_key_dup_locked(i) : NULL;
    inode_version_locked(i, &s->version);
    s->seq = i->changed_seq;
    s->checked_ms = i->checked_ms;
    return s->key != NULL;
}

static struct store_meta *read_note(struct vfs *v, const struct subject *s)
{
    size_t len;
    int64_t modified, now = s->version.mtime.tv_sec;
    CLEANUP(free) char *p = beside_noted(v->beside, s->key, &s->version, &modified, &len);
    bool same =
        p && ((p[0] == TOLD && now == modified) || (p[0] == MADE && now <= modified && now >= modified - MADE_SLACK_S));
    return same ? store_meta_unpack(p + 1, len - 1) : NULL;
}

/* As if the request that told the version had told them: nothing gets younger by it. */
static bool take_locked(struct vfs *v, struct inode *i, const struct subject *s, struct store_meta *meta)
{
    struct store_version now;
    inode_version_locked(i, &now);
    bool same = !i->meta && i->changed_seq == s->seq && i->etag && strcmp(now.etag, s->version.etag) == 0 &&
                now.size == s->version.size && now.mtime.tv_sec == s->version.mtime.tv_sec &&
                inode_key_is_locked(i, s->key);
    if (!same)
        return i->meta != NULL;
    struct store_object object = {.version = now, .meta = meta};
    CLEANUP(free) char *name = strdup(i->name);
    struct inode *parent = i->parent;
    if (!name || look_take_locked(v, i, s->seq, s->checked_ms, &object))
        return false;
    struct inode *shown = i->meta == meta ? i : inode_child_locked(parent, name);
    if (shown && shown->meta == meta)
        shown->remembered = true;
    return true;
}

bool remember_take(struct vfs *v, struct inode *i)
{
    struct subject s;
    lock_take(&v->tree);
    bool open = subject_locked(v, i, &s), known = i->meta != NULL;
    lock_drop(&v->tree);
    CLEANUP(free) char *key = s.key;
    CLEANUP(store_meta_unref) struct store_meta *meta = open ? read_note(v, &s) : NULL;
    if (!meta)
        return known;
    LOCK_SCOPE(&v->tree);
    return take_locked(v, i, &s, meta);
}

bool remember_has(struct vfs *v, const char *key)
{
    return v->beside && beside_has_note(v->beside, key);
}
