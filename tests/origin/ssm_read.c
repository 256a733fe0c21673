/* GetParameter, GetParameters, GetParametersByPath, GetParameterHistory. */
#include <stdlib.h>
#include <string.h>

#include "map.h"
#include "s3.h"
#include "ssm.h"

static const char *selector_of(const char *name)
{
    const char *tail = strrchr(name, '/');

    return strchr(tail ? tail : name, ':');
}

void ssm_GetParameter(struct server *s, const struct request *r, struct reply *p)
{
    const char *name = ssm_text(r, "Name");
    bool decrypt = ssm_flag(r, "WithDecryption");
    struct parameter *owner;
    const char *code;
    json_t *version = name ? ssm_find_version(s, name, &owner, &code) : NULL;

    if (!name)
        ssm_fail(p, r, "ValidationException", "1 validation error detected: Value null at 'name'");
    else if (!version)
        ssm_fail(p, r, code, "Systems Manager could not find %s", name);
    else if (ssm_may_decrypt(s, r, version, decrypt, p))
        ssm_answer(p, json_pack("{s:o}", "Parameter", ssm_shape(s, version, decrypt, selector_of(name))));
}

static int by_name(const void *a, const void *b)
{
    return strcmp(json_string_value(*(json_t *const *)a), json_string_value(*(json_t *const *)b));
}

/* Valid lists of names: one to ten strings. NULL after putting the error into p. The order of the answer is theirs. */
static json_t **sorted_names(const struct request *r, size_t *n, struct reply *p)
{
    const json_t *names = json_object_get(r->json, "Names");
    json_t **out;

    *n = json_array_size(names);
    for (size_t i = 0; i < *n; i++)
        if (!json_is_string(json_array_get(names, i)))
            *n = 0;
    if (*n < 1 || *n > 10) {
        ssm_fail(p, r, "ValidationException",
                 "1 validation error detected: Value at 'names' failed to satisfy constraint: Member must have length "
                 "less than or equal to 10 and greater than or equal to 1");
        return NULL;
    }
    out = x_alloc(*n * sizeof(json_t *));
    for (size_t i = 0; i < *n; i++)
        out[i] = json_array_get(names, i);
    qsort(out, *n, sizeof(json_t *), by_name);
    return out;
}

void ssm_GetParameters(struct server *s, const struct request *r, struct reply *p)
{
    bool decrypt = ssm_flag(r, "WithDecryption"), ok = true;
    size_t n;
    json_t **names = sorted_names(r, &n, p);
    json_t *found = json_array(), *invalid = json_array();

    for (size_t i = 0; names && ok && i < n; i++) {
        const char *name = json_string_value(names[i]), *code;
        struct parameter *owner;
        json_t *version = ssm_find_version(s, name, &owner, &code);

        ok = !version || ssm_may_decrypt(s, r, version, decrypt, p);
        if (!version)
            json_array_append(invalid, names[i]);
        else if (ok)
            json_array_append_new(found, ssm_shape(s, version, decrypt, selector_of(name)));
    }
    if (names && ok)
        ssm_answer(p, json_pack("{s:O, s:O}", "Parameters", found, "InvalidParameters", invalid));
    json_decref(found);
    json_decref(invalid);
    free(names);
}

static bool value_listed(const json_t *filter, const char *value, bool begins)
{
    json_t *one;
    size_t i;

    json_array_foreach(json_object_get(filter, "Values"), i, one)
    {
        const char *want = json_string_value(one);

        if (want && value && (begins ? strncmp(value, want, strlen(want)) == 0 : strcmp(value, want) == 0))
            return true;
    }
    return false;
}

static bool passes(const json_t *version, const json_t *filter)
{
    const char *key = json_string_value(json_object_get(filter, "Key"));
    const char *option = json_string_value(json_object_get(filter, "Option"));
    json_t *label;
    size_t i;

    if (!key || strcmp(key, "Label") != 0)
        return key && value_listed(filter, json_string_value(json_object_get(version, key)),
                                   option && strcmp(option, "BeginsWith") == 0);
    json_array_foreach(json_object_get(version, "Labels"), i,
                       label) if (value_listed(filter, json_string_value(label), false)) return true;
    return false;
}

