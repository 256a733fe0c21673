/* Writing the records of renames. */
#include "journal/renames.h"

#include "journal/renames_file.h"
#include "util/clock.h"
#include "util/digest.h"
#include "util/log.h"
#include "util/str.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define FILE_MAX (1u << 30) /* some five million objects */

/* ---- Encoding */

static void put_u32(uint8_t *at, uint32_t n)
{
    n = htole32(n);
    memcpy(at, &n, sizeof(n));
}

static enum err_code add_frame(struct buf *out, const struct record *r, struct err *e)
{
    BUF(one, RENAMES_FRAME_MAX);
    uint8_t head[RENAMES_HEAD];
    enum err_code code = record_encode(r, &one, e);
    if (code)
        return code;
    put_u32(head, (uint32_t)one.len);
    put_u32(head + 4, crc32c(0, one.data, one.len));
    buf_add(out, head, sizeof(head));
    buf_add(out, one.data, one.len);
    return buf_check(out, "the record of a rename", e);
}

static enum err_code encode(const struct rename_plan *plan, struct buf *out, struct err *e)
{
    const struct timespec *flag = plan->tree && plan->keep_times ? &plan->when : NULL;
    const struct record r = {
        .kind = RECORD_RENAME, .when = plan->when, .key = plan->from, .to = plan->to, .tree = plan->tree, .meta = plan->meta,
        .etag = plan->tree ? NULL : plan->items[0].etag, .size = plan->tree ? plan->n : plan->items[0].size, .mtime = flag,
        .cond = plan->replaced ? RECORD_IF_MATCH : RECORD_IF_ABSENT, .cond_etag = plan->replaced,
    };
    enum err_code code = add_frame(out, &r, e);
    for (size_t k = 0; !code && plan->tree && k < plan->n; k++) {
        const struct rename_item *i = &plan->items[k];
        const struct record m = {.kind = RECORD_MEMBER, .key = i->key, .etag = i->etag, .size = i->size, .mtime = &i->mtime};
        code = add_frame(out, &m, e);
    }
    return code;
}

/* ---- Files */

static struct rename_note *note_new(const char *path, struct err *e)
{
    struct rename_note *n = calloc(1, sizeof(*n));
    if (!n || !(n->path = strdup(path))) {
        free(n);
        (void)err_set(e, ERR_NOMEM, "no memory for the record of a rename");
        return NULL;
    }
    n->fd = -1;
    return n;
}

static enum err_code write_all(int fd, const char *path, const void *p, size_t len, struct err *e)
{
    for (size_t done = 0; done < len;) {
        ssize_t got = write(fd, (const char *)p + done, len - done);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return durable_failed(e, got < 0 ? errno : ENOSPC, "write", path);
        done += (size_t)got;
    }
    return ERR_OK;
}

static char *path_with(const struct rename_note *n, const char *life, const char *suffix)
{
    const char *had = renames_life_in(n->path);
    size_t len = had ? (size_t)(had - n->path) : strlen(n->path) - strlen(strrchr(n->path, '.'));
    return str_printf("%.*s%s%s", (int)len, n->path, life, suffix);
}

static enum err_code name_life(struct rename_note *n, struct err *e)
{
    char life[RENAMES_LIFE];
    if (!renames_life(n->fd, life))
        return durable_failed(e, errno, "look at", n->path);
    char *path = path_with(n, life, RENAMES_SUFFIX);
    if (!path)
        return err_set(e, ERR_NOMEM, "no memory for a path");
    free(n->path);
    n->path = path;
    return ERR_OK;
}

/* From now on it holds after a power loss too. */
static enum err_code keep_as(struct rename_note *n, const char *suffix, struct err *e)
{
    CLEANUP(free) char *path = path_with(n, "", suffix);
    if (!path)
        return err_set(e, ERR_NOMEM, "no memory for a path");
    if (fdatasync(n->fd))
        return durable_failed(e, errno, "sync", n->path);
    if (rename(n->path, path))
        return durable_failed(e, errno, "rename", n->path);
    free(n->path);
    n->path = TAKE(path);
    n->durable = true;
    return durable_sync_parent(n->path, e);
}

