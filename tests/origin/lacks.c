#include "lacks.h"

#include <string.h>

#include "reply.h"
#include "request.h"

#define SSE_C "x-amz-server-side-encryption-customer-"

enum { OPS_MAX = 4 };

/* What belongs to a feature: operations (from `ops` on) with a header or parameter that begins so; NULL: the operation
 * itself. */
static const struct {
    const char *name;
    enum op ops[OPS_MAX];
    const char *header, *param;
} table[] = {
    {"put-if-absent", {OP_PutObject}, "if-none-match", NULL},
    {"put-if-match", {OP_PutObject}, "if-match", NULL},
    {"multipart-if-absent", {OP_CompleteMultipartUpload}, "if-none-match", NULL},
    {"multipart-if-match", {OP_CompleteMultipartUpload}, "if-match", NULL},
    {"copy-if-absent", {OP_CopyObject}, "if-none-match", NULL},
    {"copy-if-match", {OP_CopyObject}, "if-match", NULL},
    {"copy-source-if-match", {OP_CopyObject}, "x-amz-copy-source-if-match", NULL},
    {"part-copy-source-if-match", {OP_UploadPartCopy}, "x-amz-copy-source-if-match", NULL},
    {"delete-if-match", {OP_DeleteObject}, "if-match", NULL},
    {"sha512", {OP_PutObject}, "x-amz-checksum-sha512", NULL},
    {"sha512", {OP_PutObject}, "x-amz-sdk-checksum-algorithm", NULL},
    {"crc64nvme", {OP_CreateMultipartUpload, OP_UploadPart, OP_CompleteMultipartUpload}, "x-amz-checksum-", NULL},
    {"crc64nvme", {OP_HeadObject}, "x-amz-checksum-mode", NULL},
    {"copy", {OP_CopyObject}, NULL, NULL},
    {"part-copy", {OP_UploadPartCopy}, NULL, NULL},
    {"delete-many", {OP_DeleteObjects}, NULL, NULL},
    {"delete-many-if-match", {OP_COUNT}, NULL, NULL}, /* in the body: op_delete_many.c */
    {"tags", {OP_GetObjectTagging, OP_PutObjectTagging, OP_DeleteObjectTagging}, NULL, NULL},
    {"acls", {OP_GetObjectAcl, OP_PutObjectAcl}, NULL, NULL},
    {"start-after", {OP_ListObjectsV2}, NULL, "start-after"},
    {"encoding-type", {OP_ListObjectsV2}, NULL, "encoding-type"},
    {"sse-c", {OP_PutObject, OP_CreateMultipartUpload, OP_UploadPart, OP_CopyObject}, SSE_C, NULL},
    {"sse-c", {OP_GetObject, OP_HeadObject}, SSE_C, NULL},
    {"encoded-metadata", {OP_PutObject}, "x-amz-meta-", NULL},
};

enum { ROWS = sizeof(table) / sizeof(table[0]) };

static bool take_names(const json_t *names, uint64_t *bits)
{
    size_t i;
    json_t *name;

    if (!names)
        return true;
    *bits = 0;
    json_array_foreach(names, i, name) {
        bool found = false;

        for (int row = 0; row < ROWS; row++) {
            if (!json_is_string(name) || strcmp(table[row].name, json_string_value(name)) != 0)
                continue;
            *bits |= 1ULL << row;
            found = true;
        }
        if (!found)
            return false;
    }
    return json_is_array(names);
}

const char *lacks_set(struct lacks *l, const json_t *settings)
{
    const char *place = json_string_value(json_object_get(settings, "addressing"));

    if (!take_names(json_object_get(settings, "ignore"), &l->ignored) ||
        !take_names(json_object_get(settings, "refuse"), &l->refused))
        return "settings: ignore and refuse are arrays of features";
    if (place && strcmp(place, "any") != 0 && strcmp(place, "path") != 0 && strcmp(place, "virtual") != 0)
        return "settings: addressing is any, path or virtual";
    if (place)
        l->place = *place == 'p' ? IN_PATH : *place == 'v' ? IN_HOST : ANY_PLACE;
    return NULL;
}

bool lacks_ignores(const struct lacks *l, const char *name)
{
    for (int row = 0; row < ROWS; row++)
        if (strcmp(table[row].name, name) == 0)
            return l->ignored >> row & 1;
    return false;
}

static bool concerns(int row, const struct request *r)
{
    for (int i = 0; i < OPS_MAX && (i == 0 || table[row].ops[i]); i++)
        if (table[row].ops[i] == r->op)
            return true;
    return false;
}

/* Metadata is only meant where it is encoded. */
static bool is_meant(int row, const struct pair *h)
{
    return strncmp(h->name, table[row].header, strlen(table[row].header)) == 0 &&
           (strcmp(table[row].name, "encoded-metadata") != 0 || strncmp(h->value, "=?", 2) == 0);
}

/* Whether the request has it; removes it where `blank`. */
static bool use(int row, struct request *r, bool blank)
{
    bool has = !table[row].header && !table[row].param;

    for (size_t i = 0; table[row].header && i < r->header_count; i++) {
        if (!is_meant(row, &r->headers[i]))
            continue;
        has = true;
        if (blank)
            *r->headers[i].name = 0;
    }
    for (size_t i = 0; table[row].param && i < r->param_count; i++) {
        if (strcmp(r->params[i].name, table[row].param) != 0)
            continue;
        has = true;
        if (blank)
            *r->params[i].name = 0;
    }
    return has;
}

bool lacks_apply(const struct lacks *l, struct request *r, struct reply *p)
{
    if ((l->place == IN_PATH && r->in_host) || (l->place == IN_HOST && r->bucket && !r->in_host)) {
        reply_error(p, r, r->in_host ? "NoSuchBucket" : "SecondLevelDomainForbidden");
        return false;
    }
    for (int row = 0; row < ROWS; row++) {
        if (!concerns(row, r))
            continue;
        /* A HEAD only shows what was kept. */
        if (l->refused >> row & 1 && r->op != OP_HeadObject && use(row, r, false)) {
            reply_error(p, r, "NotImplemented");
            return false;
        }
        if (l->ignored >> row & 1)
            (void)use(row, r, true);
    }
    return true;
}
