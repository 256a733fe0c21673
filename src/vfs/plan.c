#include "vfs/plan.h"

#include "util/digest.h"
#include "vfs/stage_use.h"
#include "vfs/upload.h"

#include <stdlib.h>

#define PART_DEFAULT   (8ULL << 20)
#define COPY_MAX       (512ULL << 20)
#define PARTS_PARALLEL 8
/* So many parts of a file that grows have one size. */
#define PARTS_A_SIZE 1000

unsigned plan_parallel(const struct vfs *v)
{
    return v->cfg.upload_parallel ? v->cfg.upload_parallel : PARTS_PARALLEL;
}

void plan_release(struct plan *p)
{
    free(p->parts);
    *p = (struct plan){0};
}

enum err_code plan_add(struct plan *p, uint64_t start, uint64_t size, bool copied, struct err *e)
{
    if (p->n == p->cap) {
        size_t cap = 2 * p->cap + 16;
        struct plan_part *more = reallocarray(p->parts, cap, sizeof(*more));
        if (!more)
            return err_set(e, ERR_NOMEM, "out of memory for %zu parts", p->n);
        p->parts = more;
        p->cap = cap;
    }
    p->parts[p->n] = (struct plan_part){.start = start, .copied = copied, .part = {.number = (unsigned)p->n + 1, .size = size}};
    p->n++;
    return ERR_OK;
}

/* No part but the last may be smaller, so that there are not too many. */
static uint64_t least(const struct store_caps *caps, uint64_t size)
{
    uint64_t parts = caps->max_parts > 1 ? caps->max_parts - 1 : 1, part = (size + parts - 1) / parts;
    part = (part + (1 << 20) - 1) & ~((1ULL << 20) - 1);
    return part > caps->part_min ? part : caps->part_min;
}

static uint64_t usual(const struct store_caps *caps, uint64_t size)
{
    uint64_t part = least(caps, size);
    part = part > PART_DEFAULT ? part : PART_DEFAULT;
    return part < caps->part_max ? part : caps->part_max;
}

enum err_code plan_whole(struct plan *p, const struct store_caps *caps, uint64_t size, struct err *e)
{
    uint64_t each = usual(caps, size);
    enum err_code code = ERR_OK;
    for (uint64_t at = 0; !code && at < size; at += each)
        code = plan_add(p, at, size - at < each ? size - at : each, false, e);
    return code;
}

uint64_t plan_growing_start(const struct store_caps *caps, size_t k)
{
    uint64_t part = PART_DEFAULT > caps->part_min ? PART_DEFAULT : caps->part_min, at = 0;
    for (; k > PARTS_A_SIZE; k -= PARTS_A_SIZE) {
        at += part * PARTS_A_SIZE;
        part *= part * 2 <= caps->part_max ? 2 : 1;
    }
    return at + part * k;
}

/* Whether the bytes at `at` are in the object as they are here, and for how many that holds; 0 at the end. */
static bool in_store(struct stage *s, uint64_t at, uint64_t *len)
{
    uint64_t n;
    enum stage_extent x = stage_extent_at(s, at, true, len);
    if (x == STAGE_BASE || x == STAGE_END)
        return x == STAGE_BASE;
    bool same = stage_same_at(s, at, true, &n);
    *len = same || n < *len ? n : *len;
    return same;
}

/* The end of such bytes that begin at `at`; `at` where there are none. */
static uint64_t base_end(struct stage *s, uint64_t at)
{
    uint64_t len;
    while (in_store(s, at, &len))
        at += len;
    return at;
}

/* Where a part of bytes that begins at `start` ends: before the next range worth copying. */
static uint64_t bytes_end(struct stage *s, uint64_t start, uint64_t part, uint64_t min, uint64_t size)
{
    uint64_t end = size - start < part ? size : start + part, len;
    for (uint64_t at = start; at < end; at += len) {
        if (!in_store(s, at, &len))
            continue;
        uint64_t from = at - start < min ? start + min : at, to = base_end(s, at);
        if (from < end && to > from && (to - from >= min || to == size))
            return from;
        len = to - at;
    }
    return end;
}

