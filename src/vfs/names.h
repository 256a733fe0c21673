/*
 * Names and keys: every key is reachable and every name has one key (design: names and attributes in a bucket). A component
 * is what stands between two slashes of a key; its name is what the directory shows. Pure functions.
 */
#ifndef VFS_NAMES_H
#define VFS_NAMES_H

#include "util/buf.h"

#include <stdbool.h>
#include <stddef.h>

#define NAME_BYTES_MAX 255

/* Appends the name of a component. `percent_taken`: name_is_taken(), "x%" is the name of the object "x" beside "x/". */
void name_of_component(struct buf *out, const char *component, size_t len, bool percent_taken);

/* True if the component could be taken for the name of an object beside a directory, or for what escaping such a component
 * yields: whether it is depends on what else the directory has. */
bool name_may_be_taken(const char *component, size_t len);

/* True if it is. `doubled` tells whether both an object and a directory of a component exist there. */
bool name_is_taken(const char *component, size_t len, bool (*doubled)(void *arg, const char *component, size_t len),
                   void *arg);

/* Appends the name of the object `component` that stands beside a directory of the same component: its name and '%'. */
void name_beside_dir(struct buf *out, const char *component, size_t len);

enum name_meaning {
    NAME_LITERAL, /* the component is the name */
    NAME_ESCAPE,  /* the component was appended to `component` */
    NAME_DEPENDS, /* only the directory's listing can tell: "x%", "x%25", the shortened form */
    NAME_BAD,     /* not UTF-8, empty, or has a slash */
};

/* What a name stands for. */
enum name_meaning name_to_component(const char *name, struct buf *component);

/* For NAME_DEPENDS where the listing has no such name: the component that a new file of this name gets. `doubled` as above.
 * False: no key can have this name. */
bool name_for_new(const char *name, bool (*doubled)(void *arg, const char *component, size_t len), void *arg,
                  struct buf *component);

/* A string that sorts before `prefix` + `component` and behind (nearly) everything else that does: to begin a listing there. */
void name_list_start(struct buf *out, const char *prefix, const char *component);

#endif
