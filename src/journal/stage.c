#include "journal/stage_impl.h"
#include "journal/stage_pool.h"

#include <assert.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

static enum err_code start(struct stage *s, const char *dir, uint64_t base_size, struct err *e)
{
    enum err_code code = stage_map_reserve(&s->live, 1, e);
    if (code)
        return code;
    if (base_size)
        stage_map_set(&s->live, 0, base_size, MAP_BASE);
    if (!dir)
        return ERR_OK;
    stage_same_all(&s->same, base_size);
    s->dir = strdup(dir);
    if (!s->dir)
        return err_set(e, ERR_NOMEM, "no memory for a staging file");
    return s->pool ? stage_pool_take(s->pool, &s->main, &s->path, e) : stage_bytes_create(&s->main, dir, &s->path, e);
}

static struct stage *make(const char *dir, struct stage_pool *pool, uint64_t base_size, uint64_t size_max, struct err *e)
{
    if (base_size > size_max) {
        (void)err_set(e, ERR_TOO_BIG, "%llu bytes are more than may be staged", (unsigned long long)base_size);
        return NULL;
    }
    struct stage *s = calloc(1, sizeof(*s));
    if (!s) {
        (void)err_set(e, ERR_NOMEM, "no memory for a staging file");
        return NULL;
    }
    s->size_max = size_max;
    s->pool = pool;
    stage_bytes_in_memory(&s->main);
    stage_bytes_in_memory(&s->over);
    stage_sums_init(&s->sums);
    stage_same_init(&s->same);
    stage_same_init(&s->same_frozen);
    stage_same_init(&s->same_since);
    lock_init(&s->lock, "stage", LOCK_STAGE);
    lock_init(&s->map_lock, "stage map", LOCK_LEAF);
    cond_init(&s->arrived);
    if (start(s, dir, base_size, e)) {
        stage_free(s);
        return NULL;
    }
    return s;
}

struct stage *stage_new(const char *dir, uint64_t base_size, uint64_t memory_max, struct err *e)
{
    return make(dir, NULL, base_size, dir ? INT64_MAX : memory_max, e);
}

struct stage *stage_new_in(struct stage_pool *pool, uint64_t base_size, struct err *e)
{
    return make(stage_pool_dir(pool), pool, base_size, INT64_MAX, e);
}

const char *stage_path(const struct stage *s)
{
    return s->path;
}

int stage_reopen(struct stage *s)
{
    LOCK_SCOPE(&s->lock);
    int fd = s->path ? open(s->path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC) : -1;
    s->reopened = s->reopened || fd >= 0;
    return fd;
}

/* Who else has the file, by a name or a descriptor, keeps it as it is. */
static void leave_file(struct stage *s)
{
    if (s->path && s->pool && !s->lent && !s->reopened)
        stage_pool_give(s->pool, &s->main, TAKE(s->path));
    else if (s->path)
        unlink(s->path);
}

void stage_free(struct stage *s)
{
    if (!s)
        return;
    leave_file(s);
    stage_bytes_release(&s->main);
    stage_bytes_release(&s->over);
    stage_map_release(&s->live);
    stage_map_release(&s->frozen);
    free(s->parts);
    free(s->sums.whole);
    stage_same_release(&s->same);
    stage_same_release(&s->same_frozen);
    stage_same_release(&s->same_since);
    cond_release(&s->arrived);
    lock_release(&s->map_lock);
    lock_release(&s->lock);
    free(s->dir);
    free(s->path);
    free(s);
}

/* ---- Changes */

static enum err_code reserve_locked(struct stage *s, size_t changes, struct err *e)
{
    lock_assert_held(&s->lock);
    LOCK_SCOPE(&s->map_lock);
    return stage_map_reserve(&s->live, changes, e);
}

static void set_live_locked(struct stage *s, uint64_t offset, uint64_t len, enum map_kind kind)
{
    lock_assert_held(&s->lock);
    LOCK_SCOPE(&s->map_lock);
    stage_map_set(&s->live, offset, len, kind);
}

static bool main_changes_locked(const struct stage *s)
{
    lock_assert_held(&s->lock);
    return !s->is_frozen && !s->lent;
}

static enum err_code open_overlay_locked(struct stage *s, struct err *e)
{
    lock_assert_held(&s->lock);
    if (s->over_open)
        return ERR_OK;
    if (s->dir) {
        enum err_code code = stage_bytes_create_unnamed(&s->over, s->dir, e);
        if (code)
            return code;
    }
    s->over_open = true;
    return ERR_OK;
}

