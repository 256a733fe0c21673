/*
 * Names that no parameter has: versions ("name@3", "name@live"), a parameter's history ("name@history/3"), what AWS provides
 * ("@aws/service/...", "@aws/reference/secretsmanager/ID") and views ("@json"). Their forms; views are made in view_make.c.
 */
#include "backends/ssm/derived.h"

#include "backends/ssm/impl.h"
#include "backends/ssm/view.h"
#include "util/buf.h"
#include "util/str.h"

#include <stdio.h>
#include <string.h>

#define HISTORY "@history"

bool ssm_history_parse(const char *key, size_t *name_len, const char **version)
{
    const char *at = strstr(key, HISTORY);
    while (at != NULL && at[strlen(HISTORY)] != '\0' && at[strlen(HISTORY)] != '/')
        at = strstr(at + 1, HISTORY);
    if (at == NULL || at == key || at[-1] == '/')
        return false;
    *name_len = (size_t)(at - key);
    *version = at[strlen(HISTORY)] == '/' ? at + strlen(HISTORY) + 1 : NULL;
    return memchr(key, '@', *name_len) == NULL || str_starts(key, SSM_PUBLIC);
}

bool ssm_is_public(const char *key)
{
    return str_starts(key, SSM_PUBLIC);
}

static bool secret_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || strchr("/_+=.@-", c) != NULL;
}

bool ssm_secret_name(const char *key, char *out, size_t size)
{
    const char *id = key + strlen(SSM_SECRETS), *at = strrchr(id, '@');
    size_t id_len = at ? (size_t)(at - id) : strlen(id);
    BUF(decoded, 1024);
    if (id_len == 0 || memchr(id, '/', id_len) != NULL || !uri_decode(&decoded, id, id_len, false))
        return false;
    for (size_t i = 0; i < decoded.len; i++)
        if (decoded.data[i] == '\0' || !secret_char(decoded.data[i]))
            return false;
    for (const char *p = at ? at + 1 : ""; *p; p++)
        if (*p == '/' || !secret_char(*p))
            return false;
    if (at != NULL && (at[1] == '\0' || strlen(at + 1) > SSM_LABEL_MAX))
        return false;
    int n = snprintf(out, size, "/%s%s%s%s", SSM_SECRETS + 1, buf_str(&decoded), at ? ":" : "", at ? at + 1 : "");
    return !decoded.failed && n > 0 && (size_t)n < size;
}

bool ssm_is_view(const char *key)
{
    struct view view;
    const char *slash = strrchr(key, '/');
    return view_parse(slash ? slash + 1 : key, &view) && !str_starts(key, SSM_SECRETS);
}

static bool is_digits(const char *s)
{
    return s[0] != '\0' && strspn(s, "0123456789") == strlen(s);
}

static enum store_form form_of_public(const char *key, bool *decided)
{
    static const char *const always[] = {"@aws", "@aws/service", "@aws/reference", "@aws/reference/secretsmanager"};
    *decided = true;
    for (size_t i = 0; i < ARRAY_LEN(always); i++)
        if (strcmp(always[i], key) == 0)
            return STORE_FORM_FIXED_DIR;
    if (str_starts(key, SSM_SECRETS))
        return STORE_FORM_OBJECT;
    *decided = false;
    return STORE_FORM_PLAIN;
}

enum store_form ssm_form(void *impl, const char *key)
{
    bool decided;
    enum store_form form = form_of_public(key, &decided);
    if (decided)
        return form;
    const char *slash = strrchr(key, '/');
    const char *name = slash ? slash + 1 : key, *at = strchr(name, '@');
    size_t base;
    const char *version;
    struct view view;
    if (view_parse(name, &view) && (view.selector == NULL || ssm_selector_legal(view.selector)))
        return view.tree ? STORE_FORM_TREE_VIEW : STORE_FORM_VIEW;
    if (ssm_history_parse(key, &base, &version))
        return version == NULL ? STORE_FORM_DIR : is_digits(version) ? STORE_FORM_OBJECT : STORE_FORM_PLAIN;
    return at != NULL && at != name && ssm_selector_legal(at + 1) ? STORE_FORM_OBJECT : STORE_FORM_PLAIN;
}