/* Under a name of its own until it is whole. The lock goes with the file to its name. */
static enum err_code put_file(struct rename_note *n, const struct buf *bytes, bool durable, struct err *e)
{
    CLEANUP(free) char *tmp = str_printf("%s" DURABLE_SUFFIX, n->path);
    if (!tmp)
        return err_set(e, ERR_NOMEM, "no memory for a path");
    n->durable = durable;
    n->fd = open(tmp, O_RDWR | O_APPEND | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (n->fd < 0)
        return durable_failed(e, errno, "create", tmp);
    enum err_code code = renames_lock(n->fd) ? durable_failed(e, errno, "lock", tmp) : ERR_OK;
    if (!code)
        code = write_all(n->fd, tmp, bytes->data, bytes->len, e);
    if (!code && durable && fdatasync(n->fd))
        code = durable_failed(e, errno, "sync", tmp);
    if (!code && !durable)
        code = name_life(n, e);
    if (!code && rename(tmp, n->path))
        code = durable_failed(e, errno, "rename", tmp);
    if (code)
        (void)unlink(tmp);
    return code || !durable ? code : durable_sync_parent(n->path, e);
}

enum err_code renames_begin(const char *dir, const struct rename_plan *plan, bool durable, struct rename_note **out, struct err *e)
{
    uint8_t random[16];
    char hex[2 * sizeof(random) + 1];
    BUF(bytes, FILE_MAX);
    enum err_code code = encode(plan, &bytes, e);
    if (code)
        return code;
    random_bytes(random, sizeof(random));
    hex_encode(random, sizeof(random), hex);
    CLEANUP(free) char *path = str_printf("%s/%s" RENAMES_SUFFIX, dir, hex);
    struct rename_note *n = path ? note_new(path, e) : NULL;
    if (!n)
        return path ? ERR_NOMEM : err_set(e, ERR_NOMEM, "no memory for a path");
    code = put_file(n, &bytes, durable, e);
    if (code)
        rename_note_end(n);
    else
        *out = n;
    return code;
}

/* One write(): what several threads append does not mix. */
static enum err_code append(struct rename_note *n, const struct record *r, struct err *e)
{
    BUF(bytes, RENAMES_FRAME_MAX + RENAMES_HEAD);
    enum err_code code = add_frame(&bytes, r, e);
    return code ? code : write_all(n->fd, n->path, bytes.data, bytes.len, e);
}

void rename_note_copied(struct rename_note *n, size_t item, const char *etag)
{
    struct err err = ERR_INIT;
    const struct record r = {.kind = RECORD_DONE, .of = item + 1, .how = RECORD_SENT, .version_etag = etag};
    if (append(n, &r, &err))
        LOG_DEBUG("journal", "a copy is not recorded: %s", err.msg);
}

/* By its name: also where the disk is full. */
enum err_code rename_note_undo(struct rename_note *n, struct err *e)
{
    return str_ends(n->path, RENAMES_UNDO) ? ERR_OK : keep_as(n, RENAMES_UNDO, e);
}

void rename_note_failed(struct rename_note *n, const struct err *why, unsigned attempts)
{
    struct err err = ERR_INIT;
    const struct record r = {.kind = RECORD_FAILED, .of = 1, .when = clock_now(), .code = why->code, .text = why->msg, .attempts = attempts};
    enum err_code code = append(n, &r, &err);
    if (!code && renames_life_in(n->path))
        code = keep_as(n, RENAMES_SUFFIX, &err);
    if (code)
        LOG_WARN("journal", "%s does not say why it is still there: %s", n->path, err.msg);
}

const char *rename_note_path(const struct rename_note *n)
{
    return n->path;
}

char *rename_note_take_path(struct rename_note *n)
{
    return TAKE(n->path);
}

void rename_note_leave(struct rename_note *n)
{
    if (!n)
        return;
    close_cleanup(&n->fd);
    free(n->path);
    free(n);
}

void rename_note_end(struct rename_note *n)
{
    struct err err = ERR_INIT;
    if (n && unlink(n->path) && errno != ENOENT)
        LOG_WARN("journal", "the record of a rename that is done stays: %s: %s", n->path, strerrordesc_np(errno));
    else if (n && n->durable && durable_sync_parent(n->path, &err))
        LOG_WARN("journal", "the record of a rename that is done may come back: %s", err.msg);
    rename_note_leave(n);
}
