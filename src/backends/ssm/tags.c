/* Tags of a parameter. */
#include "backends/ssm/attrs.h"

#include "backends/ssm/call.h"
#include "backends/ssm/impl.h"
#include "backends/ssm/requests.h"
#include "util/log.h"
#include "util/str.h"

#include <string.h>

static enum err_code list(struct ssm *s, const char *name, const struct store_call *call, struct ssm_tags *out, struct err *e)
{
    BUF(request, SSM_BODY_MAX);
    ssm_request_tags(&request, name);
    SSM_REPLY(reply);
    enum err_code code = ssm_call(s, "ListTagsForResource", name, &request, call, &reply, e);
    if (code == ERR_OK)
        code = ssm_parse_tags(buf_str(&reply.body), reply.body.len, out, e);
    return code;
}

enum err_code tags_get(struct ssm *s, const char *name, const char *property, const struct store_call *call, struct buf *out,
                       struct err *e)
{
    CLEANUP_RELEASE(ssm_tags_release) struct ssm_tags tags = {0};
    bool one = str_starts(property, SSM_TAG_PREFIX);
    enum err_code code = list(s, name, call, &tags, e);
    if (code != ERR_OK)
        return code;
    for (size_t i = 0; i < tags.n; i++) {
        if (one && strcmp(tags.tags[i].key, property + strlen(SSM_TAG_PREFIX)) == 0) {
            buf_add_str(out, tags.tags[i].value);
            return buf_check(out, property, e);
        }
        if (one)
            continue;
        if (i > 0)
            buf_add_char(out, '&');
        uri_encode(out, tags.tags[i].key, strlen(tags.tags[i].key), false);
        buf_add_char(out, '=');
        uri_encode(out, tags.tags[i].value, strlen(tags.tags[i].value), false);
    }
    return one || tags.n == 0 ? err_set(e, ERR_NO_ATTR, "%s has no %s", name, property) : buf_check(out, property, e);
}

static enum err_code add(struct ssm *s, const char *name, const struct ssm_tags *tags, const struct store_call *call,
                         struct err *e)
{
    BUF(request, SSM_BODY_MAX);
    ssm_request_add_tags(&request, name, tags);
    SSM_REPLY(reply);
    return ssm_call(s, "AddTagsToResource", name, &request, call, &reply, e);
}

enum err_code tags_set(struct ssm *s, const char *name, const char *tag, const char *value, size_t len,
                       const struct store_call *call, struct err *e)
{
    if (value == NULL) {
        BUF(request, SSM_BODY_MAX);
        ssm_request_remove_tag(&request, name, tag);
        SSM_REPLY(reply);
        return ssm_call(s, "RemoveTagsFromResource", name, &request, call, &reply, e);
    }
    CLEANUP_RELEASE(ssm_tags_release) struct ssm_tags tags = {0};
    if (memchr(value, '\0', len) != NULL || !utf8_valid(value, len) || !utf8_valid(tag, strlen(tag)))
        return err_set(e, ERR_INVAL, "%s: a tag is UTF-8 text", name);
    tags.tags[0] = (struct ssm_tag){.key = strdup(tag), .value = str_ndup(value, len)};
    tags.n = 1;
    if (tags.tags[0].key == NULL || tags.tags[0].value == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    return add(s, name, &tags, call, e);
}

enum err_code tags_put(struct ssm *s, const char *name, const struct store_meta *meta, const struct store_call *call,
                       struct err *e)
{
    CLEANUP_RELEASE(ssm_tags_release) struct ssm_tags tags = {0};
    for (size_t i = 0; meta != NULL && i < meta->n_props && tags.n < SSM_TAGS_MAX; i++) {
        const struct meta_pair *p = &meta->props[i];
        if (!str_starts(p->name, ATTRS_NEW_PREFIX SSM_TAG_PREFIX))
            continue;
        struct ssm_tag *t = &tags.tags[tags.n++];
        *t = (struct ssm_tag){.key = strdup(p->name + strlen(ATTRS_NEW_PREFIX SSM_TAG_PREFIX)), .value = str_ndup(p->value, p->len)};
        if (t->key == NULL || t->value == NULL)
            return err_set(e, ERR_NOMEM, "out of memory");
    }
    return tags.n > 0 ? add(s, name, &tags, call, e) : ERR_OK;
}

enum err_code tags_copy(struct ssm *s, const char *from, const char *to, const struct store_call *call, struct err *e)
{
    CLEANUP_RELEASE(ssm_tags_release) struct ssm_tags tags = {0};
    struct err why = ERR_INIT;
    enum err_code code = list(s, from, call, &tags, &why);
    if (code == ERR_ACCESS) {
        LOG_WARN("ssm", "%s goes to %s without its tags, if it has any: %s", from, to, why.msg);
        return ERR_OK;
    }
    if (code != ERR_OK)
        return err_copy(e, &why);
    return tags.n > 0 ? add(s, to, &tags, call, e) : ERR_OK;
}