/* Whoever reads of a full disk must learn which. */
static enum err_code not_written(const struct stage *s, enum err_code code, struct err *e)
{
    return s->dir ? err_prefix(e, code, "%s", s->dir) : code;
}

/* Writes those pieces of the range that are of the kind `own` (which have their place on the disk), or those that are
 * not. */
static enum err_code write_pieces_locked(struct stage *s, struct stage_bytes *to, enum map_kind own, bool which,
                                         uint64_t offset, const char *p, size_t len, struct err *e)
{
    for (size_t done = 0; done < len;) {
        uint64_t piece;
        bool is_own = stage_map_at(&s->live, offset + done, &piece) == own;
        if (piece == 0 || piece > len - done)
            piece = len - done;
        if (is_own == which) {
            enum err_code code = stage_bytes_write(to, offset + done, p + done, (size_t)piece, e);
            if (code)
                return not_written(s, code, e);
        }
        done += piece;
    }
    return ERR_OK;
}

/* The space of a write that failed goes back. */
static void drop_pieces_locked(struct stage *s, struct stage_bytes *of, enum map_kind own, uint64_t offset,
                               uint64_t len)
{
    for (uint64_t done = 0, piece; done < len; done += piece) {
        enum map_kind kind = stage_map_at(&s->live, offset + done, &piece);
        if (piece == 0 || piece > len - done)
            piece = len - done;
        if (kind != own)
            (void)stage_bytes_drop(of, offset + done, piece);
    }
}

/* What needs new space is written first: while that can fail, nothing that counts has changed. */
static enum err_code write_locked(struct stage *s, uint64_t offset, const void *p, size_t len, struct err *e)
{
    lock_assert_held(&s->lock);
    if (len == 0)
        return ERR_OK;
    if (offset > s->size_max || len > s->size_max - offset)
        return err_set(e, ERR_TOO_BIG, "larger than may be staged");
    enum err_code code = stage_check_whole_locked(s, e);
    if (!code)
        code = stage_check_here_locked(s, offset, offset + len, e);
    if (!code)
        code = reserve_locked(s, 1, e);
    if (!code)
        code = s->is_frozen ? open_overlay_locked(s, e) : stage_own_locked(s, e);
    if (code)
        return code;
    enum map_kind own = s->is_frozen ? MAP_OVER : MAP_HELD;
    struct stage_bytes *to = s->is_frozen ? &s->over : &s->main;
    code = write_pieces_locked(s, to, own, false, offset, p, len, e);
    if (!code)
        code = write_pieces_locked(s, to, own, true, offset, p, len, e);
    stage_sums_wrote_locked(s, offset, code ? NULL : p, len);
    stage_touch_locked(s, offset, offset + len);
    if (code)
        drop_pieces_locked(s, to, own, offset, len);
    else
        set_live_locked(s, offset, len, own);
    return code;
}

enum err_code stage_write(struct stage *s, uint64_t offset, const void *p, size_t len, struct err *e)
{
    STAGE_SCOPE(s);
    return write_locked(s, offset, p, len, e);
}

enum err_code stage_append(struct stage *s, const void *p, size_t len, uint64_t *offset, struct err *e)
{
    STAGE_SCOPE(s);
    uint64_t at = s->live.size;
    enum err_code code = write_locked(s, at, p, len, e);
    if (!code)
        *offset = at;
    return code;
}

enum err_code stage_truncate(struct stage *s, uint64_t size, struct err *e)
{
    if (size > s->size_max)
        return err_set(e, ERR_TOO_BIG, "larger than may be staged");
    STAGE_SCOPE(s);
    bool shrinks = size < s->live.size;
    enum err_code code = shrinks && size > 0 ? stage_check_here_locked(s, size, s->live.size, e) : ERR_OK;
    if (!code)
        code = reserve_locked(s, 1, e);
    if (code)
        return code;
    stage_sums_cut_locked(s, size);
    stage_touch_locked(s, size, UINT64_MAX);
    lock_take(&s->map_lock);
    stage_map_resize(&s->live, size);
    lock_drop(&s->map_lock);
    if (!shrinks)
        return ERR_OK;
    if (s->is_frozen)
        s->low = size < s->low ? size : s->low;
    else if (!s->lent)
        stage_bytes_cut(&s->main, size);
    if (s->over_open)
        stage_bytes_cut(&s->over, size);
    return ERR_OK;
}

