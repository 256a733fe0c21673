/* TLS trust and proxies, as the environment and the configuration have them. */
#include "net/http_internal.h"

#include "util/str.h"

#include <stdio.h>
#include <string.h>

static const char *env_get(const char *name)
{
    const char *v = getenv(name);
    return v && *v ? v : NULL;
}

void http_env_release(struct http_env *env)
{
    free(env->ca_file);
    free(env->ca_dir);
    free(env->plain_proxy);
    memset(env, 0, sizeof(*env));
}

static bool copy(char **out, const char *s)
{
    *out = s ? str_ndup(s, strlen(s)) : NULL;
    return !s || *out;
}

/* A bundle that somebody named stands alone. libcurl's own bundle is used without its directory: only then does it keep
 * the parsed certificates between connections (some 20 ms of CPU each). */
static void choose_trust(const char *ca_bundle, const char **file, const char **dir)
{
    *file = ca_bundle ? ca_bundle : env_get("AWS_CA_BUNDLE");
    *dir = NULL;
    if (!*file)
        *file = env_get("CURL_CA_BUNDLE");
    if (*file)
        return;
    *file = env_get("SSL_CERT_FILE");
    *dir = env_get("SSL_CERT_DIR");
    if (*file || *dir)
        return;
    const curl_version_info_data *info = curl_version_info(CURLVERSION_NOW);
    if (info->cainfo && access(info->cainfo, R_OK) == 0)
        *file = info->cainfo;
    else
        *dir = info->capath;
}

enum err_code http_env_init(struct http_env *env, const char *ca_bundle, struct err *e)
{
    memset(env, 0, sizeof(*env));
    if (ca_bundle && access(ca_bundle, R_OK) != 0)
        return err_set(e, ERR_INVAL, "the CA bundle %s cannot be read", ca_bundle);
    const char *file, *dir, *proxy = NULL;
    choose_trust(ca_bundle, &file, &dir);
    if (!env_get("http_proxy") && !env_get("all_proxy") && !env_get("ALL_PROXY"))
        proxy = env_get("HTTP_PROXY");
    if (copy(&env->ca_file, file) && copy(&env->ca_dir, dir) && copy(&env->plain_proxy, proxy))
        return ERR_OK;
    http_env_release(env);
    return err_set(e, ERR_NOMEM, "no memory for the HTTP engine");
}

CURLcode http_env_apply(const struct http_transfer *t)
{
    const struct http_engine *h = t->h;
    CURLcode rc = curl_easy_setopt(t->easy, CURLOPT_SSL_VERIFYPEER, h->insecure_tls ? 0L : 1L);
    if (!rc)
        rc = curl_easy_setopt(t->easy, CURLOPT_SSL_VERIFYHOST, h->insecure_tls ? 0L : 2L);
    if (!rc)
        rc = curl_easy_setopt(t->easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    if (!rc && (h->env.ca_file || h->env.ca_dir)) {
        rc = curl_easy_setopt(t->easy, CURLOPT_CAINFO, h->env.ca_file);
        if (!rc)
            rc = curl_easy_setopt(t->easy, CURLOPT_CAPATH, h->env.ca_dir);
    }
    /* An empty proxy also keeps libcurl from looking into the environment. */
    if (!rc && t->req.no_proxy)
        rc = curl_easy_setopt(t->easy, CURLOPT_PROXY, "");
    else if (!rc && h->env.plain_proxy && str_starts(t->url, "http:"))
        rc = curl_easy_setopt(t->easy, CURLOPT_PROXY, h->env.plain_proxy);
    return rc;
}
