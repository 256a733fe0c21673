/* What could not be uploaded is left behind for its owner: the file with its holes as zeros, and what it was in a
 * second one. */
#include "journal/durable.h"
#include "journal/left_info.h"
#include "journal/stage_impl.h"
#include "util/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define UNFETCHED_MAX 100000
#define ZEROS         65536

static enum err_code write_zeros(struct stage_bytes *b, uint64_t offset, uint64_t len, struct err *e)
{
    static const char zeros[ZEROS];
    for (uint64_t done = 0; done < len;) {
        size_t n = len - done < ZEROS ? (size_t)(len - done) : ZEROS;
        enum err_code code = stage_bytes_write(b, offset + done, zeros, n, e);
        if (code)
            return code;
        done += n;
    }
    return ERR_OK;
}

/* Whatever a failed write left where the map says zeros. */
static enum err_code clear_rest_locked(struct stage *s, struct err *e)
{
    for (uint64_t offset = 0, len; offset < s->live.size; offset += len) {
        enum map_kind kind = stage_map_at(&s->live, offset, &len);
        if (kind == MAP_HELD || stage_bytes_drop(&s->main, offset, len))
            continue;
        enum err_code code = write_zeros(&s->main, offset, len, e);
        if (code && kind != MAP_LOST && kind != MAP_SENT) /* of which the description says that they are not here */
            return code;
    }
    if (ftruncate(s->main.fd, (off_t)s->live.size) != 0)
        return durable_failed(e, errno, "resize", s->path);
    return ERR_OK;
}

static enum err_code settle(struct stage *s, struct err *e)
{
    STAGE_SCOPE(s);
    bool more;
    if (s->is_frozen)
        stage_unfreeze_locked(s);
    enum err_code code = stage_merge_locked(s, UINT64_MAX, &more, e);
    if (code || stage_is_as_lent_locked(s, &s->live))
        return code;
    code = stage_own_locked(s, e);
    return code ? code : clear_rest_locked(s, e);
}

static void add_unfetched(struct buf *b, const struct stage_map *m)
{
    unsigned n = 0, more = 0;
    buf_add_str(b, ",\"unfetched\":[");
    for (uint64_t offset = 0, len; offset < m->size; offset += len) {
        enum map_kind kind = stage_map_at(m, offset, &len);
        if (kind != MAP_BASE && kind != MAP_SENT && kind != MAP_LOST)
            continue;
        if (n == UNFETCHED_MAX)
            more++;
        else
            buf_addf(b, "%s[%llu,%llu]", n++ ? "," : "", (unsigned long long)offset, (unsigned long long)len);
    }
    buf_addf(b, "],\"unfetched_more\":%u", more);
}

static enum err_code write_info(const struct stage *s, const struct stage_about *about, struct err *e)
{
    BUF(info, LEFT_INFO_MAX);
    const uint64_t *bytes = s->live.bytes;
    struct stage_about what = *about;
    if (bytes[MAP_LOST] > 0 || (bytes[MAP_SENT] > 0 && !about->upload_id)) /* no version has them */
        what.origin = STAGE_OF_UNKNOWN;
    left_info_begin(&info, &what, s->live.size);
    buf_addf(&info, ",\"unfetched_bytes\":%llu", (unsigned long long)(bytes[MAP_BASE] + bytes[MAP_SENT] + bytes[MAP_LOST]));
    add_unfetched(&info, &s->live);
    return left_info_put(&info, s->path, e);
}

enum err_code stage_abandon(struct stage *s, const struct stage_about *about, char *path, size_t path_size, struct err *e)
{
    CLEANUP(stage_free) struct stage *owned = s;
    if (!s->path)
        return err_set(e, ERR_UNSUPPORTED, "what is staged in memory is not left on a disk");
    enum err_code code = settle(s, e);
    if (!code && fsync(s->main.fd) != 0)
        code = durable_failed(e, errno, "sync", s->path);
    struct err why = ERR_INIT;
    if (!code && write_info(s, about, &why))
        LOG_WARN("journal", "no description beside %s: %s", s->path, why.msg);
    size_t len = strlen(s->path);
    if (path_size > 0) {
        size_t n = len < path_size ? len : path_size - 1;
        memcpy(path, s->path, n);
        path[n] = '\0';
    }
    free(s->path); /* the name stays on the disk */
    s->path = NULL;
    return code;
}
