#include "util/xml.h"

#include "util/buf.h"
#include "util/secret.h"

#include <libxml/SAX2.h>
#include <libxml/parser.h>
#include <libxml/tree.h>
#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define DEPTH_MAX    16
#define ELEMENTS_MAX 100000
#define TEXT_MAX     65536
#define TAG_MAX      8192 /* bytes between < and >: libxml2 compares a tag's attributes with one another */

/* What the limits are counted with while a reply is parsed. */
struct limits {
    const char *broken; /* which one, NULL while none */
    unsigned depth;
    unsigned elements;
    size_t text[DEPTH_MAX + 1]; /* bytes of the open element at each depth */
    const struct xml_reader *reader; /* NULL: a document is made */
    struct buf *behind;         /* text behind the last tag */
    enum err_code code;         /* of the reader */
    struct err *err;
};

/* `struct xml_doc` is libxml2's xmlDoc and `struct xml_node` its xmlNode. */
static const xmlNode *node_of(const struct xml_node *n)
{
    return (const xmlNode *)n;
}

static const struct xml_node *from_node(const xmlNode *n)
{
    return (const struct xml_node *)n;
}

static void stop(xmlParserCtxt *ctxt, const char *why)
{
    struct limits *l = ctxt->_private;
    if (!l->broken)
        l->broken = why;
    xmlStopParser(ctxt);
}

static void on_doctype(void *arg, const xmlChar *name, const xmlChar *external_id, const xmlChar *system_id)
{
    stop(arg, "it has a DOCTYPE");
}

static void told(xmlParserCtxt *ctxt, enum err_code code)
{
    struct limits *l = ctxt->_private;
    buf_clear(l->behind);
    l->code = code;
    if (code)
        stop(ctxt, "its reader stopped");
}

static void tell_begin(xmlParserCtxt *ctxt, const char *name)
{
    struct limits *l = ctxt->_private;
    told(ctxt, l->reader->begin(l->reader->arg, l->depth, name, l->err));
}

static void tell_end(xmlParserCtxt *ctxt, unsigned depth, const char *name)
{
    struct limits *l = ctxt->_private;
    if (l->behind->failed)
        told(ctxt, err_set(l->err, ERR_NOMEM, "out of memory"));
    else
        told(ctxt, l->reader->end(l->reader->arg, depth, name, buf_str(l->behind), l->err));
}

/* Attributes and namespaces are dropped: nobody asks for them. */
static void on_start(void *arg, const xmlChar *name, const xmlChar *prefix, const xmlChar *uri, int n_namespaces,
                     const xmlChar **namespaces, int n_attributes, int n_defaulted, const xmlChar **attributes)
{
    xmlParserCtxt *ctxt = arg;
    struct limits *l = ctxt->_private;
    if (l->broken)
        return;
    if (l->depth == DEPTH_MAX) {
        stop(ctxt, "it is nested too deeply");
        return;
    }
    if (l->elements == ELEMENTS_MAX) {
        stop(ctxt, "it has too many elements");
        return;
    }
    l->elements++;
    l->text[++l->depth] = 0;
    if (l->reader)
        tell_begin(ctxt, (const char *)name);
    else
        xmlSAX2StartElementNs(ctxt, name, NULL, NULL, 0, NULL, 0, 0, NULL);
}

static void on_end(void *arg, const xmlChar *name, const xmlChar *prefix, const xmlChar *uri)
{
    xmlParserCtxt *ctxt = arg;
    struct limits *l = ctxt->_private;
    if (l->broken || l->depth == 0)
        return;
    l->depth--;
    if (l->reader)
        tell_end(ctxt, l->depth + 1, (const char *)name);
    else
        xmlSAX2EndElementNs(ctxt, name, NULL, NULL);
}

