/* Renames that could not be finished, or taken back, by the call that began them: after a crash, after a failure. Private to src/vfs. */
#ifndef VFS_RESUME_H
#define VFS_RESUME_H

#include "journal/renames.h"
#include "vfs/tree.h"

/* Goes on in the background with what earlier mounts have left. Read-only mounts leave it to the next one. */
void resume_begin(struct vfs *v);

/* The program is told that its rename failed with `why`: copies are removed, at once unless it was killed. `unheard`: some may still
 * come; they are looked for again a moment later. What cannot be removed now is the next mount's. Takes the note. */
void resume_undo(struct vfs *v, struct rename_note *note, const struct err *why, bool unheard);

/* The program is told that its rename failed, and a person has to finish it. Takes the note; NULL is fine. */
void resume_leave(struct vfs *v, struct rename_note *note);

/* Whether a request that failed so may have been carried out all the same, or may still be. */
bool resume_unheard(enum err_code code);

#endif
