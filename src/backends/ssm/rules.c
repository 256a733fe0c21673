#include "backends/ssm/rules.h"

#include "util/str.h"

#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#define RULES_MAX  64
#define KEY_ID_MAX 256
#define BLANKS     " \t"

struct rule {
    char *glob;
    const char *type;
};

struct rules {
    struct rule rules[RULES_MAX];
    size_t n;
};

void rules_free(struct rules *r)
{
    for (size_t i = 0; r != NULL && i < r->n; i++)
        free(r->rules[i].glob);
    free(r);
}

static const char *type_named(const char *name, size_t len)
{
    static const char *const types[] = {"SecureString", "String", "StringList"};
    for (size_t i = 0; i < ARRAY_LEN(types); i++)
        if (strlen(types[i]) == len && memcmp(types[i], name, len) == 0)
            return types[i];
    return NULL;
}

static enum err_code add(struct rules *r, const char *text, size_t len, struct err *e)
{
    const char *colon = memrchr(text, ':', len);
    size_t glob = colon ? (size_t)(colon - text) : 0;
    const char *type = colon ? type_named(colon + 1, len - glob - 1) : NULL;
    if (glob == 0 || type == NULL)
        return err_set(e, ERR_INVAL, "ssm_rule=%.*s: must be GLOB:TYPE, the type SecureString, String or StringList",
                       (int)(len > 80 ? 80 : len), text);
    if (r->n == RULES_MAX)
        return err_set(e, ERR_INVAL, "ssm_rule=: at most %d rules", RULES_MAX);
    char *own = str_ndup(text, glob);
    if (own == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    r->rules[r->n++] = (struct rule){.glob = own, .type = type};
    return ERR_OK;
}

enum err_code rules_parse(const char *text, struct rules **out, struct err *e)
{
    *out = NULL;
    const char *p = text ? text + strspn(text, BLANKS) : "";
    if (*p == '\0')
        return text && *text == '\0' ? err_set(e, ERR_INVAL, "ssm_rule=: must be GLOB:TYPE") : ERR_OK;
    CLEANUP(rules_free) struct rules *r = calloc(1, sizeof(*r));
    if (r == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    for (; *p; p += strspn(p, BLANKS)) {
        size_t len = strcspn(p, BLANKS);
        enum err_code code = add(r, p, len, e);
        if (code != ERR_OK)
            return code;
        p += len;
    }
    *out = TAKE(r);
    return ERR_OK;
}

const char *rules_type(const struct rules *r, const char *key)
{
    for (size_t i = 0; r != NULL && i < r->n; i++)
        if (fnmatch(r->rules[i].glob, key, 0) == 0)
            return r->rules[i].type;
    return NULL;
}

bool rules_have_secrets(const struct rules *r)
{
    for (size_t i = 0; r != NULL && i < r->n; i++)
        if (strcmp(r->rules[i].type, "SecureString") == 0)
            return true;
    return false;
}

bool ssm_key_id_legal(const char *id)
{
    size_t len = strlen(id);
    return len > 0 && len <= KEY_ID_MAX &&
           strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:/_-") == len;
}