static void on_text(void *arg, const xmlChar *text, int len)
{
    xmlParserCtxt *ctxt = arg;
    struct limits *l = ctxt->_private;
    if (l->broken || l->depth == 0)
        return;
    l->text[l->depth] += (size_t)len;
    if (l->text[l->depth] > TEXT_MAX) {
        stop(ctxt, "an element's text is too long");
        return;
    }
    if (l->reader)
        buf_add(l->behind, text, (size_t)len);
    else
        xmlSAX2Characters(ctxt, text, len);
}

static void set_handlers(xmlParserCtxt *ctxt)
{
    ctxt->sax->internalSubset = on_doctype;
    ctxt->sax->startElementNs = on_start;
    ctxt->sax->endElementNs = on_end;
    ctxt->sax->characters = on_text;
    ctxt->sax->ignorableWhitespace = on_text;
    ctxt->sax->cdataBlock = on_text;
    ctxt->sax->comment = NULL;
    ctxt->sax->processingInstruction = NULL;
    ctxt->sax->reference = NULL;
}

/* The first byte behind `end`, NULL where it does not come. */
static const char *behind(const char *p, const char *limit, const char *end)
{
    const char *found = memmem(p, (size_t)(limit - p), end, strlen(end));
    return found ? found + strlen(end) : NULL;
}

/* The byte behind a tag that starts at `p`, NULL where it is too long or does not end. */
static const char *behind_tag(const char *p, const char *limit)
{
    char quote = '\0';
    if (limit - p > TAG_MAX)
        limit = p + TAG_MAX;
    for (; p < limit; p++) {
        if (quote) {
            if (*p == quote)
                quote = '\0';
        } else if (*p == '"' || *p == '\'') {
            quote = *p;
        } else if (*p == '>') {
            return p + 1;
        }
    }
    return NULL;
}

/* A look at the bytes in linear time, before anything in libxml2 that takes longer sees them. */
static const char *prescan(const char *p, size_t len)
{
    const char *limit = p + len;
    if (memchr(p, '\0', len))
        return "it has a NUL byte";
    while (p && (p = memchr(p, '<', (size_t)(limit - p)))) {
        size_t left = (size_t)(limit - p);
        if (left >= 4 && memcmp(p, "<!--", 4) == 0)
            p = behind(p + 4, limit, "-->");
        else if (left >= 9 && memcmp(p, "<![CDATA[", 9) == 0)
            p = behind(p + 9, limit, "]]>");
        else if (left >= 2 && p[1] == '!')
            return "it has a DOCTYPE";
        else if (left >= 2 && p[1] == '?')
            p = behind(p + 2, limit, "?>");
        else
            p = behind_tag(p + 1, limit);
        if (!p)
            return "a tag is cut off or too long";
    }
    return NULL;
}

static xmlDoc *refuse(struct err *e, const char *why)
{
    err_set(e, ERR_PROTO, "XML reply refused: %s", why);
    return NULL;
}

static pthread_once_t library_once = PTHREAD_ONCE_INIT;

/* NULL with the error, a reader's excepted. */
/* It copies the reply and makes nodes of it: those of STS have keys. */
static void init_library(void)
{
    xmlMemSetup(secret_wiping_free, malloc, secret_wiping_realloc, strdup);
    xmlInitParser();
}

static xmlDoc *parse(const char *p, size_t len, struct limits *limits, struct err *e)
{
    if (len == 0)
        return refuse(e, "it is empty");
    if (len > INT_MAX)
        return refuse(e, "it is too large");
    const char *why = prescan(p, len);
    if (why)
        return refuse(e, why);

    pthread_once(&library_once, init_library);
    xmlParserCtxt *ctxt = xmlNewParserCtxt();
    if (!ctxt) {
        err_set(e, ERR_NOMEM, "out of memory");
        return NULL;
    }
    ctxt->_private = limits;
    set_handlers(ctxt);
    /* The encoding is given, so that a declaration in the reply cannot choose another one than the scan above assumed.
     */
    int options = XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING;
    xmlDoc *doc = xmlCtxtReadMemory(ctxt, p, (int)len, NULL, "UTF-8", options);
    bool no_memory = ctxt->errNo == XML_ERR_NO_MEMORY;
    xmlFreeParserCtxt(ctxt);
    if (doc && !limits->broken && (limits->reader ? limits->elements > 0 : xmlDocGetRootElement(doc) != NULL))
        return doc;
    xmlFreeDoc(doc);
    if (no_memory) {
        err_set(e, ERR_NOMEM, "out of memory");
        return NULL;
    }
    return limits->code ? NULL : refuse(e, limits->broken ? limits->broken : "it is malformed or cut off");
}

