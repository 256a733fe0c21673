/* Parameters and their versions, and how the operations tell them. */
#include "ssm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "map.h"
#include "s3.h"

static void parameter_free(void *value)
{
    struct parameter *p = value;

    json_decref(p->versions);
    json_decref(p->tags);
    free(p);
}

void parameters_init(struct parameters *ps)
{
    *ps = (struct parameters){.by_name = map_new(parameter_free), .gets_per_s = 40, .max_standard = 10000};
    ps->deny = json_array();
    ps->keys = json_object();
}

void parameters_release(struct parameters *ps)
{
    map_free(ps->by_name);
    json_decref(ps->deny);
    json_decref(ps->keys);
    memset(ps, 0, sizeof(*ps));
}

char *ssm_key_of(const char *name)
{
    const char *arn = strncmp(name, "arn:", 4) == 0 ? strstr(name, ":parameter/") : NULL;
    struct buf key = {0};

    if (arn)
        name = arn + strlen(":parameter");
    buf_addf(&key, "%s%s", *name == '/' ? "" : "/", name);
    return buf_take(&key);
}

struct parameter *ssm_find(struct server *s, const char *name)
{
    char *key = ssm_key_of(name);
    struct parameter *p = map_get(s->parameters.by_name, key);

    free(key);
    return p;
}

json_t *ssm_latest(const struct parameter *p)
{
    return json_array_get(p->versions, json_array_size(p->versions) - 1);
}

static bool has_label(const json_t *version, const char *label)
{
    json_t *one;
    size_t i;

    json_array_foreach(json_object_get(version, "Labels"), i,
                       one) if (strcmp(json_string_value(one), label) == 0) return true;
    return false;
}

json_t *ssm_find_version(struct server *s, const char *name, struct parameter **owner, const char **code)
{
    const char *tail = strrchr(name, '/');
    const char *colon = strchr(tail ? tail : name, ':');
    char *base = colon ? x_strndup(name, (size_t)(colon - name)) : x_strdup(name);
    struct parameter *p = ssm_find(s, base);
    json_t *version, *found = NULL;
    uint64_t number = 0;
    size_t i;

    free(base);
    *owner = p;
    *code = "ParameterNotFound";
    if (!p)
        return NULL;
    if (!colon)
        return ssm_latest(p);
    *code = "ParameterVersionNotFound";
    bool numbered = parse_u64(colon + 1, &number);
    json_array_foreach(p->versions, i, version)
    {
        if (numbered ? json_integer_value(json_object_get(version, "Version")) == (json_int_t)number
                     : has_label(version, colon + 1))
            found = version;
    }
    return found;
}

static void take(json_t *out, const json_t *from, const char *const *names)
{
    for (; *names; names++)
        if (json_object_get(from, *names))
            json_object_set(out, *names, json_object_get(from, *names));
}

static bool is_secret(const json_t *version)
{
    return strcmp(json_string_value(json_object_get(version, "Type")), "SecureString") == 0;
}

/* What stands for the encrypted value has another length and nothing of it. */
static void hide_value(json_t *out, const json_t *version)
{
    const char *value = json_string_value(json_object_get(version, "Value"));
    unsigned char md5[SUM_MAX];
    char hex[33], text[64];

    sum_of(SUM_MD5, value, strlen(value), md5);
    hex_encode(md5, 16, hex);
    snprintf(text, sizeof(text), "AQICAHh%s==", hex);
    json_object_set_new(out, "Value", json_string(text));
}

static void add_arn(struct server *s, json_t *out, const json_t *version)
{
    char *key = ssm_key_of(json_string_value(json_object_get(version, "Name")));

    json_object_set_new(out, "ARN", json_sprintf("arn:aws:ssm:%s:123456789012:parameter%s", s->region, key));
    free(key);
}

json_t *ssm_shape(struct server *s, const json_t *version, bool decrypt, const char *selector)
{
    static const char *const names[] = {"Name", "Type", "Value", "Version", "LastModifiedDate", "DataType", NULL};
    json_t *out = json_object();

    take(out, version, names);
    if (is_secret(version) && !decrypt)
        hide_value(out, version);
    if (selector)
        json_object_set_new(out, "Selector", json_string(selector));
    add_arn(s, out, version);
    return out;
}

json_t *ssm_metadata(struct server *s, const json_t *version)
{
    static const char *const names[] = {
        "Name",           "Type",    "KeyId", "LastModifiedDate", "LastModifiedUser", "Description",
        "AllowedPattern", "Version", "Tier",  "Policies",         "DataType",         NULL};
    json_t *out = json_object();

    take(out, version, names);
    add_arn(s, out, version);
    return out;
}

json_t *ssm_history_entry(const json_t *version, bool decrypt)
{
    json_t *out = json_copy((json_t *)version);

    if (is_secret(version) && !decrypt)
        hide_value(out, version);
    return out;
}

/* False where the key is disabled, or in the state `refusing`. */
static bool key_may(struct server *s, const struct request *r, const char *key, const char *refusing, struct reply *p)
{
    const char *state = json_string_value(json_object_get(s->parameters.keys, key));

    if (state && strcmp(state, "disabled") == 0)
        ssm_fail(p, r, "InvalidKeyId",
                 "%s is disabled. (Service: AWSKMS; Status Code: 400; Error Code: DisabledException)", key);
    else if (state && strcmp(state, refusing) == 0)
        ssm_fail(
            p, r, "AccessDeniedException",
            "The ciphertext refers to a customer master key that does not exist, does not exist in this region, or "
            "you are not allowed to access. (Service: AWSKMS; Status Code: 400; Error Code: AccessDeniedException)");
    else
        return true;
    return false;
}

bool ssm_may_decrypt(struct server *s, const struct request *r, const json_t *version, bool decrypt, struct reply *p)
{
    const char *key = json_string_value(json_object_get(version, "KeyId"));
    return !decrypt || !key || key_may(s, r, key, "denied", p);
}

bool ssm_may_encrypt(struct server *s, const struct request *r, const char *key, struct reply *p)
{
    return key_may(s, r, key, "no-encrypt", p);
}

size_t ssm_page_size(const struct request *r, size_t most, struct reply *p)
{
    const json_t *given = json_object_get(r->json, "MaxResults");
    json_int_t n = json_integer_value(given);

    if (!given)
        return most;
    if (n >= 1 && n <= (json_int_t)most)
        return (size_t)n;
    ssm_fail(p, r, "ValidationException",
             "1 validation error detected: Value '%lld' at 'maxResults' failed to satisfy constraint: Member must have "
             "value less than or equal to %zu",
             (long long)n, most);
    return 0;
}

const char *ssm_page_start(const struct request *r, unsigned *page, struct reply *p)
{
    const char *token = ssm_text(r, "NextToken");
    int used = 0;

    *page = 0;
    if (!token)
        return "";
    if (sscanf(token, "page%u:%n", page, &used) == 1 && used > 0)
        return token + used;
    ssm_fail(p, r, "InvalidNextToken", "The specified token is not valid.");
    return NULL;
}

json_t *ssm_token(unsigned page, const char *next_key)
{
    return json_sprintf("page%u:%s", page, next_key);
}
