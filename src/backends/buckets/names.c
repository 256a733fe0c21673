#include "aws/endpoint.h"
#include "backends/buckets/impl.h"
#include "util/str.h"

#include <string.h>

#define LOWER_DIGIT "abcdefghijklmnopqrstuvwxyz0123456789"

bool bucket_split(const char *key, char name[BUCKET_NAME_MAX + 1], const char **rest)
{
    size_t len = strcspn(key, "/");
    if (len == 0 || len > BUCKET_NAME_MAX)
        return false;
    memcpy(name, key, len);
    name[len] = 0;
    *rest = key[len] == '/' ? key + len + 1 : NULL;
    return bucket_name_possible(name);
}

bool bucket_name_possible(const char *name)
{
    return bucket_name_check(name, NULL) == ERR_OK && !bucket_is_directory(name);
}

/* Four numbers with dots between them. */
static bool is_address(const char *name)
{
    unsigned dots = 0;
    for (const char *p = name; *p; p++)
        dots += *p == '.';
    return dots == 3 && strspn(name, "0123456789.") == strlen(name);
}

/* AWS's rules for general purpose buckets; other servers' are the same or narrower. */
enum err_code bucket_name_check_new(const char *name, struct err *e)
{
    static const char *const begins[] = {"xn--", "sthree-", "amzn-s3-demo-"};
    static const char *const ends[] = {"-s3alias", "--ol-s3", "--x-s3", "--table-s3", ".mrap"};
    size_t len = strlen(name);
    if (len < 3 || len > 63 || strspn(name, LOWER_DIGIT ".-") != len || strchr(".-", name[0]) != NULL ||
        strchr(".-", name[len - 1]) != NULL || strstr(name, "..") != NULL)
        return err_set(e, ERR_INVAL,
                       "'%.80s' cannot be a bucket's name: 3 to 63 lower-case letters, digits, dots and hyphens, a letter "
                       "or digit at both ends, no two dots together",
                       name);
    if (is_address(name))
        return err_set(e, ERR_INVAL, "'%s' cannot be a bucket's name: it has the form of an IP address", name);
    for (size_t i = 0; i < ARRAY_LEN(begins); i++)
        if (str_starts(name, begins[i]))
            return err_set(e, ERR_INVAL, "a bucket's name must not begin with '%s': '%s'", begins[i], name);
    for (size_t i = 0; i < ARRAY_LEN(ends); i++)
        if (str_ends(name, ends[i]))
            return err_set(e, ERR_INVAL, "a bucket's name must not end with '%s': '%s'", ends[i], name);
    return ERR_OK;
}
