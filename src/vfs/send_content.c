/*
 * One put of a file's content: the staged state is frozen, what it lacks is fetched from the version it came from, and it goes
 * to the store under the condition that nobody else changed the object meanwhile (W4). A conflict is put beside the newer one.
 */
#include "journal/conflict.h"
#include "store/meta.h"
#include "util/clock.h"
#include "vfs/attr.h"
#include "vfs/conflicts.h"
#include "vfs/early.h"
#include "vfs/inode.h"
#include "vfs/look.h"
#include "vfs/names.h"
#include "vfs/ranges.h"
#include "vfs/remember.h"
#include "vfs/send.h"
#include "vfs/stage_use.h"
#include "vfs/upload.h"
#include "vfs/view.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

/* What is sent, taken while the tree is locked. */
struct shot {
    uint64_t gen, attr_gen, size;
    char *key, *etag;
    struct stage *stage;
    struct content *base;
    struct store_meta *meta;
    struct store_cond cond;
    struct cancel *cancel;
    struct early *early; /* parts that were sent while it was written */
    bool lost; /* others have the name already */
    bool rewrite; /* from nothing: replaces whatever is there */
    bool brief;
};

static void shot_release(struct shot *s)
{
    if (s->base)
        content_unref(s->base);
    store_meta_unref(s->meta);
    cancel_unref(s->cancel);
    free(s->key);
    free(s->etag);
}

struct store_cond send_condition(const struct inode *i, const char *etag)
{
    if (i->flags & INODE_NEW)
        return (struct store_cond){.kind = STORE_IF_ABSENT};
    if (!etag)
        return (struct store_cond){.kind = STORE_ALWAYS};
    return (struct store_cond){.kind = STORE_IF_MATCH, .etag = etag};
}

static enum err_code shot_take_locked(struct inode *i, struct shot *s, struct err *e)
{
    struct active *a = i->active;
    s->gen = a->gen;
    s->attr_gen = a->attr_gen;
    s->rewrite = active_rewrites(a);
    s->stage = a->stage;
    s->lost = i->flags & INODE_CONFLICT;
    s->brief = a->send_brief;
    s->cancel = cancel_ref(a->send_cancel);
    s->base = i->content ? content_ref(i->content) : NULL;
    s->key = inode_key_dup_locked(i);
    s->etag = i->etag ? strdup(i->etag) : NULL;
    if (!s->key || (i->etag && !s->etag))
        return err_set(e, ERR_NOMEM, "out of memory");
    s->cond = send_condition(i, s->etag);
    s->cond.preferred = s->rewrite;
    return ERR_OK;
}

enum err_code send_meta_locked(struct vfs *v, struct inode *i, struct store_meta **out, struct err *e)
{
    lock_assert_held(&v->tree);
    if (!vfs_has(v, STORE_POSIX)) {
        *out = store_meta_ref(i->meta);
        return ERR_OK;
    }
    struct store_meta *m = store_meta_copy(i->meta);
    if (!m)
        return err_set(e, ERR_NOMEM, "out of memory");
    struct vfs_attr shown;
    attr_fill_locked(v, i, &shown);
    m->mode = shown.st.st_mode;
    m->uid = shown.st.st_uid;
    m->gid = shown.st.st_gid;
    m->mtime = shown.st.st_mtim;
    m->ctime = shown.st.st_ctim;
    m->has |= STORE_HAS_MODE | STORE_HAS_UID | STORE_HAS_GID | STORE_HAS_MTIME | STORE_HAS_CTIME;
    store_meta_drop_sums(m);
    *out = m;
    return ERR_OK;
}

static enum err_code put(struct vfs *v, const struct shot *s, const char *key, const struct store_cond *cond,
                         struct store_version *out, struct err *e)
{
    struct upload u = {.key = key, .stage = s->stage, .meta = s->meta, .cond = *cond, .cancel = s->cancel, .base = s->base, .brief = s->brief};
    if (strcmp(key, s->key) == 0) {
        u.base_etag = s->etag;
        u.early = s->early;
    }
    return upload_put(v, &u, out, e);
}

/* Neither sent nor failed: all of it is tried again. */
static bool is_put_off(enum err_code code)
{
    return code == ERR_CANCELED || code == ERR_AGAIN;
}

