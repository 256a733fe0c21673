#include "aws/settings.h"

#include "util/cleanup.h"
#include "util/str.h"

#include <strings.h>

/* A setting's value and where it stands, for messages. */
struct found {
    const char *value; /* NULL: not set */
    const char *where; /* the variable, or the profile's key */
};

/* `variable` NULL: there is none. `sub` is an element of the profile's block `key`, or NULL. */
static struct found find(const struct profiles *p, const char *variable, const char *key, const char *sub)
{
    const char *value = variable ? env_get(variable) : NULL;

    if (value)
        return (struct found){value, variable};
    return (struct found){profiles_get(p, profiles_active(p), key, sub), sub ? sub : key};
}

/* The same where a key of the profile itself goes before one of its block `s3`. */
static struct found find_either(const struct profiles *p, const char *variable, const char *key, const char *sub)
{
    struct found f = find(p, variable, key, NULL);

    return f.value ? f : find(p, NULL, "s3", sub);
}

static bool is_true(struct found f)
{
    return config_is_true(f.value);
}

/* The place of the value in the list, which a NULL ends; `preset` where it is not set. */
static enum err_code choose(struct found f, const char *const *legal, int preset, int *out, struct err *e)
{
    BUF(list, 256);
    int i = 0;

    *out = preset;
    if (!f.value)
        return ERR_OK;
    for (; legal[i]; i++) {
        if (!strcasecmp(f.value, legal[i])) {
            *out = i;
            return ERR_OK;
        }
        buf_addf(&list, "%s%s", i ? ", " : "", legal[i]);
    }
    return err_set(e, ERR_INVAL, "%s is '%.80s'; legal are %s", f.where, f.value, buf_str(&list));
}

static enum err_code read_styles(const struct profiles *p, struct aws_settings *s, struct err *e)
{
    static const char *const styles[] = {"auto", "path", "virtual", NULL};
    static const char *const places[] = {"regional", "legacy", NULL};
    int style, s3, sts;
    enum err_code code;

    if ((code = choose(find(p, NULL, "s3", "addressing_style"), styles, 0, &style, e)) ||
        (code = choose(find_either(p, "AWS_S3_US_EAST_1_REGIONAL_ENDPOINT", "s3_us_east_1_regional_endpoint",
                                   "us_east_1_regional_endpoint"),
                       places, 0, &s3, e)) ||
        (code = choose(find(p, "AWS_STS_REGIONAL_ENDPOINTS", "sts_regional_endpoints", NULL), places, 0, &sts, e)))
        return code;
    s->addressing = (enum aws_addressing)style;
    s->s3_global = s3 == 1;
    s->sts_global = sts == 1;
    return ERR_OK;
}

/* The retry mode changes nothing here (docs/endpoints.md says why), but a wrong one is a slip that its user wants to
 * know. The connect time-outs are those of the SDKs' common file of defaults. */
static enum err_code read_retries(const struct profiles *p, struct aws_settings *s, struct err *e)
{
    static const char *const modes[] = {"legacy", "standard", "adaptive", NULL};
    static const char *const defaults[] = {"legacy", "standard", "cross-region", "in-region", "mobile", "auto", NULL};
    static const unsigned connect_ms[] = {0, 3100, 3100, 1100, 30000, 3100};
    struct found attempts = find(p, "AWS_MAX_ATTEMPTS", "max_attempts", NULL);
    uint64_t n = 0;
    int mode, preset;
    enum err_code code;

    if ((code = choose(find(p, "AWS_RETRY_MODE", "retry_mode", NULL), modes, 0, &mode, e)) ||
        (code = choose(find(p, "AWS_DEFAULTS_MODE", "defaults_mode", NULL), defaults, 0, &preset, e)))
        return code;
    if (attempts.value && (!str_parse_u64(attempts.value, &n) || n < 1 || n > 1000))
        return err_set(e, ERR_INVAL, "%s is '%.80s'; legal are numbers from 1 to 1000", attempts.where, attempts.value);
    s->max_attempts = (unsigned)n;
    s->connect_ms = connect_ms[preset];
    return ERR_OK;
}

enum err_code aws_settings_read(const struct profiles *p, struct aws_settings *out, struct err *e)
{
    struct found arn = find_either(p, "AWS_S3_USE_ARN_REGION", "s3_use_arn_region", "use_arn_region");
    struct aws_settings s = {
        .dualstack = is_true(find(p, "AWS_USE_DUALSTACK_ENDPOINT", "use_dualstack_endpoint", NULL)),
        .fips = is_true(find(p, "AWS_USE_FIPS_ENDPOINT", "use_fips_endpoint", NULL)),
        .s3_dualstack = is_true(find(p, NULL, "s3", "use_dualstack_endpoint")),
        .accelerate = is_true(find(p, NULL, "s3", "use_accelerate_endpoint")),
        .foreign_arn_region = !arn.value || is_true(arn),
        .no_multi_region =
            is_true(find_either(p, "AWS_S3_DISABLE_MULTIREGION_ACCESS_POINTS", "s3_disable_multiregion_access_points",
                                "s3_disable_multiregion_access_points")),
        .no_session = is_true(find(p, "AWS_S3_DISABLE_EXPRESS_SESSION_AUTH", "s3_disable_express_session_auth", NULL)),
    };
    enum err_code code;

    if ((code = read_styles(p, &s, e)) || (code = read_retries(p, &s, e)))
        return code;
    *out = s;
    return ERR_OK;
}

void aws_settings_ca_bundle(const struct profiles *p, struct buf *out)
{
    struct found f = find(p, "AWS_CA_BUNDLE", "ca_bundle", NULL);

    if (!f.value)
        f.value = env_get("REQUESTS_CA_BUNDLE");
    if (f.value)
        profile_expand_path(out, f.value);
}
