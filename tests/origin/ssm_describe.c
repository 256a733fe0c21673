/* DescribeParameters. */
#include <stdlib.h>
#include <string.h>

#include "map.h"
#include "s3.h"
#include "ssm.h"

static bool fits(const char *have, const char *want, const char *option)
{
    if (strcmp(option, "BeginsWith") == 0)
        return strncmp(have, want, strlen(want)) == 0;
    return strcmp(option, "Contains") == 0 ? strstr(have, want) != NULL : strcmp(have, want) == 0;
}

/* With and without its leading slash, a name of the root is one. */
static bool name_fits(const char *key, const char *want, const char *option)
{
    if (strcmp(option, "Contains") == 0)
        return fits(key, want, option);
    return fits(key, want, option) || fits(key + 1, want, option);
}

static bool path_fits(const char *key, const char *path, const char *option)
{
    size_t len = strlen(path);

    while (len && path[len - 1] == '/')
        len--;
    if (strncmp(key, path, len) != 0 || key[len] != '/')
        return false;
    return strcmp(option, "Recursive") == 0 || !strchr(key + len + 1, '/');
}

static bool one_fits(const char *key, const struct parameter *one, const char *what, const char *want,
                     const char *option)
{
    const char *have;

    if (strcmp(what, "Name") == 0)
        return name_fits(key, want, option);
    if (strcmp(what, "Path") == 0)
        return path_fits(key, want, option);
    if (strncmp(what, "tag:", 4) == 0)
        have = json_string_value(json_object_get(one->tags, what + 4));
    else
        have = json_string_value(json_object_get(ssm_latest(one), what));
    return have && fits(have, want, option);
}

static bool passes(const char *key, const struct parameter *one, const json_t *filters)
{
    const json_t *filter;
    size_t i, v;

    json_array_foreach(filters, i, filter)
    {
        const char *what = json_string_value(json_object_get(filter, "Key"));
        const char *option = json_string_value(json_object_get(filter, "Option"));
        json_t *value;
        bool any = json_array_size(json_object_get(filter, "Values")) == 0;

        json_array_foreach(json_object_get(filter, "Values"), v, value) any |=
            one_fits(key, one, what, json_string_value(value), option ? option : "Equals");
        if (!any)
            return false;
    }
    return true;
}

static bool filters_legal(const struct request *r, struct reply *p)
{
    static const char *const keys[] = {"Name", "Type", "KeyId", "Path", "Tier", "DataType"};
    const json_t *filter;
    json_t *value;
    size_t i, v;

    json_array_foreach(json_object_get(r->json, "ParameterFilters"), i, filter)
    {
        const char *key = json_string_value(json_object_get(filter, "Key"));
        bool known = key && strncmp(key, "tag:", 4) == 0;

        for (size_t k = 0; key && k < sizeof(keys) / sizeof(keys[0]); k++)
            known |= strcmp(key, keys[k]) == 0;
        json_array_foreach(json_object_get(filter, "Values"), v, value) known &= json_is_string(value);
        if (!known) {
            ssm_fail(p, r, "InvalidFilterKey", "The specified key isn't valid.");
            return false;
        }
    }
    return true;
}

void ssm_DescribeParameters(struct server *s, const struct request *r, struct reply *p)
{
    const json_t *filters = json_object_get(r->json, "ParameterFilters");
    size_t most = ssm_page_size(r, SSM_LONG_PAGE_MAX, p);
    unsigned page;
    const char *start = most ? ssm_page_start(r, &page, p) : NULL;
    uint64_t every = s->parameters.empty_every;
    json_t *out, *found;
    struct map_node *node;

    if (!start || !filters_legal(r, p))
        return;
    if (every && (page + 1) % every == 0)
        most = 0;
    found = json_array();
    for (node = map_seek(s->parameters.by_name, start); node; node = node->next[0]) {
        if (!passes(node->key, node->value, filters))
            continue;
        if (json_array_size(found) == most)
            break;
        json_array_append_new(found, ssm_metadata(s, ssm_latest(node->value)));
    }
    out = json_pack("{s:o}", "Parameters", found);
    if (node)
        json_object_set_new(out, "NextToken", ssm_token(page + 1, node->key));
    ssm_answer(p, out);
}
