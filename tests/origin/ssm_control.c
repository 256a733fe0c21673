/* What the control endpoint says to the Parameter Store. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "map.h"
#include "s3.h"
#include "ssm.h"

enum { FILL_MAX = 100000 };

static void fail(struct reply *p, const char *message)
{
    reply_json(p, 400, json_pack("{s:s}", "error", message));
}

void ssm_settings(struct server *s, const json_t *in, struct reply *p)
{
    struct parameters *ps = &s->parameters;
    const struct {
        const char *name;
        uint64_t *value;
    } numbers[] = {
        {"gets_per_s", &ps->gets_per_s}, {"others_per_s", &ps->others_per_s}, {"burst", &ps->burst},
        {"update_ms", &ps->update_ms},   {"empty_every", &ps->empty_every},   {"max_standard", &ps->max_standard}};
    const char *name;
    json_t *value;

    json_object_foreach((json_t *)in, name, value)
    {
        size_t i = 0;

        while (i < sizeof(numbers) / sizeof(numbers[0]) && strcmp(numbers[i].name, name) != 0)
            i++;
        if (i < sizeof(numbers) / sizeof(numbers[0]) && json_is_integer(value) && json_integer_value(value) >= 0) {
            *numbers[i].value = (uint64_t)json_integer_value(value);
        } else if (strcmp(name, "deny") == 0 && json_is_array(value)) {
            json_decref(ps->deny);
            ps->deny = json_incref(value);
        } else if (strcmp(name, "keys") == 0 && json_is_object(value)) {
            json_decref(ps->keys);
            ps->keys = json_incref(value);
        } else {
            fail(p, "parameters: unknown member, or of the wrong type");
            return;
        }
    }
    ps->gets = ps->others = (struct ssm_tokens){0};
    reply_json(p, 200, json_pack("{s:b}", "ok", 1));
}

static void add(struct server *s, const char *name, const char *type, const char *value, time_t now)
{
    struct parameter *one = x_alloc(sizeof(*one));
    json_t *version =
        json_pack("{s:s, s:s, s:s, s:i, s:f, s:s, s:s, s:[], s:[], s:s}", "Name", name, "Type", type, "Value", value,
                  "Version", 1, "LastModifiedDate", (double)now, "Tier", "Standard", "DataType", "text", "Labels",
                  "Policies", "LastModifiedUser", "arn:aws:iam::123456789012:user/test");
    char *key = ssm_key_of(name);

    if (strcmp(type, "SecureString") == 0)
        json_object_set_new(version, "KeyId", json_string("alias/aws/ssm"));
    *one = (struct parameter){.versions = json_pack("[o]", version), .tags = json_object()};
    map_put(s->parameters.by_name, key, one);
    free(key);
}

void ssm_fill(struct server *s, const json_t *in, struct reply *p)
{
    const char *prefix = json_string_value(json_object_get(in, "prefix"));
    const char *type = json_string_value(json_object_get(in, "type"));
    const char *value = json_string_value(json_object_get(in, "value"));
    json_int_t count = json_integer_value(json_object_get(in, "count"));
    struct buf name = {0}, text = {0};

    if (!prefix || count < 1 || count > FILL_MAX) {
        fail(p, "parameters: prefix and count, from 1 to 100000");
        return;
    }
    for (json_int_t i = 0; i < count; i++) {
        name.len = text.len = 0;
        buf_addf(&name, "%s%06lld", prefix, (long long)i);
        buf_addf(&text, "%s%lld", value ? value : "value ", (long long)i);
        add(s, name.data, type ? type : "String", text.data, time(NULL));
    }
    reply_json(p, 200, json_pack("{s:I, s:s}", "count", count, "last", name.data));
    buf_release(&name);
    buf_release(&text);
}
