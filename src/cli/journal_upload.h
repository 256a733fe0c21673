/* Completing the upload that alone has bytes of a file (journal/stage.h, struct stage_sent). */
#ifndef CLI_JOURNAL_UPLOAD_H
#define CLI_JOURNAL_UPLOAD_H

#include "awsfs/store.h"
#include "cli/journal_find.h"

/* A copy of the parts, with texts of its own, malloc'd each; `*ok` becomes false without memory. */
struct stage_sent *journal_upload_parts(const struct stage_about *about, bool *ok);

/* Whether the upload has all that is not in the file. */
bool journal_upload_has_rest(const struct journal_entry *entry);

/* Sends what is in the file (`fd`), parts that are there for its own under their numbers, and makes the upload an object, which has the
 * attributes that it was begun with. The record of the upload goes. ERR_CONFLICT: others have the name, and an upload has no other;
 * ERR_IO: the upload is not there any more; the errors of a put. Then everything is as it was. */
enum err_code journal_upload_finish(struct store *st, const struct journal_entry *entry, int fd, const struct store_cond *cond,
                                    struct err *e) MUST_CHECK;

#endif
