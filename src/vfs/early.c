#include "vfs/early.h"

#include "util/clock.h"
#include "vfs/inode.h"
#include "vfs/look.h"
#include "vfs/send.h"
#include "vfs/stage_use.h"
#include "vfs/upload.h"

#include <string.h>

#define EARLY_MIN (64ULL << 20)

enum early_state { EARLY_OPENING, EARLY_OPEN, EARLY_FAILED };

struct early_part {
    uint64_t start, size;
    bool done;
    struct store_part part;
};

struct early {
    enum early_state state;
    const struct store_caps *caps;
    struct inode *inode;
    struct stage *stage;
    char *key;
    char id[STORE_ID_SIZE]; /* "" before it was begun */
    struct store_meta *meta;
    uint64_t attr_gen;
    struct early_part *parts; /* the first of the file, in order */
    size_t n, cap;
    size_t away;   /* parts looked at for their local bytes */
    unsigned refs;    /* the inode's or who took it, and each task's */
    unsigned busy;    /* tasks that wait for a thread or are under way */
    unsigned running; /* tasks, and those who make room, under way */
    bool taken;       /* tasks that come to run now do nothing: whoever took it does not wait for threads, which may all do as he does */
    struct cancel *cancel;
};

static void early_unref_locked(struct early *early)
{
    if (--early->refs > 0)
        return;
    store_meta_unref(early->meta);
    cancel_unref(early->cancel);
    free(early->parts);
    free(early->key);
    free(early);
}

const char *early_id(const struct early *early)
{
    return early->id;
}

struct store_meta *early_meta(const struct early *early, uint64_t *attr_gen)
{
    *attr_gen = early->attr_gen;
    return early->meta;
}

/* ---- Tasks */

struct early_task {
    struct vfs *v;
    struct early *early;
    size_t k; /* of the part */
};

static void go_on_locked(struct vfs *v, struct early *early);

/* The inode stays open as long as a task is under way. */
static bool submit_locked(struct vfs *v, struct early *early, void (*fn)(void *arg), size_t k)
{
    struct early_task *t = malloc(sizeof(*t));
    if (!t)
        return false;
    *t = (struct early_task){v, early, k};
    if (pool_submit(v->pool, fn, t, NULL)) {
        free(t);
        return false;
    }
    /* The task waits for this lock before it gives these back. */
    inode_ref_locked(early->inode);
    early->inode->active->opens++;
    early->refs++;
    early->busy++;
    v->background++;
    return true;
}

static bool task_begin_locked(struct early *early)
{
    early->running += !early->taken;
    return !early->taken;
}

static void task_end_locked(struct vfs *v, struct early *early, bool ran)
{
    struct inode *i = early->inode;
    early->busy--;
    early->running -= ran;
    if (i->active->early == early && !early->taken)
        go_on_locked(v, early);
    early_unref_locked(early);
    stage_unpin_locked(v, i);
    inode_unref_locked(v, i);
    v->background--;
    cond_broadcast(&v->changed);
}

static void fail_locked(struct early *early, const struct err *e)
{
    if (early->state != EARLY_FAILED)
        LOG_INFO("vfs", "\"%s\" is not sent before it is closed: %s", early->key, e->msg);
    early->state = EARLY_FAILED;
}

static enum err_code part_send(struct early_task *t, const struct early_part *p, struct store_part *part, struct err *e)
{
    struct early *early = t->early;
    struct upload_source source = {early->stage, p->start, false};
    uint64_t crc;
    enum err_code code = upload_crc(&source, p->size, &crc, e);
    if (code)
        return code;
    struct store_body body = {.size = p->size, .read = upload_source_read, .arg = &source, .crc64nvme = &crc};
    struct store_call call = {.cancel = early->cancel};
    code = store_upload_part(t->v->store, early->key, early->id, &body, &call, part, e);
    if (!code)
        part->crc64nvme = crc;
    return code;
}

/* What was changed while it was sent fails, or is sent again later: neither is a failure of the upload. */
static void part_run(void *arg)
{
    CLEANUP(free) struct early_task *t = arg;
    struct early *early = t->early;
    struct err err = ERR_INIT;
    lock_take(&t->v->tree);
    bool runs = task_begin_locked(early), stop = !runs || early->state == EARLY_FAILED;
    struct early_part p = early->parts[t->k];
    lock_drop(&t->v->tree);
    struct store_part part = {.number = (unsigned)t->k + 1, .size = p.size};
    enum err_code code = stop ? ERR_CANCELED : part_send(t, &p, &part, &err);
    bool touched = code && !stop && stage_touched(early->stage, p.start, false);
    LOCK_SCOPE(&t->v->tree);
    if (!code) {
        early->parts[t->k].part = part;
        early->parts[t->k].done = true;
    } else if (!stop && !touched) {
        fail_locked(early, &err);
    }
    task_end_locked(t->v, early, runs);
}

