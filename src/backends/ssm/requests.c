#include "backends/ssm/requests.h"

#include "backends/ssm/replies.h"
#include "util/json.h"

#include <string.h>

static void add_string(struct buf *out, const char *s)
{
    json_quote(out, s, strlen(s));
}

/* ,"NAME":"VALUE" unless there is no value. */
static void add_member(struct buf *out, const char *name, const char *value)
{
    if (value == NULL || value[0] == '\0')
        return;
    buf_addf(out, ",\"%s\":", name);
    add_string(out, value);
}

static void add_text(struct buf *out, const char *name, const char *value, bool also_empty)
{
    if (value != NULL && value[0] == '\0' && also_empty)
        buf_addf(out, ",\"%s\":\"\"", name);
    else
        add_member(out, name, value);
}

static void begin_page(struct buf *out, const char *path, unsigned max, bool decrypt)
{
    buf_add_str(out, "{\"Path\":");
    add_string(out, path[0] ? path : "/");
    buf_addf(out, ",\"Recursive\":true,\"WithDecryption\":%s,\"MaxResults\":%u", decrypt ? "true" : "false", max);
}

void ssm_request_by_path(struct buf *out, const char *path, unsigned max, bool decrypt, const char *token)
{
    begin_page(out, path, max, decrypt);
    add_member(out, "NextToken", token);
    buf_add_char(out, '}');
}

void ssm_request_page(struct buf *out, const char *path, unsigned max, bool decrypt)
{
    begin_page(out, path, max, decrypt);
    buf_add_char(out, '}');
}

void ssm_request_get(struct buf *out, const char *name, bool decrypt)
{
    buf_add_str(out, "{\"Name\":");
    add_string(out, name);
    buf_addf(out, ",\"WithDecryption\":%s}", decrypt ? "true" : "false");
}

void ssm_request_describe(struct buf *out, const char *name, const char *token)
{
    buf_add_str(out, "{\"ParameterFilters\":[{\"Key\":\"Name\",\"Option\":\"Equals\",\"Values\":[");
    add_string(out, name);
    /* A parameter of the root may be kept without its slash. */
    if (strchr(name + 1, '/') == NULL) {
        buf_add_char(out, ',');
        add_string(out, name + 1);
    }
    buf_add_str(out, "]}],\"MaxResults\":10");
    add_member(out, "NextToken", token);
    buf_add_char(out, '}');
}

void ssm_request_describe_below(struct buf *out, const char *path, unsigned max, const char *token)
{
    buf_add_str(out, "{\"ParameterFilters\":[{\"Key\":\"Path\",\"Option\":\"Recursive\",\"Values\":[");
    add_string(out, path[0] ? path : "/");
    buf_addf(out, "]}],\"MaxResults\":%u", max);
    add_member(out, "NextToken", token);
    buf_add_char(out, '}');
}

void ssm_request_put(struct buf *out, const struct ssm_put *p)
{
    buf_add_str(out, "{\"Name\":");
    add_string(out, p->name);
    buf_add_str(out, ",\"Value\":");
    json_quote(out, p->value, p->len);
    buf_addf(out, ",\"Overwrite\":%s", p->overwrite ? "true" : "false");
    add_member(out, "Type", p->type);
    add_member(out, "KeyId", p->key_id);
    add_member(out, "Tier", p->tier);
    add_member(out, "DataType", p->data_type);
    add_text(out, "Description", p->description, p->tell_empty);
    add_text(out, "AllowedPattern", p->allowed_pattern, p->tell_empty);
    add_member(out, "Policies", p->policies);
    buf_add_char(out, '}');
}

void ssm_request_delete(struct buf *out, const char *name)
{
    buf_add_str(out, "{\"Name\":");
    add_string(out, name);
    buf_add_char(out, '}');
}

/* Elements and the array's end. */
static void add_list(struct buf *out, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (i > 0)
            buf_add_char(out, ',');
        add_string(out, names[i]);
    }
    buf_add_char(out, ']');
}

static void add_names(struct buf *out, const char *const *names, size_t n)
{
    buf_add_str(out, "{\"Names\":[");
    add_list(out, names, n);
}

void ssm_request_delete_many(struct buf *out, const char *const *names, size_t n)
{
    add_names(out, names, n);
    buf_add_char(out, '}');
}

void ssm_request_get_many(struct buf *out, const char *const *names, size_t n, bool decrypt)
{
    add_names(out, names, n);
    buf_addf(out, ",\"WithDecryption\":%s}", decrypt ? "true" : "false");
}

static void begin_resource(struct buf *out, const char *name)
{
    buf_add_str(out, "{\"ResourceType\":\"Parameter\",\"ResourceId\":");
    add_string(out, name);
}

void ssm_request_tags(struct buf *out, const char *name)
{
    begin_resource(out, name);
    buf_add_char(out, '}');
}

void ssm_request_add_tags(struct buf *out, const char *name, const struct ssm_tags *tags)
{
    begin_resource(out, name);
    buf_add_str(out, ",\"Tags\":[");
    for (size_t i = 0; i < tags->n; i++) {
        buf_add_str(out, i > 0 ? ",{\"Key\":" : "{\"Key\":");
        add_string(out, tags->tags[i].key);
        buf_add_str(out, ",\"Value\":");
        add_string(out, tags->tags[i].value);
        buf_add_char(out, '}');
    }
    buf_add_str(out, "]}");
}

void ssm_request_remove_tag(struct buf *out, const char *name, const char *tag)
{
    begin_resource(out, name);
    buf_add_str(out, ",\"TagKeys\":[");
    add_string(out, tag);
    buf_add_str(out, "]}");
}

void ssm_request_history(struct buf *out, const char *name, unsigned max, bool decrypt, const char *token)
{
    buf_add_str(out, "{\"Name\":");
    add_string(out, name);
    buf_addf(out, ",\"WithDecryption\":%s,\"MaxResults\":%u", decrypt ? "true" : "false", max);
    add_member(out, "NextToken", token);
    buf_add_char(out, '}');
}

void ssm_request_labels(struct buf *out, const char *name, int64_t number, const char *const *labels, size_t n)
{
    buf_add_str(out, "{\"Name\":");
    add_string(out, name);
    buf_addf(out, ",\"ParameterVersion\":%lld,\"Labels\":[", (long long)number);
    add_list(out, labels, n);
    buf_add_char(out, '}');
}
