/* Directory buckets ("NAME--ZONE--x-s3"): sessions, RenameObject, and what they do not have. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct object;
struct reply;
struct request;
struct server;

enum { SESSIONS_MAX = 64, RENAMES_MAX = 64 };

/* Keys that CreateSession gave out. */
struct session {
    char bucket[64], key_id[33], token[33];
    uint64_t until_ms; /* now_ms(); 0: a free place, or ended */
    char sse[16], sse_key[256]; /* of what is put with it; "": none was asked for */
};

/* A rename that was done, by its client token: repeated, it succeeds again. */
struct renamed {
    char *token, *from, *to;
};

struct directories {
    uint64_t session_ms; /* life of a session; 0: 300 s, as S3 */
    struct session sessions[SESSIONS_MAX];
    struct renamed renames[RENAMES_MAX];
    unsigned next_session, next_rename;
};

void directories_release(struct directories *d);

bool is_directory_bucket(const char *bucket);

/* Whether the request may be made there, as its signature and its headers are; false after putting the error into p.
 * True for other buckets. The signature itself is not verified. */
bool directory_allows(struct server *s, struct request *r, struct reply *p);

/* Ends all sessions: their keys are expired. */
void directory_expire(struct server *s);

/* An ETag that is no MD5, as all are there, and those of objects that KMS encrypts everywhere. */
void opaque_etag(struct server *s, const struct request *r, struct object *o);