static enum err_code add_copies(struct plan *p, uint64_t start, uint64_t end, const struct store_caps *caps, uint64_t min,
                                struct err *e)
{
    uint64_t most = COPY_MAX > 2 * min ? COPY_MAX : 2 * min;
    most = most < caps->part_max ? most : caps->part_max;
    enum err_code code = ERR_OK;
    for (uint64_t n; !code && start < end; start += n) {
        n = end - start < most ? end - start : most;
        if (n < end - start && end - start - n < min) /* the rest must not be too small either */
            n = (end - start) / 2;
        code = plan_add(p, start, n, true, e);
    }
    return code;
}

enum err_code plan_copies(struct plan *p, struct stage *s, const struct store_caps *caps, struct err *e)
{
    uint64_t size = stage_frozen_size(s), min = least(caps, size), part = usual(caps, size);
    enum err_code code = ERR_OK;
    for (uint64_t at = 0, end; !code && at < size; at = end) {
        end = base_end(s, at);
        if (end > at && (end - at >= min || end == size)) {
            code = add_copies(p, at, end, caps, min, e);
        } else {
            end = bytes_end(s, at, part, min, size);
            code = plan_add(p, at, end - at, false, e);
        }
    }
    return code;
}

/* ---- Sending */

struct part_task {
    struct vfs *v;
    const struct upload *u;
    const char *id;
    bool *stop;
    struct plan_part *plan;
    enum err_code code;
    struct err err;
};

uint64_t plan_crc(const struct plan *p)
{
    uint64_t crc = 0;
    for (size_t k = 0; k < p->n; k++)
        crc = crc64nvme_combine(crc, p->parts[k].part.crc64nvme, p->parts[k].part.size);
    return crc;
}

static enum err_code send_bytes(struct part_task *t, struct store_part *part)
{
    const struct upload *u = t->u;
    struct upload_source source = {u->stage, t->plan->start, true};
    uint64_t crc;
    enum err_code code =
        stage_complete_range(u->stage, u->base, source.start, source.start + part->size, true, u->cancel, &t->err);
    if (!code)
        code = upload_crc(&source, part->size, &crc, &t->err);
    if (code)
        return code;
    struct store_body body = {.size = part->size, .read = upload_source_read, .arg = &source, .crc64nvme = &crc};
    struct store_call call = {.cancel = u->cancel};
    code = store_upload_part(t->v->store, u->key, t->id, &body, &call, part, &t->err);
    if (!code)
        part->crc64nvme = crc;
    return code;
}

static void send_part(void *item)
{
    struct part_task *t = item;
    struct store_call call = {.cancel = t->u->cancel};
    struct store_part_source source = {t->u->key, t->u->base_etag, t->plan->start};
    t->code = t->plan->copied ? store_upload_copy(t->v->store, t->u->key, t->id, &source, &call, &t->plan->part, &t->err)
                              : send_bytes(t, &t->plan->part);
    t->plan->done = !t->code;
    if (t->code)
        __atomic_store_n(t->stop, true, __ATOMIC_RELAXED);
}

enum err_code plan_send(struct vfs *v, const struct upload *u, const char *id, struct plan *p, struct err *e)
{
    bool stop = false;
    size_t n = 0;
    CLEANUP(free) struct part_task *tasks = calloc(p->n, sizeof(*tasks));
    if (!tasks)
        return err_set(e, ERR_NOMEM, "out of memory for %zu parts", p->n);
    for (size_t k = 0; k < p->n; k++)
        if (!p->parts[k].done)
            tasks[n++] = (struct part_task){.v = v, .u = u, .id = id, .stop = &stop, .plan = &p->parts[k], .code = ERR_CANCELED};
    pool_each(v->pool, tasks, n, sizeof(*tasks), plan_parallel(v), send_part, &stop);
    for (size_t k = 0; k < n; k++)
        if (tasks[k].code && tasks[k].err.code)
            return err_copy(e, &tasks[k].err);
    for (size_t k = 0; k < n; k++)
        if (tasks[k].code)
            return err_set(e, tasks[k].code, "a part was not sent");
    return ERR_OK;
}
