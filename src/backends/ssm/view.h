/*
 * Views: what a directory's parameters look like as one file of a known format. "@json" is the parameters directly in the
 * directory, "@tree.json" the whole subtree, "@json@live" what the label "live" (or a version's number) stands for. No
 * parameter can have such a name: '@' is none of its characters. Pure, no I/O; any thread.
 *
 * The formats are those of chamber (cmd/export.go, cmd/env.go) byte for byte, but where a reader of the format would not
 * get the value back from chamber's bytes; docs/semantics.md has the table. Keys are in the order of their bytes.
 */
#ifndef SSM_VIEW_H
#define SSM_VIEW_H

#include "awsfs/err.h"
#include "util/buf.h"

#include <stdbool.h>
#include <stddef.h>

/* Bytes of values that go into a view, and of what is made of them: memory is bounded. */
#define VIEW_VALUES_MAX (16u << 20)
#define VIEW_MAX        (32u << 20)

enum view_format {
    VIEW_ENV,        /* KEY="...", line feeds as they are: sh, systemd's EnvironmentFile= */
    VIEW_EXPORT,     /* export KEY='...' */
    VIEW_DOTENV,     /* KEY="...", line feeds as \n */
    VIEW_DOCKER,     /* KEY=..., as they are: docker --env-file */
    VIEW_TFVARS,     /* key = "..." */
    VIEW_JSON,
    VIEW_YAML,
    VIEW_PROPERTIES, /* of Java */
    VIEW_CSV,
    VIEW_TSV,
};

struct view {
    enum view_format format;
    bool tree;            /* the whole subtree, nested */
    const char *selector; /* a version or a label, borrowed from the name; NULL: what is there now */
};

/* False when the name is no view's. A selector is not looked at. */
bool view_parse(const char *name, struct view *out);

/* A parameter: its name relative to the directory ("host", of a tree also "db/host"), its value. */
struct view_item {
    const char *name;
    const char *value;
    size_t len;
    bool list; /* a StringList: of a tree an array of what is between its commas */
};

/* Appends the rendering of `n` items, which are put in order here. Those of a view that is no tree have no slash in their
 * name. ERR_INVAL names the parameter that the format cannot have: a name that makes no identifier, two that make the same,
 * a value that it cannot carry. ERR_TOO_BIG, ERR_NOMEM. */
enum err_code view_render(const struct view *v, struct view_item *items, size_t n, struct buf *out,
                          struct err *e) MUST_CHECK;

#endif
