/* The operations by name, and which one a request asks for. */
#pragma once

struct request;

/* clang-format off */
#define S3_OPERATIONS(X) \
    X(ListBuckets) X(CreateBucket) X(DeleteBucket) X(HeadBucket) X(GetBucketLocation) X(GetBucketVersioning) \
    X(GetBucketOwnershipControls) X(PutBucketOwnershipControls) X(GetBucketAcl) \
    X(CreateSession) X(ListObjectsV2) X(ListObjects) X(ListMultipartUploads) X(DeleteObjects) \
    X(HeadObject) X(GetObject) X(PutObject) X(CopyObject) X(DeleteObject) \
    X(CreateMultipartUpload) X(UploadPart) X(UploadPartCopy) X(ListParts) X(AbortMultipartUpload) \
    X(CompleteMultipartUpload) X(GetObjectTagging) X(PutObjectTagging) X(DeleteObjectTagging) \
    X(GetObjectAcl) X(PutObjectAcl) X(RenameObject) X(PutObjectAnnotation) X(GetObjectAnnotation) \
    X(DeleteObjectAnnotation) X(Unknown)
#define SSM_OPERATIONS(X) \
    X(GetParameter) X(GetParameters) X(GetParametersByPath) X(GetParameterHistory) X(DescribeParameters) \
    X(PutParameter) X(DeleteParameter) X(DeleteParameters) X(LabelParameterVersion) X(UnlabelParameterVersion) \
    X(AddTagsToResource) X(RemoveTagsFromResource) X(ListTagsForResource)
/* clang-format on */

#define OP_NAME(name) OP_##name,
enum op { S3_OPERATIONS(OP_NAME) SSM_OPERATIONS(OP_NAME) OP_COUNT };
#undef OP_NAME

/* "GetObject" and the like: the kinds of counts, log and faults. */
const char *op_name(enum op op);

/* The operation that the parsed request asks for; OP_Unknown for every sub-resource that is not implemented. */
enum op op_of_request(const struct request *r);
