#include "aws/region.h"

#include "aws/imds.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

bool aws_region_valid(const char *name)
{
    size_t len = strlen(name), digits = strspn(name, "0123456789");

    if (!len || len >= AWS_REGION_SIZE || digits == len || name[0] == '-' || name[len - 1] == '-')
        return false;
    for (; *name; name++)
        if (!isalnum((unsigned char)*name) && *name != '-')
            return false;
    return true;
}

static enum err_code take(struct aws_region *out, const char *name, const char *why, struct err *e)
{
    if (!aws_region_valid(name))
        return err_set(e, ERR_INVAL, "'%.80s' (%s) is no region: a region is letters, digits and '-', like eu-west-1",
                       name, why);
    snprintf(out->name, sizeof(out->name), "%s", name);
    snprintf(out->why, sizeof(out->why), "%s", why);
    return ERR_OK;
}

static enum err_code ask_instance(const struct profiles *p, struct http_engine *engine, struct cancel *cancel,
                                  struct aws_region *out, struct err *e)
{
    CLEANUP_RELEASE(imds_release) struct imds m = {0};
    BUF(name, 256);
    enum err_code code;

    if ((code = imds_init(&m, engine, p, cancel, e)) ||
        (code = imds_get(&m, "latest/meta-data/placement/region", &name, e)))
        return code;
    return take(out, buf_str(&name), "the instance's own region (IMDS)", e);
}

enum err_code aws_region_find(const struct profiles *p, const char *option, struct http_engine *engine,
                              struct cancel *cancel, struct aws_region *out, struct err *e)
{
    const char *profile = profiles_active(p), *value;
    struct err local = ERR_INIT;
    char why[AWS_WHY_SIZE];

    if (option)
        return take(out, option, "option region=", e);
    if ((value = env_get("AWS_REGION")))
        return take(out, value, "AWS_REGION", e);
    if ((value = env_get("AWS_DEFAULT_REGION")))
        return take(out, value, "AWS_DEFAULT_REGION", e);
    snprintf(why, sizeof(why), "profile %s", profile);
    if ((value = profiles_get(p, profile, "region", NULL)))
        return take(out, value, why, e);
    if (engine && !ask_instance(p, engine, cancel, out, &local))
        return ERR_OK;
    if (local.code == ERR_INVAL || local.code == ERR_CANCELED)
        return err_copy(e, &local);
    return err_set(e, ERR_NOT_FOUND,
                   "no region: set region=, AWS_REGION, AWS_DEFAULT_REGION or `region` in profile %s of %s%s%s",
                   profile, profiles_path(p, PROFILE_CONFIG), engine ? "; instance metadata: " : "", local.msg);
}