struct xml_doc *xml_parse(const char *p, size_t len, struct err *e)
{
    struct limits limits = {0};
    return (struct xml_doc *)parse(p, len, &limits, e);
}

enum err_code xml_read(const char *p, size_t len, const struct xml_reader *r, struct err *e)
{
    BUF(behind, TEXT_MAX + 1);
    struct err local = ERR_INIT;
    struct limits limits = {.reader = r, .behind = &behind, .err = &local};
    xmlDoc *doc = parse(p, len, &limits, &local);
    xmlFreeDoc(doc);
    return doc ? ERR_OK : err_copy(e, &local);
}

void xml_doc_free(struct xml_doc *d)
{
    xmlFreeDoc((xmlDoc *)d);
}

const struct xml_node *xml_root(const struct xml_doc *d)
{
    return from_node(xmlDocGetRootElement((const xmlDoc *)d));
}

const char *xml_name(const struct xml_node *n)
{
    return (const char *)node_of(n)->name;
}

/* The first element from `n` on, with that name unless it is NULL. */
static const struct xml_node *element_from(const xmlNode *n, const char *name)
{
    for (; n; n = n->next) {
        if (n->type == XML_ELEMENT_NODE && (!name || strcmp((const char *)n->name, name) == 0))
            return from_node(n);
    }
    return NULL;
}

const struct xml_node *xml_child(const struct xml_node *n, const char *name)
{
    return n ? element_from(node_of(n)->children, name) : NULL;
}

const struct xml_node *xml_next(const struct xml_node *n, const char *name)
{
    return n ? element_from(node_of(n)->next, name ? name : xml_name(n)) : NULL;
}

const struct xml_node *xml_first(const struct xml_node *n)
{
    return n ? element_from(node_of(n)->children, NULL) : NULL;
}

const struct xml_node *xml_following(const struct xml_node *n)
{
    return n ? element_from(node_of(n)->next, NULL) : NULL;
}

const char *xml_text(const struct xml_node *n)
{
    /* Text that arrived in pieces was joined while parsing, so there is one node of it unless an element is in between.
     */
    for (const xmlNode *child = n ? node_of(n)->children : NULL; child; child = child->next) {
        if (child->type == XML_TEXT_NODE && child->content)
            return (const char *)child->content;
    }
    return "";
}

const char *xml_child_text(const struct xml_node *n, const char *name)
{
    return xml_text(xml_child(n, name));
}

/* U+FFFE and U+FFFF in UTF-8, which XML 1.0 forbids. */
static bool is_noncharacter(const unsigned char *p, size_t left)
{
    return left >= 3 && p[0] == 0xEF && p[1] == 0xBF && p[2] >= 0xBE;
}

void xml_escape(struct buf *out, const char *s, size_t len)
{
    const unsigned char *p = (const unsigned char *)s;
    for (size_t i = 0; i < len && !out->failed; i++) {
        if (p[i] == '&') {
            buf_add_str(out, "&amp;");
        } else if (p[i] == '<') {
            buf_add_str(out, "&lt;");
        } else if (p[i] == '>') {
            buf_add_str(out, "&gt;");
        } else if (p[i] < 0x20 && p[i] != '\t' && p[i] != '\n') {
            buf_addf(out, "&#x%X;", p[i]);
        } else if (is_noncharacter(p + i, len - i)) {
            buf_add_str(out, p[i + 2] == 0xBE ? "&#xFFFE;" : "&#xFFFF;");
            i += 2;
        } else {
            buf_add_char(out, (char)p[i]);
        }
    }
}
