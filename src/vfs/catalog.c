#include "vfs/catalog.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct part {
    struct chunk *chunk;
    uint64_t first; /* names of the segment before it */
};

struct segment {
    char *end;      /* its places are not behind this key (below the directory's); NULL: to the last */
    struct part *parts;
    size_t n_parts, room;
    uint64_t names;
    uint64_t first; /* names before it, while all segments before it are closed */
    bool closed;
};

struct catalog {
    unsigned refs;
    enum catalog_state state;
    struct segment **segments;
    size_t n, room;
    size_t closed;  /* segments from the first on that are closed */
    uint64_t names, left, bytes;
};

static void segment_free(struct segment *s)
{
    if (!s)
        return;
    for (size_t k = 0; k < s->n_parts; k++)
        chunk_free(s->parts[k].chunk);
    free(s->parts);
    free(s->end);
    free(s);
}

struct catalog *catalog_new(void)
{
    struct catalog *c = calloc(1, sizeof(*c));
    struct segment *s = calloc(1, sizeof(*s));
    struct segment **segments = malloc(sizeof(struct segment *));
    if (!c || !s || !segments) {
        free(c);
        free(s);
        free(segments);
        return NULL;
    }
    segments[0] = s;
    *c = (struct catalog){.refs = 1, .segments = segments, .n = 1, .room = 1};
    return c;
}

struct catalog *catalog_ref(struct catalog *c)
{
    c->refs++;
    return c;
}

void catalog_unref(struct catalog *c)
{
    if (!c || --c->refs > 0)
        return;
    for (size_t k = 0; k < c->n; k++)
        segment_free(c->segments[k]);
    free(c->segments);
    free(c);
}

/* ---- Growing */

struct segment *catalog_first(struct catalog *c)
{
    return c->segments[0];
}

static size_t index_of(const struct catalog *c, const struct segment *s)
{
    size_t k = 0;
    while (c->segments[k] != s)
        k++;
    return k;
}

struct segment *catalog_cut(struct catalog *c, struct segment *s, const char *key)
{
    assert(!s->closed);
    if (c->n == c->room) {
        struct segment **more = realloc(c->segments, 2 * c->room * sizeof(struct segment *));
        if (!more)
            return NULL;
        c->segments = more;
        c->room *= 2;
    }
    struct segment *cut = calloc(1, sizeof(*cut));
    char *end = strdup(key);
    if (!cut || !end) {
        free(cut);
        free(end);
        return NULL;
    }
    cut->end = s->end;
    s->end = end;
    size_t at = index_of(c, s) + 1;
    memmove(&c->segments[at + 1], &c->segments[at], (c->n - at) * sizeof(struct segment *));
    c->segments[at] = cut;
    c->n++;
    return cut;
}

void catalog_join(struct catalog *c, struct segment *s)
{
    size_t at = index_of(c, s);
    assert(at > 0 && s->n_parts == 0 && !c->segments[at - 1]->closed);
    struct segment *before = c->segments[at - 1];
    free(before->end);
    before->end = s->end;
    s->end = NULL;
    segment_free(s);
    memmove(&c->segments[at], &c->segments[at + 1], (c->n - at - 1) * sizeof(struct segment *));
    c->n--;
}

enum err_code catalog_add(struct catalog *c, struct segment *s, struct chunk *names, struct err *e)
{
    assert(!s->closed);
    if (s->n_parts == s->room) {
        size_t room = s->room ? 2 * s->room : 1;
        struct part *more = realloc(s->parts, room * sizeof(*more));
        if (!more) {
            chunk_free(names);
            return err_set(e, ERR_NOMEM, "out of memory for a directory's names");
        }
        s->parts = more;
        s->room = room;
    }
    s->parts[s->n_parts++] = (struct part){names, s->names};
    size_t n = chunk_size(names);
    s->names += n;
    c->names += n;
    c->bytes += chunk_bytes(names);
    for (size_t k = 0; k < n; k++)
        c->left += !chunk_is_taken(names, k);
    return ERR_OK;
}

void catalog_close(struct catalog *c, struct segment *s)
{
    s->closed = true;
    for (; c->closed < c->n && c->segments[c->closed]->closed; c->closed++)
        if (c->closed + 1 < c->n)
            c->segments[c->closed + 1]->first = c->segments[c->closed]->first + c->segments[c->closed]->names;
}

void catalog_end(struct catalog *c, enum catalog_state state)
{
    assert(state != CATALOG_WHOLE || c->closed == c->n);
    c->state = state;
}

enum catalog_state catalog_state(const struct catalog *c)
{
    return c->state;
}

/* ---- Reading */

/* Whether the name's place is behind the key: that of an object `end` is, since the listing of what is up to `end` does not come
 * to it. */
