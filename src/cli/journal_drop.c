/* Entries that somebody does not want any more. */
#include "cli/journal_find.h"
#include "journal/renames.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* A rename is a copy and a removal: without the copy the removal would take the last of it. */
static enum err_code drop_op(const struct journal_entry *entry, struct err *e)
{
    struct journal_log *log = entry->mount->log;
    const struct journal_op *op = entry->op;
    if (!op || !log)
        return err_set(e, ERR_BUSY, "the mount at %s is about to send it", entry->mount->mountpoint);
    for (size_t i = 0; i < journal_log_size(log); i++) {
        const struct journal_op *later = journal_log_at(log, i);
        bool needs = (later->from && strcmp(later->from, op->key) == 0) || (op->from && strcmp(later->key, op->from) == 0);
        if (later->number > op->number && needs && !later->discarded)
            return err_set(e, ERR_BUSY, "%s-%llu depends on it: discard that first", record_kind_name(later->kind),
                           (unsigned long long)later->number);
    }
    return journal_log_discard(log, op, e);
}

static enum err_code drop_rename(const struct journal_entry *entry, struct err *e)
{
    struct rename_note *note;
    struct rename_plan *plan;
    enum err_code code = renames_take(entry->path, &note, &plan, e);
    if (code)
        return code;
    rename_plan_free(plan);
    rename_note_end(note);
    return ERR_OK;
}

enum err_code journal_drop(const struct journal_entry *entry, struct err *e)
{
    if (entry->kind == JOURNAL_RENAME)
        return drop_rename(entry, e);
    if (entry->kind == JOURNAL_PENDING)
        return drop_op(entry, e);
    if (entry->kind == JOURNAL_FAILED || entry->kind == JOURNAL_UNFINISHED || entry->kind == JOURNAL_UNREADABLE)
        return left_remove(entry->path, e);
    return unlink(entry->path) == 0 || errno == ENOENT ? ERR_OK : err_sys(e, errno, "%s", entry->path);
}
