/* Request bodies in XML, through libxml2. */
#pragma once
#include <libxml/tree.h>

struct request;

/* Parses the payload, whose root must have that name; NULL when it is too large, not well-formed, or has a
 * document type. The caller frees it with xmlFreeDoc. */
xmlDoc *xml_of_payload(const struct request *r, const char *root);

/* The first child element of that name; the next sibling element of that name. NULL when there is none. */
xmlNode *xml_child(const xmlNode *parent, const char *name);
xmlNode *xml_next(const xmlNode *node, const char *name);

/* The text of the first child element of that name, owned by the caller (free); NULL when there is none. */
char *xml_child_text(const xmlNode *parent, const char *name);