/* The version that is listed: the latest; with a filter by label the one that has it. NULL: none passes. */
static const json_t *listed_version(const struct parameter *one, const json_t *filters)
{
    const json_t *filter;
    size_t i, n = json_array_size(one->versions);
    bool by_label = false;

    json_array_foreach(filters, i, filter)
    {
        const char *key = json_string_value(json_object_get(filter, "Key"));

        by_label |= key && strcmp(key, "Label") == 0;
    }
    for (size_t v = n; v-- > (by_label ? 0 : n - 1);) {
        const json_t *version = json_array_get(one->versions, v);
        bool ok = true;

        json_array_foreach(filters, i, filter) ok = ok && passes(version, filter);
        if (ok)
            return version;
    }
    return NULL;
}

/* A page from `start` on. The reply is complete, or an error in p. */
static void list_page(struct server *s, const struct request *r, const char *prefix, size_t most, struct reply *p)
{
    bool decrypt = ssm_flag(r, "WithDecryption"), recursive = ssm_flag(r, "Recursive"), ok = true;
    unsigned page;
    const char *start = ssm_page_start(r, &page, p);
    uint64_t every = s->parameters.empty_every;
    const json_t *filters = json_object_get(r->json, "ParameterFilters");
    json_t *out, *found;
    struct map_node *node;

    if (!start)
        return;
    if (r->plan.loop_listing)
        start = "", page = 0;
    node = map_seek(s->parameters.by_name, *start ? start : prefix);
    if (every && (page + 1) % every == 0)
        most = 0;
    found = json_array();
    for (; ok && node && strncmp(node->key, prefix, strlen(prefix)) == 0; node = node->next[0]) {
        const json_t *version = listed_version(node->value, filters);

        if (!version || (!recursive && strchr(node->key + strlen(prefix), '/')))
            continue;
        if (json_array_size(found) == most)
            break;
        ok = ssm_may_decrypt(s, r, version, decrypt, p);
        if (ok)
            json_array_append_new(found, ssm_shape(s, version, decrypt, NULL));
    }
    if (!ok) {
        json_decref(found);
        return;
    }
    out = json_pack("{s:o}", "Parameters", found);
    if (r->plan.loop_listing)
        json_object_set_new(out, "NextToken", ssm_token(1, "loop"));
    else if (node && strncmp(node->key, prefix, strlen(prefix)) == 0)
        json_object_set_new(out, "NextToken", ssm_token(page + 1, node->key));
    ssm_answer(p, out);
}

void ssm_GetParametersByPath(struct server *s, const struct request *r, struct reply *p)
{
    const char *path = ssm_text(r, "Path");
    size_t most = ssm_page_size(r, SSM_PAGE_MAX, p);
    struct buf prefix = {0};

    if (!most)
        return;
    if (!path || *path != '/') {
        ssm_fail(p, r, "ValidationException",
                 "The parameter doesn't meet the parameter name requirements. The parameter name must begin with a "
                 "forward slash \"/\".");
        return;
    }
    buf_adds(&prefix, path);
    if (prefix.data[prefix.len - 1] != '/')
        buf_adds(&prefix, "/");
    list_page(s, r, prefix.data, most, p);
    buf_release(&prefix);
}

void ssm_GetParameterHistory(struct server *s, const struct request *r, struct reply *p)
{
    const char *name = ssm_text(r, "Name");
    const struct parameter *one = name ? ssm_find(s, name) : NULL;
    bool decrypt = ssm_flag(r, "WithDecryption");
    size_t most = ssm_page_size(r, SSM_LONG_PAGE_MAX, p), from;
    unsigned page;
    json_t *out, *entries;

    if (!most || !ssm_page_start(r, &page, p))
        return;
    if (!one) {
        ssm_fail(p, r, "ParameterNotFound", "Systems Manager could not find %s", name ? name : "a name");
        return;
    }
    from = page;
    entries = json_array();
    for (; from < json_array_size(one->versions) && json_array_size(entries) < most; from++) {
        const json_t *version = json_array_get(one->versions, from);

        if (!ssm_may_decrypt(s, r, version, decrypt, p)) {
            json_decref(entries);
            return;
        }
        json_array_append_new(entries, ssm_history_entry(version, decrypt));
    }
    out = json_pack("{s:o}", "Parameters", entries);
    if (from < json_array_size(one->versions))
        json_object_set_new(out, "NextToken", ssm_token((unsigned)from, "h"));
    ssm_answer(p, out);
}
