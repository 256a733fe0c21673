/* Puts the bytes of journal entries into the store, and aborts uploads there: the part of awsfs journal that needs the network. */
#ifndef CLI_JOURNAL_RETRY_H
#define CLI_JOURNAL_RETRY_H

#include "cli/journal_find.h"
#include "util/buf.h"

struct journal_store;

/* The store of a mount, with the options it was mounted with and, behind them, `lists`; nothing is asked of it yet. ERR_INVAL: another
 * endpoint than the mount had, or what options and credentials say. NULL with an error. */
struct journal_store *journal_store_open(const struct journal_mount *m, const char *const *lists, size_t n, struct err *e);
void journal_store_free(struct journal_store *s);

/* Puts a failed entry under the condition that its file had (W4). Where others were faster the bytes are put beside as a conflict
 * copy. The object's key is appended to `key`. The entry stays. ERR_UNSUPPORTED: it cannot be known what it was to become, or bytes of
 * it are nowhere; ERR_CONFLICT: bytes of it are those of a version that is not there any more; the errors of a put. */
enum err_code journal_put(struct journal_store *s, const struct journal_entry *entry, struct buf *key, struct err *e) MUST_CHECK;

/* Sends all that the mount's journal of write=back has, in its order. Nobody may have it open. What stays is there at the next attempt.
 * ERR_IO with the number and the first error, what wal_open() says. */
enum err_code journal_send(struct journal_store *s, const struct journal_mount *m, struct err *e) MUST_CHECK;

/* Finishes a rename, or takes it back where it had failed, and removes its record. Nobody may have the mount. ERR_BUSY: what the mount
 * has journaled goes first; ERR_CONFLICT: it was finished but for what others have changed; the record stays. */
enum err_code journal_rename(struct journal_store *s, const struct journal_entry *entry, struct err *e) MUST_CHECK;

/* Asks for the uploads of an intent's key that may be what it has led to, those that are recorded left out: calls fn for each. */
enum err_code journal_suspects(struct journal_store *s, const struct journal_entry *intent, void (*fn)(void *arg, const char *upload_id),
                               void *arg, struct err *e) MUST_CHECK;

/* Aborts a recorded upload; also ERR_OK where there is none any more. */
enum err_code journal_abort(struct journal_store *s, const struct journal_entry *entry, struct err *e) MUST_CHECK;

#endif
