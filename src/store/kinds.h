/* The calls of a store, as the dispatcher counts and names them. For store.c alone. */
#ifndef STORE_KINDS_H
#define STORE_KINDS_H

enum {
    N_LIST,
    N_STAT,
    N_GET,
    N_PUT,
    N_UPLOAD_BEGIN,
    N_UPLOAD_PART,
    N_UPLOAD_COPY,
    N_UPLOAD_FINISH,
    N_UPLOAD_ABORT,
    N_UPLOAD_LIST,
    N_COPY,
    N_RENAME,
    N_REMOVE,
    N_REMOVE_MANY,
    N_PROPERTY_GET,
    N_PROPERTY_SET,
    N_VIEW,
    N_PROBE,
    N_TRY,
    N_KINDS
};

static const char *const kinds[N_KINDS] = {
    [N_LIST] = "list",
    [N_STAT] = "stat",
    [N_GET] = "get",
    [N_PUT] = "put",
    [N_UPLOAD_BEGIN] = "upload begin",
    [N_UPLOAD_PART] = "upload part",
    [N_UPLOAD_COPY] = "upload copy",
    [N_UPLOAD_FINISH] = "upload finish",
    [N_UPLOAD_ABORT] = "upload abort",
    [N_UPLOAD_LIST] = "upload list",
    [N_COPY] = "copy",
    [N_RENAME] = "rename",
    [N_REMOVE] = "remove",
    [N_REMOVE_MANY] = "remove many",
    [N_PROPERTY_GET] = "property get",
    [N_PROPERTY_SET] = "property set",
    [N_VIEW] = "view",
    [N_PROBE] = "probe",
    [N_TRY] = "try",
};

#endif
