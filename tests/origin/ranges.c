#include "ranges.h"

#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "map.h"
#include "request.h"

struct range {
    uint64_t offset;
    uint64_t length;
    json_int_t times;
};

/* Those of one object, by offset, then length; each once. */
struct list {
    size_t count, room;
    struct range *ranges;
};

static void list_free(void *value)
{
    struct list *l = value;

    free(l->ranges);
    free(l);
}

void ranges_init(struct ranges *r)
{
    r->by_target = map_new(list_free);
    r->repeated = 0;
}

void ranges_release(struct ranges *r)
{
    map_free(r->by_target);
    r->by_target = NULL;
}

void ranges_reset(struct ranges *r)
{
    ranges_release(r);
    ranges_init(r);
}

/* The place of the range, or where it would be. */
static size_t place_of(const struct list *l, uint64_t offset, uint64_t length)
{
    size_t low = 0, high = l->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct range *at = &l->ranges[middle];

        if (at->offset < offset || (at->offset == offset && at->length < length))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void ranges_add(struct ranges *r, const char *target, uint64_t offset, uint64_t length)
{
    struct list *l = map_get(r->by_target, target);
    size_t place;

    if (!l) {
        l = x_alloc(sizeof(*l));
        map_put(r->by_target, target, l);
    }
    place = place_of(l, offset, length);
    if (place < l->count && l->ranges[place].offset == offset && l->ranges[place].length == length) {
        l->ranges[place].times++;
        r->repeated++;
        return;
    }
    if (l->count == l->room) {
        l->room = l->room ? 2 * l->room : 1;
        l->ranges = x_realloc(l->ranges, l->room * sizeof(*l->ranges));
    }
    memmove(&l->ranges[place + 1], &l->ranges[place], (l->count - place) * sizeof(*l->ranges));
    l->ranges[place] = (struct range){offset, length, 1};
    l->count++;
}

static json_t *list_json(const struct list *l)
{
    json_t *ranges = json_array();
    json_int_t requests = 0, bytes = 0, covered = 0;
    uint64_t end = 0;

    for (size_t i = 0; i < l->count; i++) {
        const struct range *at = &l->ranges[i];
        uint64_t begin = at->offset > end ? at->offset : end;

        requests += at->times;
        bytes += at->times * (json_int_t)at->length;
        if (at->offset + at->length > begin) {
            end = at->offset + at->length;
            covered += (json_int_t)(end - begin);
        }
        json_array_append_new(ranges,
                              json_pack("[I, I, I]", (json_int_t)at->offset, (json_int_t)at->length, at->times));
    }
    return json_pack("{s:I, s:I, s:I, s:I, s:o}", "requests", requests, "distinct", (json_int_t)l->count, "bytes",
                     bytes, "covered", covered, "ranges", ranges);
}

json_t *ranges_json(const struct ranges *r)
{
    json_t *all = json_object();

    for (struct map_node *n = map_seek(r->by_target, ""); n; n = n->next[0])
        if (is_utf8(n->key))
            json_object_set_new_nocheck(all, n->key, list_json(n->value));
    return all;
}
