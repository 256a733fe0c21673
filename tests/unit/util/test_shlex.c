#include "util/shlex.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void words_are_split_as_a_shell_does(void **state)
{
    /* The words in brackets, then how it ended. Each line is what shlex.split() of Python gives. */
    static const struct {
        const char *text, *words;
        enum shlex end;
    } table[] = {
        {"", "", SHLEX_END},
        {" \t\r\n ", "", SHLEX_END},
        {"one", "[one]", SHLEX_END},
        {"  one   two\n", "[one][two]", SHLEX_END},
        {"a 'b c' d", "[a][b c][d]", SHLEX_END},
        {"a\"b c\"d'e'", "[ab cde]", SHLEX_END},
        {"''", "[]", SHLEX_END},
        {"a '' \"\" b", "[a][][][b]", SHLEX_END},
        {"a\\ b \\' \\\"", "[a b]['][\"]", SHLEX_END},
        {"'a\\b'", "[a\\b]", SHLEX_END},
        {"\"a\\b \\\" \\\\ \\$\"", "[a\\b \" \\ \\$]", SHLEX_END},
        {"$HOME `id` ; # > *", "[$HOME][`id`][;][#][>][*]", SHLEX_END},
        {"a\vb", "[a\vb]", SHLEX_END},
        {"gr\xc3\xbc\xc3\x9f"
         "e",
         "[gr\xc3\xbc\xc3\x9f"
         "e]",
         SHLEX_END},
        {"a 'b", "[a]", SHLEX_OPEN_QUOTE},
        {"a \"b'", "[a]", SHLEX_OPEN_QUOTE},
        {"a \\", "[a]", SHLEX_BARE_BACKSLASH},
        {"\"a\\", "", SHLEX_BARE_BACKSLASH},
    };

    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        const char *text = table[i].text;
        BUF(all, 256);
        enum shlex result;

        for (;;) {
            BUF(word, 64);
            if ((result = shlex_next(&text, &word)) != SHLEX_WORD)
                break;
            buf_addf(&all, "[%s]", buf_str(&word));
        }
        assert_int_equal(result, table[i].end);
        assert_string_equal(buf_str(&all), table[i].words);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_are_split_as_a_shell_does),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
