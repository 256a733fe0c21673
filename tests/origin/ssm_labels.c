/* Labels of versions, tags of parameters. */
#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "s3.h"
#include "ssm.h"
#include "ssm_rules.h"

static bool label_legal(const char *label)
{
    size_t len = label ? strlen(label) : 0;

    if (!len || len > 100 || isdigit((unsigned char)*label) || strncasecmp(label, "aws", 3) == 0 ||
        strncasecmp(label, "ssm", 3) == 0)
        return false;
    for (; *label; label++)
        if (!isalnum((unsigned char)*label) && !strchr("._-", *label))
            return false;
    return true;
}

static bool unlabel(json_t *version, const char *label)
{
    json_t *labels = json_object_get(version, "Labels"), *one;
    size_t i;

    json_array_foreach(labels, i, one)
    {
        if (strcmp(json_string_value(one), label) == 0) {
            json_array_remove(labels, i);
            return true;
        }
    }
    return false;
}

/* The version that the request names, the latest when it names none. NULL after putting the error into p. */
static json_t *version_of(struct server *s, const struct request *r, struct parameter **one, struct reply *p)
{
    const char *name = ssm_text(r, "Name");
    const json_t *number = json_object_get(r->json, "ParameterVersion");
    json_t *version;
    size_t i;

    *one = name ? ssm_find(s, name) : NULL;
    if (!*one) {
        ssm_fail(p, r, "ParameterNotFound", "Systems Manager could not find %s", name ? name : "a name");
        return NULL;
    }
    if (!number)
        return ssm_latest(*one);
    json_array_foreach((*one)->versions, i,
                       version) if (json_equal(json_object_get(version, "Version"), number)) return version;
    ssm_fail(p, r, "ParameterVersionNotFound", "Systems Manager could not find version %lld of %s",
             (long long)json_integer_value(number), name);
    return NULL;
}

static bool labels_given(const struct request *r, struct reply *p)
{
    const json_t *labels = json_object_get(r->json, "Labels");
    json_t *label;
    size_t i, n = json_array_size(labels);

    json_array_foreach(labels, i, label) if (!json_is_string(label)) n = 0;
    if (n >= 1 && n <= SSM_LABELS_MAX)
        return true;
    ssm_fail(
        p, r, "ValidationException",
        "1 validation error detected: Value at 'labels' failed to satisfy constraint: Member must have length less "
        "than or equal to 10 and greater than or equal to 1");
    return false;
}

/* A label is on one version: those it is not on yet count against the limit. */
static size_t count_after(const json_t *version, const json_t *wanted)
{
    size_t n = json_array_size(json_object_get(version, "Labels")), i, k;
    json_t *want, *have;

    json_array_foreach(wanted, i, want)
    {
        bool there = false;

        json_array_foreach(json_object_get(version, "Labels"), k, have) there |= json_equal(want, have);
        n += label_legal(json_string_value(want)) && !there;
    }
    return n;
}

void ssm_LabelParameterVersion(struct server *s, const struct request *r, struct reply *p)
{
    struct parameter *one;
    json_t *version = labels_given(r, p) ? version_of(s, r, &one, p) : NULL;
    const json_t *labels = json_object_get(r->json, "Labels");
    json_t *invalid, *label, *other;
    size_t i, v;

    if (!version)
        return;
    if (count_after(version, labels) > SSM_LABELS_MAX) {
        ssm_fail(p, r, "ParameterVersionLabelLimitExceeded", "A parameter version can have a maximum of ten labels.");
        return;
    }
    invalid = json_array();
    json_array_foreach(labels, i, label)
    {
        if (!label_legal(json_string_value(label))) {
            json_array_append(invalid, label);
            continue;
        }
        json_array_foreach(one->versions, v, other) unlabel(other, json_string_value(label));
        json_array_append(json_object_get(version, "Labels"), label);
    }
    ssm_answer(
        p, json_pack("{s:o, s:O}", "InvalidLabels", invalid, "ParameterVersion", json_object_get(version, "Version")));
}