static void grow_locked(struct stage *s, uint64_t size)
{
    lock_assert_held(&s->lock);
    LOCK_SCOPE(&s->map_lock);
    if (size > s->live.size)
        stage_map_resize(&s->live, size);
}

/* The frozen state keeps its bytes: then only what the overlay has of the range goes. */
enum err_code stage_zero(struct stage *s, uint64_t offset, uint64_t len, bool grow, struct err *e)
{
    if (offset > s->size_max || len > s->size_max - offset)
        return err_set(e, ERR_TOO_BIG, "larger than may be staged");
    STAGE_SCOPE(s);
    enum err_code code = stage_check_here_locked(s, offset, offset + len, e);
    if (!code)
        code = reserve_locked(s, 2, e);
    if (code)
        return code;
    stage_sums_wrote_locked(s, offset, NULL, len);
    stage_touch_locked(s, offset, offset + len);
    uint64_t inside = offset >= s->live.size ? 0 : s->live.size - offset < len ? s->live.size - offset : len;
    if (inside) {
        set_live_locked(s, offset, inside, MAP_HOLE);
        if (main_changes_locked(s))
            (void)stage_bytes_drop(&s->main, offset, inside);
        if (s->over_open)
            (void)stage_bytes_drop(&s->over, offset, inside);
    }
    if (grow)
        grow_locked(s, offset + len);
    return ERR_OK;
}

enum err_code stage_reserve(struct stage *s, uint64_t offset, uint64_t len, bool grow, struct err *e)
{
    if (offset > s->size_max || len > s->size_max - offset)
        return err_set(e, ERR_TOO_BIG, "larger than may be staged");
    STAGE_SCOPE(s);
    enum err_code code = reserve_locked(s, 1, e);
    if (!code && !s->is_frozen)
        code = stage_own_locked(s, e);
    if (!code && !s->lent)
        code = stage_bytes_reserve(&s->main, offset, len, e);
    if (code)
        return not_written(s, code, e);
    if (grow)
        grow_locked(s, offset + len);
    return ERR_OK;
}

static bool rebase_locked(struct stage *s, uint64_t base_size)
{
    lock_assert_held(&s->lock);
    LOCK_SCOPE(&s->map_lock);
    if (!main_changes_locked(s) || s->live.size > 0 || stage_map_reserve(&s->live, 1, NULL))
        return false;
    stage_map_set(&s->live, 0, base_size, MAP_BASE);
    if (s->dir)
        stage_same_all(&s->same, base_size);
    return true;
}

/* What arrives has a size already: nothing is waited for. */
bool stage_rebase(struct stage *s, uint64_t base_size)
{
    LOCK_SCOPE(&s->lock);
    return base_size > 0 && base_size <= s->size_max && rebase_locked(s, base_size);
}

/* ---- Base bytes that arrive */

/* Marks what is BASE in [offset, offset + len) as held; the bytes are in the main file. */
static enum err_code hold_base_locked(struct stage_map *m, uint64_t offset, uint64_t len, struct err *e)
{
    for (uint64_t done = 0, piece; done < len; done += piece) {
        enum map_kind kind = stage_map_at(m, offset + done, &piece);
        if (kind == MAP_KINDS)
            break;
        piece = piece < len - done ? piece : len - done;
        if (kind != MAP_BASE)
            continue;
        enum err_code code = stage_map_reserve(m, 1, e);
        if (code)
            return code;
        stage_map_set(m, offset + done, piece, MAP_HELD);
    }
    return ERR_OK;
}

static enum err_code fill_piece_locked(struct stage *s, uint64_t offset, const char *p, size_t len, struct err *e)
{
    assert(!s->lent); /* nothing was missing then */
    enum err_code code = stage_bytes_write(&s->main, offset, p, len, e);
    if (code)
        return not_written(s, code, e);
    LOCK_SCOPE(&s->map_lock);
    code = hold_base_locked(&s->live, offset, len, e);
    if (!code && s->is_frozen)
        code = hold_base_locked(&s->frozen, offset, len, e);
    return code;
}