/* The local bytes beside the newer object. A name that is taken already is that of another conflict of the same second. */
static enum err_code put_conflict(struct vfs *v, const struct inode *i, const struct shot *s, struct err *failure)
{
    if (stage_frozen_size(s->stage) == 0)
        return ERR_OK; /* there is nothing to keep */
    if (!stage_complete(s->stage, true)) /* the version that the rest came from is gone */
        return ERR_CONFLICT;
    struct store_cond absent = {.kind = STORE_IF_ABSENT};
    struct store_version version;
    struct err err = ERR_INIT;
    BUF(key, KEY_BUF_MAX);
    enum err_code code = ERR_CONFLICT;
    for (unsigned attempt = 1; code == ERR_CONFLICT && attempt <= CONFLICT_NAMES; attempt++) {
        buf_clear(&key);
        conflict_key(s->key, attempt, &key);
        code = put(v, s, buf_str(&key), &absent, &version, &err);
    }
    if (is_put_off(code))
        return code;
    if (code) {
        bool named = code != ERR_BAD_NAME; /* else this store has no such names at all */
        err_set(failure, ERR_CONFLICT, "changed by others meanwhile%s%s", named ? ", and beside it: " : "", named ? err.msg : "");
        return code;
    }
    LOG_WARN("vfs", "\"%s\" was changed by others meanwhile (%s): what was written here is \"%s\"", s->key, failure->msg,
             buf_str(&key));
    conflict_note(v, i, buf_str(&key));
    return ERR_OK;
}

/* A store of texts may keep a newline at the end from being stored, or show one that was not written: what the kernel holds of
 * the file is not what others see then. While it is open, a newline that is shown is behind what was written too; one that was
 * taken away stays in the stage, where a program that goes on writing has its offset behind it. */
static void show_as_stored_locked(struct vfs *v, struct inode *i, uint64_t sent, uint64_t shown)
{
    struct stage *s = i->active->stage;
    if (shown == sent)
        return;
    if (shown == sent + 1 && stage_size(s) == sent && stage_write(s, sent, "\n", 1, NULL))
        i->flags |= INODE_STALE;
    if (v->cfg.notify.inode && i->ino)
        v->cfg.notify.inode(v->cfg.notify.arg, i->ino);
}

static void sent_locked(struct vfs *v, struct inode *i, const struct shot *s, const struct store_version *version)
{
    struct active *a = i->active;
    struct store_version now = *version;
    bool same = a->gen == s->gen;
    if (!same) { /* written on meanwhile: what is shown stays */
        now.size = i->size;
        now.mtime = i->mtime;
    }
    if (inode_set_version_locked(v, i, &now, a->attr_gen == s->attr_gen ? s->meta : NULL, NULL))
        i->flags |= INODE_STALE;
    inode_drop_sums_locked(i);
    i->flags &= (uint16_t)~INODE_NEW;
    i->flags |= INODE_OUR_MTIME;
    a->sent_gen = s->gen;
    a->attr_sent_gen = s->attr_gen;
    a->failure.code = ERR_OK;
    if (same) {
        show_as_stored_locked(v, i, s->size, version->size);
        a->wrote = !vfs_has(v, STORE_POSIX);
    }
    if (i->content)
        content_unref(i->content);
    /* What was never fetched, or was given up, is in the new version too. */
    bool lacks = a->stage && (!stage_complete(a->stage, false) || stage_is_away(a->stage));
    i->content = lacks ? content_new(v->contents, s->key, version, NULL) : NULL;
    inode_changed_locked(v, i);
    remember_made_locked(v, i, version);
    if (vfs_has(v, STORE_LIST_CONTENT))
        i->flags |= INODE_STALE;
    view_outdate_locked(v, i);
    for (struct inode *p = i->parent; p; p = p->parent)
        p->flags &= (uint16_t)~INODE_LOCAL;
    v->bytes_sent += version->size;
    send_dirty_locked(v, i);
}

