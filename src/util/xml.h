/*
 * Reading the XML of a server's reply: the only user of libxml2. No entities, no DTD, no network; depth at most 16, at most
 * 100,000 elements, text of an element at most 64 KiB. Namespaces are ignored (local names). Names are matched exactly.
 */
#ifndef UTIL_XML_H
#define UTIL_XML_H

#include "awsfs/err.h"
#include "util/cleanup.h"

#include <stddef.h>

struct xml_doc;
struct xml_node; /* borrowed from its document */

/* Parses a whole reply. ERR_PROTO: malformed, truncated, over a limit, or has a DOCTYPE. The caller keeps the bytes. */
struct xml_doc *xml_parse(const char *p, size_t len, struct err *e);
void xml_doc_free(struct xml_doc *d);
CLEANUP_DEFINE(struct xml_doc, xml_doc_free)

/* The same reply without a document: for long ones. `end` is called at the end of every element, in the order of the reply: `depth`
 * counts from 1 for the root, `text` (with a NUL) is what stands behind the last tag before the end, all of it where there is no
 * element inside. Borrowed for the call. `begin` is called at the start of every element. What they return, unless ERR_OK, ends
 * the reading and is returned; ERR_PROTO as xml_parse(). What was told before an error may be of a reply that is none. */
struct xml_reader {
    enum err_code (*begin)(void *arg, unsigned depth, const char *name, struct err *e);
    enum err_code (*end)(void *arg, unsigned depth, const char *name, const char *text, struct err *e);
    void *arg;
};
enum err_code xml_read(const char *p, size_t len, const struct xml_reader *r, struct err *e) MUST_CHECK;

const struct xml_node *xml_root(const struct xml_doc *d);
const char *xml_name(const struct xml_node *n);

/* The first child element with that name, or NULL (also when `n` is NULL). */
const struct xml_node *xml_child(const struct xml_node *n, const char *name);

/* The next sibling element with the same name as `n`, or with `name` if not NULL. */
const struct xml_node *xml_next(const struct xml_node *n, const char *name);

/* The first child element / the next sibling element whatever its name: for walks in document order. */
const struct xml_node *xml_first(const struct xml_node *n);
const struct xml_node *xml_following(const struct xml_node *n);

/* The element's text (entities decoded, white space kept); "" when empty or `n` is NULL. Borrowed from the document. */
const char *xml_text(const struct xml_node *n);

/* xml_text(xml_child(n, name)). */
const char *xml_child_text(const struct xml_node *n, const char *name);

/* Appends `s` escaped for element content; characters XML 1.0 cannot hold become numeric references (as S3 accepts). */
struct buf;
void xml_escape(struct buf *out, const char *s, size_t len);

#endif
