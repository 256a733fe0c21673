/* The two files of the tools before today's: the EC2 tools' AWS_CREDENTIAL_FILE and Boto 2's configuration. */
#include "aws/creds_source.h"

#include "aws/ini.h"
#include "aws/secret_file.h"

#include <ctype.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

/* Cuts off the blanks at both ends in place. */
static char *trim(char *s)
{
    while (isspace((unsigned char)*s))
        s++;
    for (size_t len = strlen(s); len && isspace((unsigned char)s[len - 1]); len--)
        s[len - 1] = '\0';
    return s;
}

/* The last "NAME=VALUE" of each name; other lines mean nothing. Cuts the text up. */
static void find_pair(char *text, const char **id, const char **secret)
{
    for (char *line = text, *next; line; line = next) {
        next = strchr(line, '\n');
        if (next)
            *next++ = '\0';
        char *value = strchr(line, '=');
        if (!value)
            continue;
        *value++ = '\0';
        const char *name = trim(line);
        if (!strcmp(name, "AWSAccessKeyId"))
            *id = trim(value);
        else if (!strcmp(name, "AWSSecretKey"))
            *secret = trim(value);
    }
}

static enum err_code make(const char *id, const char *secret, const char *path, struct creds **out, struct err *e)
{
    struct err local = ERR_INIT;
    char source[96];

    snprintf(source, sizeof(source), "%s", path);
    *out = creds_new(id, secret, NULL, 0, source, &local);
    return *out ? ERR_OK : err_copy(e, &local);
}

enum err_code creds_ec2_file_load(const struct creds_context *ctx, struct creds **out, struct err *e)
{
    const char *variable = env_get("AWS_CREDENTIAL_FILE"), *id = NULL, *secret = NULL;
    BUF(path, PATH_MAX);
    BUF_SECRET(text, SECRET_FILE_MAX);
    struct err local = ERR_INIT;

    if (!variable)
        return err_set(e, ERR_NOT_FOUND, "AWS_CREDENTIAL_FILE is not set");
    profile_expand_path(&path, variable);
    enum err_code code = secret_file_read(buf_str(&path), true, &text, &local);
    if (code)
        return err_set(e, code == ERR_NOT_FOUND ? ERR_AUTH : code, "AWS_CREDENTIAL_FILE: %s", local.msg);
    if (text.len)
        find_pair(text.data, &id, &secret);
    if (!id)
        return err_set(e, ERR_NOT_FOUND, "%s has no AWSAccessKeyId", buf_str(&path));
    if (!secret)
        return err_set(e, ERR_AUTH, "%s has AWSAccessKeyId but no AWSSecretKey", buf_str(&path));
    return make(id, secret, buf_str(&path), out, e);
}

/* ERR_NOT_FOUND: the file has no keys. */
static enum err_code load_boto(const char *path, struct creds **out, struct err *e)
{
    struct err local = ERR_INIT;
    CLEANUP(ini_free) struct ini *ini = ini_load(path, true, &local);

    if (!ini)
        return err_copy(e, &local);
    if (ini_unreadable(ini))
        return err_set(e, ERR_ACCESS, "%s cannot be read", path);
    for (size_t i = 0; i < ini_sections(ini); i++) {
        if (strcmp(ini_section_name(ini, i), "Credentials"))
            continue;
        const char *id = ini_get(ini, i, "aws_access_key_id", NULL);
        const char *secret = ini_get(ini, i, "aws_secret_access_key", NULL);
        if (!id || !*id)
            continue;
        if (!secret || !*secret)
            return err_set(e, ERR_AUTH, "%s has aws_access_key_id but no aws_secret_access_key", path);
        return make(id, secret, path, out, e);
    }
    return ERR_NOT_FOUND;
}

enum err_code creds_boto_file_load(const struct creds_context *ctx, struct creds **out, struct err *e)
{
    static const char *const usual[] = {"/etc/boto.cfg", "~/.boto"};
    const char *variable = env_get("BOTO_CONFIG");
    const char *const *places = variable ? &variable : usual;
    size_t n = variable ? 1 : ARRAY_LEN(usual);

    for (size_t i = 0; i < n; i++) {
        BUF(path, PATH_MAX);

        profile_expand_path(&path, places[i]);
        enum err_code code = buf_check(&path, "BOTO_CONFIG", e);
        if (code || (code = load_boto(buf_str(&path), out, e)) != ERR_NOT_FOUND)
            return code;
    }
    return variable ? err_set(e, ERR_NOT_FOUND, "%s (BOTO_CONFIG) has no keys in [Credentials]", variable)
                    : err_set(e, ERR_NOT_FOUND, "neither /etc/boto.cfg nor ~/.boto has keys in [Credentials]");
}
