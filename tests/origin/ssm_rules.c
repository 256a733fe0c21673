#include "ssm_rules.h"

#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "s3.h"
#include "ssm.h"

static const char name_characters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-/";

static bool refuse(struct reply *p, const struct request *r, const char *message)
{
    ssm_fail(p, r, "ValidationException", "%s", message);
    return false;
}

/* The service strips blanks at both ends. */
static char *stripped(const char *name)
{
    size_t len;

    name += strspn(name, " ");
    len = strlen(name);
    while (len && name[len - 1] == ' ')
        len--;
    return x_strndup(name, len);
}

static unsigned levels_of(const char *name)
{
    unsigned n = *name != '/';

    for (; *name; name++)
        n += *name == '/';
    return n;
}

static bool reserved(const char *name, const char *word)
{
    return strncasecmp(name + (*name == '/'), word, strlen(word)) == 0;
}

static bool name_ok(struct server *s, const char *name, const struct request *r, struct reply *p)
{
    char arn[128];
    size_t prefix = (size_t)snprintf(arn, sizeof(arn), "arn:aws:ssm:%s:123456789012:parameter/", s->region);
    size_t len = strlen(name);

    if (!len || prefix + len - (*name == '/') > SSM_ARN_MAX)
        return refuse(p, r, "1 validation error detected: Value at 'name' failed to satisfy constraint: length");
    if (reserved(name, "aws")) {
        ssm_fail(p, r, "AccessDeniedException", "No access to reserved parameter name: %s.", name);
        return false;
    }
    if (reserved(name, "ssm"))
        return refuse(p, r, "Parameter name: can't be prefixed with \"aws\" or \"ssm\" (case-insensitive).");
    if (strspn(name, name_characters) != len)
        return refuse(p, r,
                      "Parameter name: can't be prefixed with \"ssm\" (case-insensitive). If formed as a path, it can "
                      "consist of sub-paths divided by slash symbol; each sub-path can be formed as a mix of letters, "
                      "numbers and the following 3 symbols .-_");
    if ((*name != '/' && strchr(name, '/')) || strstr(name, "//") || name[len - 1] == '/')
        return refuse(p, r, "Parameter name must be a fully qualified name.");
    if (levels_of(name) <= SSM_LEVELS_MAX)
        return true;
    ssm_fail(p, r, "HierarchyLevelLimitExceededException", "The hierarchy can have a maximum of %d levels.",
             SSM_LEVELS_MAX);
    return false;
}

bool ssm_name_legal(struct server *s, const struct request *r, struct reply *p)
{
    const char *given = ssm_text(r, "Name");
    char *name;
    bool ok;

    if (!given)
        return refuse(p, r, "1 validation error detected: Value null at 'name'");
    name = stripped(given);
    ok = name_ok(s, name, r, p);
    free(name);
    return ok;
}

static bool one_of(const char *value, const char *const *legal)
{
    for (; *legal; legal++)
        if (strcmp(value, *legal) == 0)
            return true;
    return false;
}

static bool enums_ok(const struct request *r, struct reply *p)
{
    static const char *const types[] = {"String", "StringList", "SecureString", NULL},
                             *const tiers[] = {"Standard", "Advanced", "Intelligent-Tiering", NULL},
                             *const kinds[] = {"text", "aws:ec2:image", "aws:ssm:integration", NULL};
    const struct {
        const char *name;
        const char *const *legal;
    } members[] = {{"Type", types}, {"Tier", tiers}, {"DataType", kinds}};

    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
        const char *value = ssm_text(r, members[i].name);

        if (value && !one_of(value, members[i].legal)) {
            ssm_fail(
                p, r, "ValidationException",
                "1 validation error detected: Value '%s' at '%s' failed to satisfy constraint: Member must satisfy "
                "enum value set",
                value, members[i].name);
            return false;
        }
    }
    return true;
}

static bool type_ok(const struct request *r, struct ssm_change *change, struct reply *p)
{
    const char *before = json_string_value(json_object_get(change->before, "Type"));

    change->type = ssm_text(r, "Type") ? ssm_text(r, "Type") : before;
    if (!change->type)
        return refuse(p, r, "A parameter type is required when you create a parameter.");
    if (before && strcmp(before, change->type) != 0) {
        ssm_fail(p, r, "HierarchyTypeMismatchException",
                 "Parameter type can't be changed: it is %s. Delete the parameter first.", before);
        return false;
    }
    return true;
}

static bool key_ok(struct server *s, const struct request *r, const struct ssm_change *change, struct reply *p)
{
    const char *key = ssm_text(r, "KeyId");
    const char *used = key ? key : "alias/aws/ssm";

    if (strcmp(change->type, "SecureString") != 0)
        return !key || refuse(p, r, "KeyId is required for SecureString type parameter only.");
    if (strlen(used) > 256 || !*used)
        return refuse(p, r, "1 validation error detected: Value at 'keyId' failed to satisfy constraint");
    return ssm_may_encrypt(s, r, used, p);
}