static enum err_code begin(struct vfs *v, struct early *early, struct err *e)
{
    struct vfs_caller c = {.cancel = early->cancel};
    enum err_code code = look_always(v, early->inode, &c, e);
    if (code)
        return code;
    char id[STORE_ID_SIZE] = "";
    lock_take(&v->tree);
    early->attr_gen = early->inode->active->attr_gen;
    code = send_meta_locked(v, early->inode, &early->meta, e);
    lock_drop(&v->tree);
    if (!code)
        code = upload_begin(v, early->key, early->meta, NULL, early->cancel, id, e);
    if (code)
        return code;
    LOCK_SCOPE(&v->tree);
    memcpy(early->id, id, sizeof(id));
    return ERR_OK;
}

static void begin_run(void *arg)
{
    CLEANUP(free) struct early_task *t = arg;
    struct err err = ERR_INIT;
    lock_take(&t->v->tree);
    bool runs = task_begin_locked(t->early);
    lock_drop(&t->v->tree);
    enum err_code code = runs ? begin(t->v, t->early, &err) : ERR_OK;
    LOCK_SCOPE(&t->v->tree);
    if (code)
        fail_locked(t->early, &err);
    else if (runs)
        t->early->state = EARLY_OPEN;
    task_end_locked(t->v, t->early, runs);
}

/* ---- Beginning, going on */

/* It still is the file, under that name. */
static bool fits_locked(const struct vfs *v, const struct early *early)
{
    const struct inode *i = early->inode;
    return (i->flags & INODE_LINKED) && !(i->flags & (INODE_CONFLICT | INODE_LOCAL)) && !v->closing &&
           inode_key_is_locked(i, early->key);
}

static bool room_for_a_part(struct early *early)
{
    if (early->n < early->cap)
        return true;
    size_t cap = 2 * early->cap + 16;
    struct early_part *more = reallocarray(early->parts, cap, sizeof(*more));
    if (!more)
        return false;
    early->parts = more;
    early->cap = cap;
    return true;
}

static void go_on_locked(struct vfs *v, struct early *early)
{
    const struct active *a = early->inode->active;
    while (early->state == EARLY_OPEN && early->busy < plan_parallel(v) && early->n < v->caps->max_parts) {
        uint64_t start = plan_growing_start(v->caps, early->n), end = plan_growing_start(v->caps, early->n + 1);
        if (a->in_order < end || a->in_order == ACTIVE_UNORDERED || !fits_locked(v, early) || !room_for_a_part(early) ||
            stage_watch(early->stage, start, end - start, NULL))
            return;
        early->parts[early->n++] = (struct early_part){.start = start, .size = end - start};
        if (!submit_locked(v, early, part_run, early->n - 1))
            return; /* it is sent with the rest */
    }
}

static void start_locked(struct vfs *v, struct inode *i)
{
    struct active *a = i->active;
    bool possible = vfs_has(v, STORE_MULTIPART) && !vfs_has(v, STORE_SECRET) && (i->flags & INODE_LINKED) &&
                    !(i->flags & (INODE_CONFLICT | INODE_LOCAL)) && !a->sending;
    struct early *early = possible ? calloc(1, sizeof(*early)) : NULL;
    if (!early)
        return;
    early->refs = 1;
    early->caps = v->caps;
    early->inode = i;
    early->stage = a->stage;
    early->key = inode_key_dup_locked(i);
    early->cancel = cancel_new();
    if (!early->key || !early->cancel || !submit_locked(v, early, begin_run, 0)) {
        early_unref_locked(early);
        return;
    }
    a->early = early;
}

bool early_asks(uint64_t offset, uint64_t len)
{
    return (offset >> 22) != ((offset + len) >> 22);
}

void early_wrote_locked(struct vfs *v, struct inode *i, uint64_t offset, uint64_t len, bool full)
{
    lock_assert_held(&v->tree);
    struct active *a = i->active;
    if (offset != a->in_order || a->in_order == ACTIVE_UNORDERED)
        return;
    a->in_order += len;
    if (a->early) {
        go_on_locked(v, a->early);
    } else if ((a->in_order >= EARLY_MIN || full) && !a->early_tried) {
        a->early_tried = true;
        start_locked(v, i);
    }
}

/* ---- A full disk */

/* The local bytes of parts that are done go. Drops the lock. */
static bool send_away_locked(struct vfs *v, struct early *early)
{
    bool made = false;
    early->running++;
    while (!made && early->away < early->n && early->parts[early->away].done) {
        uint64_t start = early->parts[early->away++].start;
        lock_drop(&v->tree);
        made = stage_send_away(early->stage, start);
        lock_take(&v->tree);
    }
    early->running--;
    cond_broadcast(&v->changed);
    return made;
}

