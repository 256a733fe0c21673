#include "counts.h"

#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "request.h"
#include "server.h"

void counts_init(struct counts *c)
{
    memset(c, 0, sizeof(*c));
    c->by_kind = json_object();
    c->by_key = json_object();
    ranges_init(&c->ranges);
}

void counts_release(struct counts *c)
{
    json_decref(c->by_kind);
    json_decref(c->by_key);
    ranges_release(&c->ranges);
    for (size_t i = 0; i < LOG_SIZE; i++)
        json_decref(c->log[i]);
    memset(c, 0, sizeof(*c));
}

char *request_target(const struct request *r)
{
    const char *prefix = request_param(r, "prefix");
    struct buf b = {0};

    if (r->ssm) {
        buf_addf(&b, "ssm:%s", r->subject);
        return buf_take(&b);
    }
    if (!r->bucket)
        return x_strdup("");
    buf_addf(&b, "%s/%s", r->bucket, r->key ? r->key : prefix ? prefix : "");
    return buf_take(&b);
}

static void add_one(json_t *object, const char *name)
{
    json_int_t old = json_integer_value(json_object_get(object, name));

    json_object_set_new_nocheck(object, name, json_integer(old + 1));
}

static void add_by_key(json_t *by_key, const char *target, const char *kind)
{
    json_t *kinds;

    if (!is_utf8(target))
        return;
    kinds = json_object_get(by_key, target);
    if (!kinds) {
        kinds = json_object();
        json_object_set_new_nocheck(by_key, target, kinds);
    }
    add_one(kinds, kind);
}

static void set_text(json_t *entry, const char *name, const char *value)
{
    json_t *text = value ? json_string(value) : NULL;

    json_object_set_new(entry, name, text ? text : json_null());
}

static void raise(json_int_t *now, json_int_t *greatest)
{
    if (++*now > *greatest)
        *greatest = *now;
}

void counts_connected(struct counts *c)
{
    c->connections++;
    raise(&c->open, &c->max_open);
}

void counts_disconnected(struct counts *c)
{
    c->open--;
}

void counts_range(struct counts *c, const struct request *r, uint64_t offset, uint64_t length)
{
    char *target = request_target(r);

    ranges_add(&c->ranges, target, offset, length);
    free(target);
}

void counts_begin(struct counts *c, struct request *r)
{
    json_t **slot = &c->log[c->next_sequence % LOG_SIZE];
    char *target = request_target(r);
    json_t *entry = json_object();

    add_one(c->by_kind, op_name(r->op));
    add_by_key(c->by_key, target, op_name(r->op));
    free(target);
    c->total++;
    raise(&c->parallel, &c->max_parallel);
    raise(&c->kinds[r->op].parallel, &c->kinds[r->op].max_parallel);

    r->sequence = c->next_sequence++;
    json_object_set_new(entry, "seq", json_integer((json_int_t)r->sequence));
    json_object_set_new(entry, "at_ms", json_integer((json_int_t)now_ms()));
    set_text(entry, "method", r->method);
    set_text(entry, "kind", op_name(r->op));
    set_text(entry, "bucket", r->bucket);
    set_text(entry, "key", r->ssm ? r->subject : r->key);
    set_text(entry, "query", r->query);
    set_text(entry, "range", request_header(r, "range"));
    set_text(entry, "if_match", request_header(r, "if-match"));
    set_text(entry, "if_none_match", request_header(r, "if-none-match"));
    json_object_set_new(entry, "status", json_null());
    json_object_set_new(entry, "bytes_in", json_integer(0));
    json_object_set_new(entry, "bytes", json_integer(0));
    json_decref(*slot);
    *slot = entry;
}

void counts_end(struct counts *c, const struct request *r, int status, uint64_t bytes_in, uint64_t bytes_out)
{
    json_t *entry = c->log[r->sequence % LOG_SIZE];

    c->parallel--;
    c->kinds[r->op].parallel--;
    c->kinds[r->op].bytes_out += (json_int_t)bytes_out;
    c->bytes_in += (json_int_t)bytes_in;
    c->bytes_out += (json_int_t)bytes_out;
    if (!entry || json_integer_value(json_object_get(entry, "seq")) != (json_int_t)r->sequence)
        return;
    json_object_set_new(entry, "status", json_integer(status));
    json_object_set_new(entry, "bytes_in", json_integer((json_int_t)bytes_in));
    json_object_set_new(entry, "bytes", json_integer((json_int_t)bytes_out));
}

void counts_reset(struct counts *c)
{
    json_object_clear(c->by_kind);
    json_object_clear(c->by_key);
    c->total = c->bytes_in = c->bytes_out = c->connections = c->throttled = 0;
    c->max_parallel = c->parallel;
    c->max_open = c->open;
    for (int i = 0; i < OP_COUNT; i++) {
        c->kinds[i].bytes_out = 0;
        c->kinds[i].max_parallel = c->kinds[i].parallel;
    }
    ranges_reset(&c->ranges);
    for (size_t i = 0; i < LOG_SIZE; i++) {
        json_decref(c->log[i]);
        c->log[i] = NULL;
    }
}

json_t *counts_json(const struct counts *c)
{
    json_t *bytes = json_object(), *parallel = json_object();

    for (int i = 0; i < OP_COUNT; i++) {
        if (!c->kinds[i].max_parallel)
            continue;
        json_object_set_new(bytes, op_name((enum op)i), json_integer(c->kinds[i].bytes_out));
        json_object_set_new(parallel, op_name((enum op)i), json_integer(c->kinds[i].max_parallel));
    }
    return json_pack("{s:I, s:O, s:O, s:I, s:o, s:I, s:I, s:I, s:I, s:o, s:I, s:I}", "total", c->total, "by_kind",
                     c->by_kind, "by_key", c->by_key, "bytes_out", c->bytes_out, "bytes_out_by_kind", bytes, "bytes_in",
                     c->bytes_in, "connections", c->connections, "max_connections", c->max_open, "max_parallel",
                     c->max_parallel, "max_parallel_by_kind", parallel, "repeated", c->ranges.repeated, "throttled",
                     c->throttled);
}

json_t *counts_log_json(const struct counts *c)
{
    json_t *list = json_array();

    for (uint64_t i = 0; i < LOG_SIZE; i++) {
        json_t *entry = c->log[(c->next_sequence + i) % LOG_SIZE];

        if (entry)
            json_array_append(list, entry);
    }
    return list;
}