/* What is BASE now was so at the freeze: the frozen map knows of every piece that is still wanted. */
enum err_code stage_fill(struct stage *s, uint64_t offset, const void *p, size_t len, struct err *e)
{
    STAGE_SCOPE(s);
    const struct stage_map *m = s->is_frozen ? &s->frozen : &s->live;
    for (size_t done = 0; done < len;) {
        uint64_t piece;
        enum map_kind kind = stage_map_at(m, offset + done, &piece);
        if (kind == MAP_KINDS)
            break;
        piece = piece < len - done ? piece : len - done;
        if (kind == MAP_BASE) {
            enum err_code code = fill_piece_locked(s, offset + done, (const char *)p + done, (size_t)piece, e);
            if (code)
                return code;
        }
        done += piece;
    }
    return ERR_OK;
}

/* ---- Questions */

uint64_t stage_size(struct stage *s)
{
    LOCK_SCOPE(&s->map_lock);
    return s->live.size;
}

uint64_t stage_disk_room(const struct stage *s)
{
    struct statvfs st;
    return s->dir && fstatvfs(s->main.fd, &st) == 0 ? (uint64_t)st.f_bavail * st.f_frsize : UINT64_MAX;
}

uint64_t stage_frozen_size(struct stage *s)
{
    LOCK_SCOPE(&s->map_lock);
    assert(s->is_frozen);
    return s->frozen.size;
}

uint64_t stage_local_bytes(struct stage *s)
{
    LOCK_SCOPE(&s->map_lock);
    return (s->is_frozen ? s->frozen.bytes[MAP_HELD] : s->live.bytes[MAP_HELD]) + s->live.bytes[MAP_OVER];
}

static const struct stage_map *map_of(const struct stage *s, bool frozen)
{
    assert(!frozen || s->is_frozen);
    return frozen ? &s->frozen : &s->live;
}

enum stage_extent stage_extent_at(struct stage *s, uint64_t offset, bool frozen, uint64_t *len)
{
    LOCK_SCOPE(&s->map_lock);
    switch (stage_map_at(map_of(s, frozen), offset, len)) {
    case MAP_HELD:
    case MAP_OVER:
    case MAP_LOST:
        return STAGE_HELD;
    case MAP_BASE:
        return STAGE_BASE;
    case MAP_HOLE:
        return STAGE_HOLE;
    case MAP_SENT:
        return STAGE_SENT;
    default:
        return STAGE_END;
    }
}

bool stage_complete(struct stage *s, bool frozen)
{
    LOCK_SCOPE(&s->map_lock);
    return map_of(s, frozen)->bytes[MAP_BASE] == 0;
}

static enum err_code read_piece_locked(struct stage *s, enum map_kind kind, uint64_t offset, char *buf, size_t len,
                                       struct err *e)
{
    switch (kind) {
    case MAP_HELD:
        return stage_bytes_read(&s->main, offset, buf, len, e);
    case MAP_OVER:
        return stage_bytes_read(&s->over, offset, buf, len, e);
    case MAP_HOLE:
        memset(buf, 0, len);
        return ERR_OK;
    case MAP_SENT:
        return err_set(e, ERR_BUSY, "these bytes are in an upload that is under way: there was no space to keep them here");
    case MAP_LOST:
        return err_set(e, ERR_IO, "the disk did not take these bytes");
    default:
        return ERR_OK;
    }
}

enum err_code stage_read(struct stage *s, uint64_t offset, void *buf, size_t len, bool frozen, size_t *out,
                         struct err *e)
{
    STAGE_SCOPE(s);
    const struct stage_map *m = map_of(s, frozen);
    size_t done = 0;
    while (done < len) {
        uint64_t piece;
        enum map_kind kind = stage_map_at(m, offset + done, &piece);
        if (kind == MAP_KINDS)
            break;
        piece = piece < len - done ? piece : len - done;
        enum err_code code = read_piece_locked(s, kind, offset + done, (char *)buf + done, (size_t)piece, e);
        if (code)
            return code;
        done += (size_t)piece;
    }
    *out = done;
    return ERR_OK;
}

/* HELD bytes of the frozen state lie still in the main file; those of the live one are where the map says when it is asked. */
enum err_code stage_read_sending(struct stage *s, uint64_t offset, void *buf, size_t len, bool frozen, size_t *out,
                                 struct err *e)
{
    uint64_t piece;
    lock_take(&s->map_lock);
    bool held = s->dir && stage_map_at(map_of(s, frozen), offset, &piece) == MAP_HELD && piece >= len &&
                (!s->arriving || offset + len <= s->arriving_at);
    lock_drop(&s->map_lock);
    if (!held)
        return stage_read(s, offset, buf, len, frozen, out, e);
    enum err_code code = stage_bytes_read(&s->main, offset, buf, len, e);
    if (!code)
        *out = len;
    return code;
}
