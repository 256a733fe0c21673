/* Renames that could not be finished, or taken back, by the call that began them: after a crash, after a failure. Private to src/vfs. */
#ifndef VFS_RESUME_H
#define VFS_RESUME_H

#include "vfs/rename.h"

/* Goes on in the background with what earlier mounts have left. Read-only mounts leave it to the next one. */
void resume_begin(struct vfs *v);

/* Who waits for a time is looked at now: nobody else does in this mount. With `closing` set. */
void resume_end(struct vfs *v);

/* Records a rename that is about to be made, in `note` and `left` of it: as renames_begin(). */
enum err_code resume_note(struct vfs *v, struct rename *r, const struct rename_plan *plan, bool durable, struct err *e) MUST_CHECK;

/* The program is told that its rename failed with `why`: copies are removed, at once unless it was killed. `unheard`: some may still
 * come; they are looked for again a moment later. What cannot be removed now is the next mount's. Takes the note, which is there. */
void resume_undo(struct vfs *v, struct rename *r, const struct err *why, bool unheard);

/* The program is told that its rename failed, and a person has to finish it. Takes the note, if there is one. */
void resume_leave(struct vfs *v, struct rename *r);

/* Whether a request that failed so may have been carried out all the same, or may still be. */
bool resume_unheard(enum err_code code);

#endif
