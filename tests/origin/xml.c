#include "xml.h"

#include <libxml/parser.h>
#include <stdlib.h>
#include <string.h>

#include "s3.h"

xmlDoc *xml_of_payload(const struct request *r, const char *root)
{
    char *text = payload_text(r);
    xmlDoc *doc;
    xmlNode *top;

    if (!text)
        return NULL;
    doc = xmlReadMemory(text, (int)r->payload->size, NULL, NULL,
                        XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING | XML_PARSE_NOCDATA);
    free(text);
    top = doc ? xmlDocGetRootElement(doc) : NULL;
    if (top && !xmlGetIntSubset(doc) && strcmp((const char *)top->name, root) == 0)
        return doc;
    xmlFreeDoc(doc);
    return NULL;
}

static xmlNode *named(xmlNode *node, const char *name)
{
    for (; node; node = node->next)
        if (node->type == XML_ELEMENT_NODE && strcmp((const char *)node->name, name) == 0)
            return node;
    return NULL;
}

xmlNode *xml_child(const xmlNode *parent, const char *name)
{
    return named(parent->children, name);
}

xmlNode *xml_next(const xmlNode *node, const char *name)
{
    return named(node->next, name);
}

char *xml_child_text(const xmlNode *parent, const char *name)
{
    xmlNode *child = xml_child(parent, name);
    xmlChar *text = child ? xmlNodeGetContent(child) : NULL;
    char *copy = text ? x_strdup((const char *)text) : NULL;

    xmlFree(text);
    return copy;
}
