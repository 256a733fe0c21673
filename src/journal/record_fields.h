/* Which fields a kind of record has, and in which order they are encoded; what makes a record legal. Private to the records. */
#ifndef JOURNAL_RECORD_FIELDS_H
#define JOURNAL_RECORD_FIELDS_H

#include "journal/record.h"

#define RECORD_VERSION     1
#define RECORD_FIELDS_MAX  12

enum record_field {
    FIELD_END,
    FIELD_WHEN,
    FIELD_OF,
    FIELD_KEY,
    FIELD_TO,
    FIELD_ETAG,
    FIELD_COND,
    FIELD_SIZE,
    FIELD_META,
    FIELD_MTIME,
    FIELD_SHA512,
    FIELD_CRC,
    FIELD_BODY,
    FIELD_TREE,
    FIELD_PROPERTY,
    FIELD_UPLOAD_ID,
    FIELD_PARTS,
    FIELD_HOW,
    FIELD_VERSION,
    FIELD_ERROR,
};

/* Ends with FIELD_END; NULL where there is no such kind. */
const enum record_field *record_fields(enum record_kind kind);

bool record_has_field(enum record_kind kind, enum record_field field);

/* ERR_INVAL where the record breaks one of the rules of record.h; the message says which. */
enum err_code record_check(const struct record *r, struct err *e) MUST_CHECK;

#endif