enum err_code early_make_room(struct vfs *v, struct inode *i, const struct vfs_caller *c, bool *made, struct err *e)
{
    *made = false;
    LOCK_SCOPE(&v->tree);
    struct active *a = i->active;
    for (;;) {
        struct early *early = a->early;
        if (!early || early->taken || early->state == EARLY_FAILED || !fits_locked(v, early))
            return ERR_OK;
        if (c->nowait)
            return ERR_AGAIN;
        go_on_locked(v, early);
        *made = send_away_locked(v, early);
        if (*made || early->busy == 0)
            return ERR_OK;
        enum err_code code = wait_changed_locked(v, c, e);
        if (code)
            return code;
    }
}

/* ---- The put */

enum err_code early_take(struct vfs *v, struct inode *i, struct cancel *cancel, struct early **out, struct err *e)
{
    *out = NULL;
    LOCK_SCOPE(&v->tree);
    struct active *a = i->active;
    struct early *early = a->early;
    a->in_order = ACTIVE_UNORDERED;
    if (!early)
        return ERR_OK;
    early->taken = true;
    while (early->running > 0) {
        if (cancel && cancel_fired(cancel))
            cancel_fire(early->cancel);
        cond_wait(&v->changed, &v->tree, clock_mono_ms() + 100);
    }
    bool away = stage_is_away(early->stage);
    if (away && !fits_locked(v, early)) {
        early->taken = false;
        return err_set(e, ERR_BUSY, "\"%s\" has another name now, and bytes of it are only in an upload of the old one", early->key);
    }
    a->early = NULL;
    if (away || (early->state == EARLY_OPEN && fits_locked(v, early)))
        *out = early;
    else
        early_drop_locked(v, early);
    return ERR_OK;
}

void early_end(struct vfs *v, struct inode *i, struct early *early, bool put)
{
    if (put && v->uploads)
        uploads_remove(v->uploads, early->id);
    LOCK_SCOPE(&v->tree);
    if (put) {
        stage_unwatch(early->stage);
        early_unref_locked(early);
    } else if (stage_is_away(early->stage)) {
        early->taken = false;
        i->active->early = early;
    } else {
        early_drop_locked(v, early);
    }
}

void early_drop_locked(struct vfs *v, struct early *early)
{
    lock_assert_held(&v->tree);
    if (stage_is_away(early->stage)) {
        LOG_ERROR("vfs", "\"%s\": bytes of it are only in its upload %s, which stays: see awsfs journal list", early->key, early->id);
        left_keep_locked(v, early->key, early->id);
    } else if (early->id[0]) {
        left_abort_locked(v, early->key, early->id);
    }
    early->taken = true;
    stage_unwatch(early->stage);
    early_unref_locked(early);
}

static bool is_away(const struct early *early, size_t k)
{
    uint64_t len;
    return stage_extent_at(early->stage, early->parts[k].start, false, &len) == STAGE_SENT;
}

void early_describe_locked(const struct early *early, struct stage_about *about)
{
    size_t n = early->n;
    while (n > 0 && !is_away(early, n - 1))
        n--;
    struct stage_sent *sent = n ? calloc(1, n * (sizeof(*sent) + STORE_ETAG_SIZE) + STORE_ID_SIZE) : NULL;
    if (!sent)
        return;
    char *text = (char *)(sent + n);
    for (size_t k = 0; k < n; k++) {
        const struct early_part *p = &early->parts[k];
        sent[k] = (struct stage_sent){.start = p->start, .size = p->size, .crc64nvme = p->part.crc64nvme};
        if (is_away(early, k))
            sent[k].etag = memcpy(text, p->part.etag, STORE_ETAG_SIZE);
        text += STORE_ETAG_SIZE;
    }
    about->upload_id = memcpy(text, early->id, STORE_ID_SIZE);
    about->sent = sent;
    about->n_sent = n;
}

enum err_code early_plan(struct early *early, struct plan *p, uint64_t size, struct err *e)
{
    enum err_code code = ERR_OK;
    for (size_t k = 0; !code; k++) {
        uint64_t start = plan_growing_start(early->caps, k), end = plan_growing_start(early->caps, k + 1);
        if (start >= size)
            break;
        code = plan_add(p, start, (end < size ? end : size) - start, false, e);
        bool sent = !code && k < early->n && early->parts[k].done && end <= size;
        if (sent && !stage_touched(early->stage, start, true)) {
            p->parts[k].done = true;
            p->parts[k].part = early->parts[k].part;
        }
    }
    return code;
}