/* Both versions are in the store now; this name belongs to the other one. */
static void conflict_locked(struct vfs *v, struct inode *i, const struct shot *s, const struct err *e)
{
    send_failed_locked(v, i, s->gen, s->attr_gen, e);
    struct active *a = i->active;
    a->sent_gen = s->gen;
    a->attr_sent_gen = s->attr_gen;
    if (i->flags & INODE_LINKED) {
        i->flags |= INODE_CONFLICT;
        dir_unlist_locked(v, i->parent);
        send_dirty_locked(v, i);
        inode_expel_locked(v, i);
    }
}

/* Metadata that were stored when the upload was begun are what is stored. */
static enum err_code shot_meta(struct vfs *v, struct inode *i, struct shot *s, struct err *e)
{
    if (s->early) {
        s->meta = store_meta_ref(early_meta(s->early, &s->attr_gen));
        return ERR_OK;
    }
    LOCK_SCOPE(&v->tree);
    return send_meta_locked(v, i, &s->meta, e);
}

static enum err_code attempt(struct vfs *v, struct inode *i, struct shot *s, struct store_version *version, struct err *e)
{
    struct vfs_caller c = {.cancel = s->cancel};
    enum err_code code = s->lost ? ERR_OK : look_always(v, i, &c, e);
    if (!code)
        code = shot_meta(v, i, s, e);
    if (!code && s->lost)
        code = stage_complete_from(s->stage, s->base, true, s->cancel, e);
    if (!code && s->lost)
        code = err_set(e, ERR_CONFLICT, "\"%s\" is another file now", s->key);
    if (code)
        return code;
    code = put(v, s, s->key, &s->cond, version, e);
    /* A full rewrite replaces whatever is there. It is still put on the condition of what is known first: should this request be
     * executed late, after the next one, it then changes nothing. */
    if (code == ERR_CONFLICT && s->rewrite) {
        struct store_cond always = {.kind = STORE_ALWAYS};
        code = put(v, s, s->key, &always, version, e);
    }
    return code;
}

/* With the stage frozen, until it is not. */
static enum err_code send_frozen(struct vfs *v, struct inode *i, struct shot *s, struct store_version *version, bool *saved,
                                 struct err *e)
{
    s->size = stage_frozen_size(s->stage);
    if (s->early && !upload_by_parts(v, s->size)) /* it shrank */
        early_end(v, i, TAKE(s->early), false);
    enum err_code code = attempt(v, i, s, version, e);
    if (!code)
        stage_put_done(s->stage);
    enum err_code kept = code == ERR_CONFLICT ? put_conflict(v, i, s, e) : code;
    *saved = code == ERR_CONFLICT && !kept;
    if (is_put_off(kept))
        code = kept;
    struct err thaw = ERR_INIT;
    if (stage_thaw(s->stage, &thaw))
        LOG_ERROR("vfs", "staging file of \"%s\": %s", s->key, thaw.msg);
    if (s->early)
        early_end(v, i, TAKE(s->early), !code);
    return code;
}

void send_content(struct vfs *v, struct inode *i)
{
    struct shot s = {0};
    struct err err = ERR_INIT;
    struct store_version version;
    bool saved = false;
    enum err_code code = early_take(v, i, i->active->send_cancel, &s.early, &err);
    lock_take(&v->tree);
    bool gone = !inode_placed(i) || !i->active->stage;
    if (!code)
        code = shot_take_locked(i, &s, &err);
    lock_drop(&v->tree);
    if (!code && !gone)
        code = stage_freeze(s.stage, &err);
    if (s.early && (code || gone))
        early_end(v, i, TAKE(s.early), false);
    if (!code && !gone)
        code = send_frozen(v, i, &s, &version, &saved, &err);
    lock_take(&v->tree);
    if (!code && gone) {
        i->active->sent_gen = s.gen;
        i->active->attr_sent_gen = s.attr_gen;
        send_dirty_locked(v, i);
    } else if (!code) {
        sent_locked(v, i, &s, &version);
    } else if (saved) {
        conflict_locked(v, i, &s, &err);
    } else if (!is_put_off(code)) {
        send_failed_locked(v, i, s.gen, s.attr_gen, &err);
    }
    lock_drop(&v->tree);
    if (!code && !gone)
        stage_come_back(s.stage);
    shot_release(&s);
}
