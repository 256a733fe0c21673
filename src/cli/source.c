#include "cli/source.h"

#include "aws/arn.h"
#include "util/cleanup.h"
#include "util/str.h"

#include <string.h>

#define S3_KEY_MAX  1024
#define SSM_MAX     1011 /* a parameter's whole name */
#define SSM_DEPTH   15
#define LOWER_DIGIT "abcdefghijklmnopqrstuvwxyz0123456789"

static bool bucket_ok(const char *b, size_t len)
{
    if (len < 3 || len > 63 || !strchr(LOWER_DIGIT, b[0]) || !strchr(LOWER_DIGIT, b[len - 1]))
        return false;
    for (size_t i = 0; i < len; i++) {
        if (!strchr(LOWER_DIGIT ".-", b[i]))
            return false;
        if (b[i] == '.' && b[i + 1] == '.')
            return false;
    }
    return true;
}

/* The length of the bucket's name, or of the ARN in its place. */
static enum err_code measure_bucket(const char *s, const char *rest, size_t *len, struct err *e)
{
    struct arn arn;

    *len = strcspn(rest, "/");
    if (arn_is(rest)) {
        enum err_code code = arn_parse(rest, &arn, len, e);
        return code ? err_prefix(e, code, "source") : ERR_OK;
    }
    if (bucket_ok(rest, *len))
        return ERR_OK;
    return err_set(e, ERR_INVAL, "source %s: a bucket's name has 3 to 63 lower-case letters, digits, dots and hyphens, as in "
                                 "s3://bucket/prefix", s);
}

/* No component is empty, "." or "..". One slash at the end is fine. */
static bool components_ok(const char *p)
{
    while (*p) {
        size_t n = strcspn(p, "/");
        if (!n || (n == 1 && p[0] == '.') || (n == 2 && p[0] == '.' && p[1] == '.'))
            return false;
        p += n + (p[n] == '/');
    }
    return true;
}

static enum err_code no_memory(struct source *out, struct err *e)
{
    source_release(out);
    return err_set(e, ERR_NOMEM, "no memory for the source");
}

static enum err_code parse_s3(const char *s, struct source *out, struct err *e)
{
    const char *rest = s + strlen("s3://");
    size_t len;

    if (!*rest || !strcmp(rest, "/")) {
        out->prefix = str_printf("%s", "");
        out->text = str_printf("s3://");
        return out->prefix && out->text ? ERR_OK : no_memory(out, e);
    }
    enum err_code code = measure_bucket(s, rest, &len, e);
    if (code != ERR_OK)
        return code;
    const char *prefix = rest[len] ? rest + len + 1 : "";
    if (!components_ok(prefix) || !utf8_valid(prefix, strlen(prefix)) || strlen(prefix) >= S3_KEY_MAX)
        return err_set(e, ERR_INVAL, "source %s: a prefix is UTF-8 of less than %d bytes without empty components, \".\" and "
                                     "\"..\", as in s3://bucket/some/prefix", s, S3_KEY_MAX);
    size_t plen = strlen(prefix);
    while (plen && prefix[plen - 1] == '/')
        plen--;
    out->bucket = str_ndup(rest, len);
    out->prefix = str_printf("%.*s%s", (int)plen, prefix, plen ? "/" : "");
    out->text = out->bucket ? str_printf("s3://%s%s%.*s", out->bucket, plen ? "/" : "", (int)plen, prefix) : NULL;
    return out->prefix && out->text ? ERR_OK : no_memory(out, e);
}

static enum err_code parse_ssm(const char *s, struct source *out, struct err *e)
{
    static const char legal[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-/";
    const char *path = s + strlen("ssm:");
    size_t len = strlen(path);
    unsigned depth = 0;

    while (len > 1 && path[len - 1] == '/' && path[len - 2] != '/')
        len--;
    for (size_t i = 0; i < len; i++)
        depth += path[i] == '/';
    if (len && (path[0] != '/' || strspn(path, legal) < len || len > SSM_MAX || depth > SSM_DEPTH ||
                (len > 1 && !components_ok(path + 1))))
        return err_set(e, ERR_INVAL, "source %s: a path of parameters begins with a slash and has up to %d levels of letters, "
                                     "digits, '_', '.' and '-', as in ssm:/prod/app", s, SSM_DEPTH);
    out->is_ssm = true;
    out->path = len ? str_ndup(path, len) : str_ndup("/", 1);
    out->text = out->path ? str_printf("ssm:%s", out->path) : NULL;
    return out->text ? ERR_OK : no_memory(out, e);
}

enum err_code source_parse(const char *s, struct source *out, struct err *e)
{
    memset(out, 0, sizeof(*out));
    if (str_starts(s, "s3://"))
        return parse_s3(s, out, e);
    if (str_starts(s, "ssm:"))
        return parse_ssm(s, out, e);
    return err_set(e, ERR_INVAL, "SOURCE \"%s\": legal are %s", s, SOURCE_FORMS);
}

void source_release(struct source *s)
{
    free(s->bucket);
    free(s->prefix);
    free(s->path);
    free(s->text);
    memset(s, 0, sizeof(*s));
}