/* The tier that results: a higher one is never taken back. */
static bool tier_ok(const struct request *r, struct ssm_change *change, struct reply *p)
{
    const char *before = json_string_value(json_object_get(change->before, "Tier"));
    const char *tier = ssm_text(r, "Tier");
    bool advanced = before && strcmp(before, "Advanced") == 0;
    bool wanted = strlen(ssm_text(r, "Value")) > SSM_STANDARD_MAX || json_array_size(change->policies) > 0;

    if (tier && strcmp(tier, "Standard") == 0 && advanced)
        return refuse(p, r,
                      "This parameter uses the advanced-parameter tier. You can't downgrade a parameter from the "
                      "advanced-parameter tier to the standard-parameter tier.");
    if (tier && strcmp(tier, "Intelligent-Tiering") == 0)
        advanced |= wanted;
    else
        advanced |= tier && strcmp(tier, "Advanced") == 0;
    change->tier = advanced ? "Advanced" : "Standard";
    return true;
}

static bool value_ok(const struct request *r, const struct ssm_change *change, struct reply *p)
{
    const char *value = ssm_text(r, "Value");
    bool standard = strcmp(change->tier, "Standard") == 0;

    if (!*value)
        return refuse(p, r,
                      "1 validation error detected: Value '' at 'value' failed to satisfy constraint: Member must have "
                      "length greater than or equal to 1.");
    if (strstr(value, "{{"))
        return refuse(p, r, "Parameter value: can't nest another parameter. Do not use \"{{}}\" in the value.");
    if (strlen(value) > SSM_ADVANCED_MAX)
        return refuse(p, r, "Advanced tier parameters support a maximum parameter value of 8192 characters.");
    if (standard && strlen(value) > SSM_STANDARD_MAX)
        return refuse(
            p, r,
            "Standard tier parameters support a maximum parameter value of 4096 characters. To create a larger "
            "parameter value, upgrade the parameter to use the advanced-parameter tier.");
    return true;
}

/* Extended regular expressions stand for the service's; they match the whole value. */
size_t ssm_characters(const char *s)
{
    size_t n = 0;

    for (; *s; s++)
        n += ((unsigned char)*s & 0xc0) != 0x80;
    return n;
}

static bool pattern_ok(const struct request *r, struct reply *p)
{
    const char *pattern = ssm_text(r, "AllowedPattern"), *value = ssm_text(r, "Value");
    struct buf whole = {0};
    regex_t compiled;
    int wrong;

    if (!pattern || !*pattern)
        return true;
    if (ssm_characters(pattern) > 1024)
        return refuse(p, r,
                      "1 validation error detected: Value at 'allowedPattern' failed to satisfy constraint: length");
    buf_addf(&whole, "^(%s)$", pattern);
    wrong = regcomp(&compiled, whole.data, REG_EXTENDED | REG_NOSUB);
    buf_release(&whole);
    if (wrong) {
        ssm_fail(p, r, "InvalidAllowedPatternException", "The allowed pattern is not a valid regular expression: %s",
                 pattern);
        return false;
    }
    wrong = regexec(&compiled, value, 0, NULL, 0);
    regfree(&compiled);
    if (wrong)
        ssm_fail(p, r, "ParameterPatternMismatchException",
                 "Parameter value, cannot be validated against allowedPattern: %s", pattern);
    return !wrong;
}

static bool texts_ok(const struct request *r, struct reply *p)
{
    const char *description = ssm_text(r, "Description");

    if (!ssm_text(r, "Value"))
        return refuse(p, r, "1 validation error detected: Value null at 'value'");
    if (description && ssm_characters(description) > 1024)
        return refuse(p, r, "1 validation error detected: Value at 'description' failed to satisfy constraint: length");
    return true;
}

bool ssm_change_legal(struct server *s, const struct request *r, struct ssm_change *change, struct reply *p)
{
    change->name = stripped(ssm_text(r, "Name"));
    if (!texts_ok(r, p) || !enums_ok(r, p) || !type_ok(r, change, p) || !key_ok(s, r, change, p))
        return false;
    change->policies = ssm_policies_of(r, change, p);
    if (!change->policies || !tier_ok(r, change, p))
        return false;
    if (json_array_size(change->policies) > 0 && strcmp(change->tier, "Advanced") != 0)
        return refuse(p, r, "Parameter policies are only supported for parameters of the advanced-parameter tier.");
    return value_ok(r, change, p) && pattern_ok(r, p);
}

void ssm_change_release(struct ssm_change *change)
{
    json_decref(change->policies);
    free(change->name);
}
