/* JSON in one line, as Go's encoding/json writes it: names and values may stand in a page of HTML. */
#include "backends/ssm/view_impl.h"

#include <string.h>

static void add_string(const char *s, size_t len, struct buf *out)
{
    static const char short_form[][3] = {['\b'] = "\\b", ['\t'] = "\\t", ['\n'] = "\\n", ['\f'] = "\\f", ['\r'] = "\\r"};
    buf_add_char(out, '"');
    for (size_t i = 0, bytes; i < len; i += bytes) {
        unsigned rune = view_rune(s + i, len - i, &bytes);
        if (rune == '"' || rune == '\\')
            buf_addf(out, "\\%c", (int)rune);
        else if (rune < sizeof(short_form) / sizeof(short_form[0]) && short_form[rune][0])
            buf_add_str(out, short_form[rune]);
        else if (rune < 0x20 || rune == '<' || rune == '>' || rune == '&' || rune == 0x2028 || rune == 0x2029)
            buf_addf(out, "\\u%04x", rune);
        else
            buf_add(out, s + i, bytes);
    }
    buf_add_char(out, '"');
}

static void add_value(const struct view_item *item, bool as_list, struct buf *out)
{
    if (!as_list) {
        add_string(item->value, item->len, out);
        return;
    }
    const char *part;
    size_t len;
    buf_add_char(out, '[');
    for (size_t at = 0; view_list_next(item, &at, &part, &len);) {
        if (part != item->value)
            buf_add_char(out, ',');
        add_string(part, len, out);
    }
    buf_add_char(out, ']');
}

/* Recursive: a name has at most SSM_LEVELS_MAX levels. */
static void add_level(const struct view_level *l, const struct view_item *self, bool tree, struct buf *out)
{
    struct view_node node;
    const char *comma = "";
    buf_add_char(out, '{');
    if (self != NULL) {
        buf_add_str(out, "\"" VIEW_SELF "\":");
        add_value(self, self->list, out);
        comma = ",";
    }
    for (size_t at = 0; view_level_next(l, &at, &node); comma = ",") {
        buf_add_str(out, comma);
        add_string(node.name, node.len, out);
        buf_add_char(out, ':');
        if (node.below.n > 0)
            add_level(&node.below, node.value, tree, out);
        else
            add_value(node.value, tree && node.value->list, out);
    }
    buf_add_char(out, '}');
}

void view_json(bool tree, const struct view_item *items, size_t n, struct buf *out)
{
    const struct view_level top = {items, n, 0};
    add_level(&top, NULL, tree, out);
    buf_add_char(out, '\n');
}