static bool is_behind(const char *name, size_t len, const char *end, size_t end_len)
{
    int c = memcmp(name, end, len < end_len ? len : end_len);
    if (c)
        return c > 0;
    return len >= end_len || '/' > (unsigned char)end[len];
}

/* The segment that the name belongs to: the last one's end is behind everything. */
static size_t segment_of(const struct catalog *c, const char *name, size_t len)
{
    size_t low = 0, high = c->n - 1;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        const char *end = c->segments[mid]->end;
        if (is_behind(name, len, end, strlen(end)))
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

/* The first name of the segment that is not before the place; false: there is none. */
static bool seek_in(struct segment *s, const char *name, size_t len, struct catalog_at *out)
{
    size_t low = 0, high = s->n_parts;
    while (low < high) { /* the first part whose last name is not before it */
        size_t mid = low + (high - low) / 2;
        struct chunk *c = s->parts[mid].chunk;
        if (chunk_compare(c, chunk_size(c) - 1, name, len) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    if (low == s->n_parts)
        return false;
    struct chunk *c = s->parts[low].chunk;
    size_t first = 0, last = chunk_size(c) - 1;
    while (first < last) {
        size_t mid = first + (last - first) / 2;
        if (chunk_compare(c, mid, name, len) < 0)
            first = mid + 1;
        else
            last = mid;
    }
    *out = (struct catalog_at){.chunk = c, .k = first, .segment = s, .chunk_index = low};
    return true;
}

bool catalog_find(const struct catalog *c, const char *name, struct catalog_at *out)
{
    size_t len = strlen(name);
    struct segment *s = c->segments[segment_of(c, name, len)];
    return seek_in(s, name, len, out) && chunk_compare(out->chunk, out->k, name, len) == 0;
}

/* The first name of the segments from that index on. */
static bool first_from(const struct catalog *c, size_t index, struct catalog_at *out)
{
    for (; index < c->n; index++) {
        struct segment *s = c->segments[index];
        if (s->n_parts > 0) {
            *out = (struct catalog_at){.chunk = s->parts[0].chunk, .segment = s};
            return true;
        }
    }
    return false;
}

bool catalog_from(const struct catalog *c, const char *name, struct catalog_at *out)
{
    size_t len = strlen(name), index = segment_of(c, name, len);
    return seek_in(c->segments[index], name, len, out) || first_from(c, index + 1, out);
}

uint64_t catalog_before(const struct catalog *c, const char *name)
{
    struct catalog_at at;
    if (!catalog_from(c, name, &at))
        return c->names;
    return at.segment->first + at.segment->parts[at.chunk_index].first + at.k;
}

uint64_t catalog_ready(const struct catalog *c)
{
    const struct segment *s = c->segments[c->closed < c->n ? c->closed : c->n - 1];
    return s->first + s->names;
}

bool catalog_seek(const struct catalog *c, uint64_t position, struct catalog_at *out)
{
    if (position >= catalog_ready(c))
        return false;
    size_t low = 0, high = c->closed < c->n ? c->closed : c->n - 1;
    while (low < high) { /* the last segment that does not begin behind it */
        size_t mid = high - (high - low) / 2;
        if (c->segments[mid]->first > position)
            high = mid - 1;
        else
            low = mid;
    }
    struct segment *s = c->segments[low];
    position -= s->first;
    size_t first = 0, last = s->n_parts - 1;
    while (first < last) {
        size_t mid = last - (last - first) / 2;
        if (s->parts[mid].first > position)
            last = mid - 1;
        else
            first = mid;
    }
    *out = (struct catalog_at){s->parts[first].chunk, (size_t)(position - s->parts[first].first), s, first};
    return true;
}

bool catalog_next(const struct catalog *c, struct catalog_at *at)
{
    if (at->k + 1 < chunk_size(at->chunk)) {
        at->k++;
        return true;
    }
    struct segment *s = at->segment;
    if (at->chunk_index + 1 < s->n_parts) {
        *at = (struct catalog_at){.chunk = s->parts[at->chunk_index + 1].chunk, .segment = s,
                                  .chunk_index = at->chunk_index + 1};
        return true;
    }
    return first_from(c, index_of(c, s) + 1, at);
}

uint64_t catalog_names(const struct catalog *c)
{
    return c->names;
}

uint64_t catalog_left(const struct catalog *c)
{
    return c->left;
}

uint64_t catalog_bytes(const struct catalog *c)
{
    return c->bytes;
}

void catalog_take(struct catalog *c, const struct catalog_at *at)
{
    assert(!chunk_is_taken(at->chunk, at->k));
    chunk_take(at->chunk, at->k);
    c->left--;
}
