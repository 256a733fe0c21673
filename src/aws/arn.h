/* ARNs that stand where a bucket's name can: access points of S3, of Object Lambda and of Outposts. All pure. */
#ifndef AWS_ARN_H
#define AWS_ARN_H

#include "aws/region.h"
#include "awsfs/err.h"

#include <stdbool.h>
#include <stddef.h>

enum arn_kind {
    ARN_ACCESS_POINT,  /* arn:aws:s3:REGION:ACCOUNT:accesspoint/NAME */
    ARN_MULTI_REGION,  /* arn:aws:s3::ACCOUNT:accesspoint/ALIAS.mrap */
    ARN_OBJECT_LAMBDA, /* arn:aws:s3-object-lambda:REGION:ACCOUNT:accesspoint/NAME */
    ARN_OUTPOST,       /* arn:aws:s3-outposts:REGION:ACCOUNT:outpost/op-ID/accesspoint/NAME */
};

struct arn {
    enum arn_kind kind;
    char partition[16];
    char region[AWS_REGION_SIZE]; /* "" with ARN_MULTI_REGION */
    char account[13];
    char name[64];    /* of the access point; of a multi-region one its alias, with ".mrap" */
    char outpost[64]; /* "op-..."; "" unless ARN_OUTPOST */
};

bool arn_is(const char *text);

/* Takes apart the ARN that `text` begins with; ':' and '/' both separate the parts of its resource. *len takes its
 * length, behind which "" or "/..." follows; NULL: nothing may follow. ERR_INVAL names what is wrong, ERR_UNSUPPORTED a
 * kind of ARN that is no access point. */
enum err_code arn_parse(const char *text, struct arn *out, size_t *len, struct err *e) MUST_CHECK;

#endif
