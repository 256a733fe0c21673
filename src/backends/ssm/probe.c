#include "aws/client.h"
#include "backends/ssm/call.h"
#include "backends/ssm/impl.h"
#include "backends/ssm/requests.h"

/* Says where the request went. */
static enum err_code with_address(struct ssm *s, enum err_code code, struct err *e)
{
    char endpoint[256], region[64];
    aws_client_endpoint(s->client, endpoint, sizeof(endpoint));
    aws_client_region(s->client, region, sizeof(region));
    return err_prefix(e, code, "%s (region %s)", endpoint, region[0] ? region : "not known");
}

/* Somebody may be allowed to read names that he knows, and not to list. */
static enum err_code try_to_read(struct ssm *s, const struct store_call *call, struct err *e)
{
    BUF(request, SSM_BODY_MAX);
    ssm_request_get(&request, s->path, false);
    SSM_REPLY(reply);
    struct err why = ERR_INIT;
    enum err_code code = ssm_call(s, "GetParameter", s->path, &request, call, &reply, &why);
    if (code == ERR_OK || code == ERR_NOT_FOUND)
        return ERR_OK;
    if (code == ERR_ACCESS)
        return err_set(e, ERR_ACCESS, "neither ssm:GetParametersByPath nor ssm:GetParameter is allowed on %s (%s)",
                       s->path, why.msg);
    return err_copy(e, &why);
}

enum err_code ssm_probe(void *impl, const struct store_call *call, struct err *e)
{
    struct ssm *s = impl;
    const char *path = s->path[0] ? s->path : "/";
    BUF(request, SSM_BODY_MAX);
    ssm_request_by_path(&request, s->path, 1, false, NULL);
    SSM_REPLY(reply);
    enum err_code code = ssm_call(s, "GetParametersByPath", path, &request, call, &reply, e);
    if (code == ERR_OK) {
        CLEANUP_RELEASE(ssm_page_release) struct ssm_page page = {0};
        code = ssm_parse_page(buf_str(&reply.body), reply.body.len, &page, e);
        if (code == ERR_OK)
            return ERR_OK;
        return with_address(s, err_prefix(e, code, "no answer of a Parameter Store"), e);
    }
    if (code == ERR_ACCESS && s->path[0])
        code = try_to_read(s, call, e);
    else if (code == ERR_ACCESS)
        code = err_prefix(e, code, "ssm:GetParametersByPath is not allowed on /");
    return code == ERR_OK ? ERR_OK : with_address(s, code, e);
}
