/* Removing what the trials of `awsfs check` made all the same: on servers that ignore conditions, where buckets have
 * versions, and where an answer was lost. */
#include "backends/s3/check.h"

#include "util/xml.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void note_left(struct s3_check *c, const char *what, const char *key, const struct err *e)
{
    (void)snprintf(c->left, sizeof(c->left), "%s %s%s may be left: %.180s", what, c->s->prefix, key, e->msg);
}

/* `version` of `key`, or whatever is there. */
static void delete_made(struct s3_check *c, const char *key, const char *version, const struct store_call *call)
{
    PARAMS(query);
    S3_ANSWER(a);
    struct err e = ERR_INIT;
    if (version[0] != 0 && strcmp(version, "null") != 0)
        params_add(&query, "versionId", version);
    const struct s3_request r = {.method = HTTP_DELETE,
                                 .what = "DeleteObject",
                                 .key = key,
                                 .query = params_list(&query),
                                 .call = call,
                                 .max_attempts = S3_CHECK_ATTEMPTS};
    enum err_code code = s3_call(c->s, &r, &a, &e);
    if (code != ERR_OK && code != ERR_NOT_FOUND)
        note_left(c, "the object", key, &e);
}

static void abort_upload(struct s3_check *c, const char *id, const struct store_call *call)
{
    struct err e = ERR_INIT;
    if (s3_upload_abort(c->s, c->upload, id, call, &e) != ERR_OK)
        note_left(c, "an upload of", c->upload, &e);
}

/* Uploads whose beginning was not answered, so that their ids are not known. */
static void abort_unknown(struct s3_check *c, const struct store_call *call)
{
    PARAMS(query);
    S3_ANSWER(a);
    struct err e = ERR_INIT;
    CLEANUP(free) char *key = s3_full_key(c->s, c->upload);
    params_add(&query, "uploads", NULL);
    params_add(&query, "prefix", key != NULL ? key : "");
    const struct s3_request r = {.method = HTTP_GET,
                                 .what = "ListMultipartUploads",
                                 .query = params_list(&query),
                                 .call = call,
                                 .max_attempts = S3_CHECK_ATTEMPTS};
    if (key == NULL || s3_call(c->s, &r, &a, &e) != ERR_OK) {
        note_left(c, "an upload of", c->upload, &e);
        return;
    }
    CLEANUP(xml_doc_free) struct xml_doc *doc = xml_parse(buf_str(&a.body), a.body.len, NULL);
    const struct xml_node *one = doc != NULL ? xml_child(xml_root(doc), "Upload") : NULL;
    for (; one != NULL; one = xml_next(one, NULL))
        if (strcmp(xml_child_text(one, "Key"), key) == 0)
            abort_upload(c, xml_child_text(one, "UploadId"), call);
}

static bool was_made(const struct s3_outcome *o)
{
    return o->tried && (o->code == ERR_OK || (o->status == 0 && o->unanswered > 0));
}

void s3_check_clean(void *check, const struct store_call *call)
{
    struct s3_check *c = check;
    const struct s3_outcome *o = c->o;
    if (was_made(&o[S3_TRY_PUT]))
        delete_made(c, c->made, o[S3_TRY_PUT].version_id, call);
    if (was_made(&o[S3_TRY_PUT_TAGS]))
        delete_made(c, c->tagged, o[S3_TRY_PUT_TAGS].version_id, call);
    if (o[S3_TRY_DELETE].delete_marker && o[S3_TRY_DELETE].version_id[0] != 0)
        delete_made(c, c->scratch, o[S3_TRY_DELETE].version_id, call);
    if (o[S3_TRY_CREATE].status == 0 && o[S3_TRY_CREATE].unanswered > 0)
        abort_unknown(c, call);
    if (o[S3_TRY_CREATE].upload_id[0] != 0)
        abort_upload(c, o[S3_TRY_CREATE].upload_id, call);
}

bool s3_check_must_clean(const struct s3_check *c)
{
    const struct s3_outcome *o = c->o;
    const struct s3_outcome *create = &o[S3_TRY_CREATE];
    return was_made(&o[S3_TRY_PUT]) || was_made(&o[S3_TRY_PUT_TAGS]) || o[S3_TRY_DELETE].delete_marker ||
           create->upload_id[0] != 0 || (create->status == 0 && create->unanswered > 0);
}
