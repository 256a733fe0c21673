#include "cli/cache_dir.h"

#include "aws/client.h"
#include "util/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool cache_dir(const struct options *o, char out[PATH_MAX])
{
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    int n = -1;

    if (o->cache && strcmp(o->cache, "none") == 0)
        return false;
    if (o->cache)
        n = snprintf(out, PATH_MAX, "%s", o->cache);
    else if (geteuid() == 0)
        n = snprintf(out, PATH_MAX, "/var/cache/awsfs");
    else if (cache && cache[0] == '/')
        n = snprintf(out, PATH_MAX, "%s/awsfs", cache);
    else if (home && home[0] == '/')
        n = snprintf(out, PATH_MAX, "%s/.cache/awsfs", home);
    return n > 0 && n < PATH_MAX;
}

void cache_names(const struct stack *s, char *origin, size_t origin_size, char *prefix, size_t prefix_size)
{
    char where[512];
    const char *bucket = s->source->bucket, *key = s->source->prefix;
    size_t len = bucket ? strlen(bucket) : 0;

    aws_client_endpoint(s->client, where, sizeof(where));
    char *host = strstr(where, "://");
    host = host ? host + 3 : where;
    if (strstr(host, ".amazonaws.com"))
        snprintf(origin, origin_size, "aws%s", strstr(host, ".amazonaws.com.cn") ? "-cn" : "");
    else if (len > 0 && strncmp(host, bucket, len) == 0 && host[len] == '.')
        snprintf(origin, origin_size, "%.*s%s", (int)(host - where), where, host + len + 1);
    else
        snprintf(origin, origin_size, "%s", where);
    snprintf(prefix, prefix_size, "%s%s%s", bucket ? bucket : "", bucket ? "/" : "", bucket && key ? key : "");
}