void ssm_UnlabelParameterVersion(struct server *s, const struct request *r, struct reply *p)
{
    struct parameter *one;
    json_t *version, *removed, *invalid, *label;
    size_t i;

    if (!json_object_get(r->json, "ParameterVersion")) {
        ssm_fail(p, r, "ValidationException", "1 validation error detected: Value null at 'parameterVersion'");
        return;
    }
    version = labels_given(r, p) ? version_of(s, r, &one, p) : NULL;
    if (!version)
        return;
    removed = json_array();
    invalid = json_array();
    json_array_foreach(json_object_get(r->json, "Labels"), i, label)
        json_array_append(unlabel(version, json_string_value(label)) ? removed : invalid, label);
    ssm_answer(p, json_pack("{s:o, s:o}", "RemovedLabels", removed, "InvalidLabels", invalid));
}

/* The parameter of ResourceId; NULL after putting the error into p. */
static struct parameter *tagged(struct server *s, const struct request *r, struct reply *p)
{
    const char *type = ssm_text(r, "ResourceType"), *name = ssm_text(r, "ResourceId");
    struct parameter *one = name ? ssm_find(s, name) : NULL;

    if (!type || strcmp(type, "Parameter") != 0)
        ssm_fail(p, r, "InvalidResourceType", "The resource type isn't valid.");
    else if (!one)
        ssm_fail(p, r, "InvalidResourceId",
                 "The resource ID isn't valid. Verify that you entered the correct ID and try again.");
    else
        return one;
    return NULL;
}

static bool tags_legal(const struct request *r, struct reply *p)
{
    const json_t *tags = json_object_get(r->json, "Tags");
    bool legal = json_array_size(tags) > 0;
    json_t *tag;
    size_t i;

    json_array_foreach(tags, i, tag)
    {
        const char *key = json_string_value(json_object_get(tag, "Key"));
        const char *value = json_string_value(json_object_get(tag, "Value"));

        legal = legal && key && value && *key && ssm_characters(key) <= 128 && ssm_characters(value) <= 256 &&
                strncasecmp(key, "aws:", 4) != 0;
    }
    if (!legal)
        ssm_fail(p, r, "ValidationException",
                 "1 validation error detected: Value at 'tags' failed to satisfy constraint");
    return legal;
}

void ssm_AddTagsToResource(struct server *s, const struct request *r, struct reply *p)
{
    struct parameter *one = tags_legal(r, p) ? tagged(s, r, p) : NULL;
    json_t *tag, *all;
    size_t i;

    if (!one)
        return;
    all = json_copy(one->tags);
    json_array_foreach(json_object_get(r->json, "Tags"), i, tag)
        json_object_set(all, json_string_value(json_object_get(tag, "Key")), json_object_get(tag, "Value"));
    if (json_object_size(all) > SSM_TAGS_MAX) {
        ssm_fail(p, r, "TooManyTagsError", "The Targets parameter includes too many tags.");
        json_decref(all);
        return;
    }
    json_decref(one->tags);
    one->tags = all;
    ssm_answer(p, json_object());
}

void ssm_RemoveTagsFromResource(struct server *s, const struct request *r, struct reply *p)
{
    struct parameter *one = tagged(s, r, p);
    json_t *key;
    size_t i;

    if (!one)
        return;
    json_array_foreach(json_object_get(r->json, "TagKeys"), i, key) if (json_is_string(key))
        json_object_del(one->tags, json_string_value(key));
    ssm_answer(p, json_object());
}

void ssm_ListTagsForResource(struct server *s, const struct request *r, struct reply *p)
{
    struct parameter *one = tagged(s, r, p);
    json_t *list, *value;
    const char *key;

    if (!one)
        return;
    list = json_array();
    json_object_foreach(one->tags, key, value)
        json_array_append_new(list, json_pack("{s:s, s:O}", "Key", key, "Value", value));
    ssm_answer(p, json_pack("{s:o}", "TagList", list));
}
