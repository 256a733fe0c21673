/* PutParameter: what it refuses, and the version it makes. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "map.h"
#include "s3.h"
#include "ssm.h"
#include "ssm_rules.h"

static json_t *now_json(void)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    return json_real((double)t.tv_sec + (double)(t.tv_nsec / 1000000) / 1000.0);
}

static void keep(json_t *version, const char *name, const char *value)
{
    if (value)
        json_object_set_new(version, name, json_string(value));
}

/* Of the whole account and region. */
static uint64_t count_standard(const struct parameters *ps)
{
    uint64_t n = 0;

    for (struct map_node *node = map_seek(ps->by_name, ""); node; node = node->next[0])
        n += strcmp(json_string_value(json_object_get(ssm_latest(node->value), "Tier")), "Standard") == 0;
    return n;
}

/* Whether another version fits: the oldest goes, unless a label holds it. */
static bool make_room(struct parameter *one, const struct request *r, struct reply *p)
{
    if (json_array_size(one->versions) < SSM_VERSIONS_MAX)
        return true;
    if (json_array_size(json_object_get(json_array_get(one->versions, 0), "Labels")) == 0) {
        json_array_remove(one->versions, 0);
        return true;
    }
    ssm_fail(p, r, "ParameterMaxVersionLimitExceeded",
             "You attempted to create a new version of %s by calling the PutParameter API with the overwrite flag. "
             "Version 1, the oldest version, can't be deleted because it has a label associated with it.",
             ssm_text(r, "Name"));
    return false;
}

static bool may_change(struct server *s, const struct parameter *one, const struct request *r, struct reply *p)
{
    if (!ssm_flag(r, "Overwrite")) {
        ssm_fail(
            p, r, "ParameterAlreadyExists",
            "The parameter already exists. To overwrite this value, set the overwrite option in the request to true.");
        return false;
    }
    if (json_array_size(json_object_get(r->json, "Tags")) > 0) {
        ssm_fail(p, r, "ValidationException",
                 "Invalid request: tags and overwrite can't be used together. To create a parameter with tags, please "
                 "remove overwrite flag. To update tags for an existing parameter, please use AddTagsToResource or "
                 "RemoveTagsFromResource.");
        return false;
    }
    if (now_ns() - one->changed_ns < s->parameters.update_ms * 1000000) {
        ssm_fail(p, r, "TooManyUpdates",
                 "There are concurrent updates for a resource that supports one update at a time.");
        return false;
    }
    return true;
}

static json_t *new_version(const struct request *r, const struct ssm_change *change, json_int_t number)
{
    json_t *version = json_object();
    const char *key = ssm_text(r, "KeyId");

    keep(version, "Name", change->name);
    keep(version, "Type", change->type);
    keep(version, "Value", ssm_text(r, "Value"));
    keep(version, "Description", ssm_text(r, "Description"));
    keep(version, "AllowedPattern", ssm_text(r, "AllowedPattern"));
    keep(version, "Tier", change->tier);
    keep(version, "DataType", ssm_text(r, "DataType") ? ssm_text(r, "DataType") : "text");
    keep(version, "LastModifiedUser", "arn:aws:iam::123456789012:user/test");
    if (strcmp(change->type, "SecureString") == 0)
        keep(version, "KeyId", key ? key : "alias/aws/ssm");
    json_object_set_new(version, "Version", json_integer(number));
    json_object_set_new(version, "LastModifiedDate", now_json());
    json_object_set_new(version, "Labels", json_array());
    json_object_set(version, "Policies", change->policies);
    return version;
}

static struct parameter *new_parameter(struct server *s, const struct request *r, const char *key)
{
    struct parameter *one = x_alloc(sizeof(*one));
    json_t *tag;
    size_t i;

    *one = (struct parameter){.versions = json_array(), .tags = json_object()};
    json_array_foreach(json_object_get(r->json, "Tags"), i, tag)
        json_object_set(one->tags, json_string_value(json_object_get(tag, "Key")), json_object_get(tag, "Value"));
    map_put(s->parameters.by_name, key, one);
    return one;
}

static void put(struct server *s, const struct request *r, struct ssm_change *change, struct reply *p)
{
    char *key = ssm_key_of(change->name);
    struct parameter *one = map_get(s->parameters.by_name, key);
    json_int_t number = one ? json_integer_value(json_object_get(ssm_latest(one), "Version")) + 1 : 1;
    bool fits =
        one || strcmp(change->tier, "Standard") != 0 || count_standard(&s->parameters) < s->parameters.max_standard;

    if (!fits) {
        ssm_fail(p, r, "ParameterLimitExceeded", "The parameter limit of %llu for this account and region is exceeded.",
                 (unsigned long long)s->parameters.max_standard);
    } else if (!one || make_room(one, r, p)) {
        json_t *version = new_version(r, change, number);

        if (one)
            json_object_set(version, "Name", json_object_get(ssm_latest(one), "Name"));
        else
            one = new_parameter(s, r, key);
        json_array_append_new(one->versions, version);
        one->changed_ns = now_ns();
        ssm_answer(p, json_pack("{s:I, s:s}", "Version", number, "Tier", change->tier));
    }
    free(key);
}

void ssm_PutParameter(struct server *s, const struct request *r, struct reply *p)
{
    struct ssm_change change = {0};
    const char *name = ssm_text(r, "Name");
    const struct parameter *one = name ? ssm_find(s, name) : NULL;

    change.before = one ? ssm_latest(one) : NULL;
    if (ssm_name_legal(s, r, p) && (!one || may_change(s, one, r, p)) && ssm_change_legal(s, r, &change, p))
        put(s, r, &change, p);
    ssm_change_release(&change);
}
