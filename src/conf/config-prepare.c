/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <string.h>

#include "conf/config-list.h"
#include "conf/config-prepare.h"

#define NOT_EXPANDED "${...} is not expanded; in a string, write \\${"

static bool begins_comment(const char *text, size_t i) {
        if (text[i] == '#')
                return true;
        if (text[i] != '/')
                return false;

        /* "//" in the middle of a word is that of a URL */
        return text[i + 1] == '*' ||
               (text[i + 1] == '/' && (i == 0 || strchr(" \t\r\n={}(),+*\"'", text[i - 1])));
}

/* Blanks the comment at *i, keeping its newlines, and goes behind it. Returns what is wrong with it, or
 * NULL. */
static const char *skip_comment(char *text, size_t *i, size_t n) {
        bool is_block = text[*i] == '/' && text[*i + 1] == '*';
        const char *end = is_block ? strstr(text + *i + 2, "*/") : strchr(text + *i, '\n');
        size_t stop = end ? (size_t) (end - text) + (is_block ? 2 : 0) : n;

        if (is_block && !end)
                return "this comment has no end";

        for (; *i < stop; (*i)++)
                if (text[*i] != '\n')
                        text[*i] = ' ';
        return NULL;
}

static const char *skip_string(const char *text, size_t *i, size_t n) {
        char quote = text[(*i)++];

        for (; *i < n && text[*i] != '\n'; (*i)++) {
                if (text[*i] == quote) {
                        (*i)++;
                        return NULL;
                }
                if (text[*i] == '\\' && text[*i + 1] != '\n')
                        (*i)++;
                else if (quote == '"' && text[*i] == '$' && text[*i + 1] == '{')
                        return NOT_EXPANDED;
        }

        return "this string is not closed in its line";
}

const char *config_prepare(char *text, size_t n, size_t *ret_at) {
        const char *nul = memchr(text, '\0', n);
        size_t opened = 0, depth = 0;

        *ret_at = nul ? (size_t) (nul - text) : 0;
        if (nul)
                return "there is a NUL byte in this line";

        for (size_t i = 0; i < n;) {
                const char *fault = NULL;
                size_t begin = i;

                if (begins_comment(text, i))
                        fault = skip_comment(text, &i, n);
                else if (text[i] == '"' || text[i] == '\'')
                        fault = skip_string(text, &i, n);
                else if (text[i] == '$' && text[i + 1] == '{')
                        fault = NOT_EXPANDED;
                else
                        i++;
                *ret_at = begin;
                if (fault)
                        return fault;

                if (text[begin] == '{' && depth++ == 0)
                        opened = begin;
                if (text[begin] == '}' && depth > 0)
                        depth--;
        }

        *ret_at = opened;
        return depth > 0 ? "this { is not closed" : NULL;
}

static bool is_space(char c) {
        return c == ' ' || (c >= '\t' && c <= '\r');
}

/* The word at the front of `s`, which is taken off it: in quotes or not. */
static Slice cut_word(Slice *s) {
        char quote = s->n > 0 && (s->p[0] == '"' || s->p[0] == '\'') ? s->p[0] : '\0';
        Slice word = { s->p + !!quote, 0 };
        size_t left = s->n - !!quote;

        while (word.n < left && word.p[word.n] != '\n' && word.p[word.n] != '\0' &&
               (quote ? word.p[word.n] != quote : !is_space(word.p[word.n]) && word.p[word.n] != '{'))
                word.n++;

        *s = (Slice) { word.p + word.n, left - word.n };
        return word;
}

static int note_title(Slice title, char ***titles, size_t *n_titles) {
        _cleanup_(freep) char *copy = NULL;
        int r;

        if (title.n == 0)
                return 0;
        copy = strndup(title.p, title.n);
        if (!copy)
                return -ENOMEM;

        r = string_list_add(titles, n_titles, copy);
        return r == -E2BIG ? 0 : r;
}

int config_find_collectors(Slice text, char ***titles, size_t *n_titles) {
        static const Slice keyword = SLICE("collector");
        int r = 0;

        for (size_t i = 0; r >= 0 && i + keyword.n < text.n; i++) {
                Slice rest = { text.p + i, text.n - i };

                if (!slice_starts_with(rest, keyword) || (i > 0 && !strchr(" \t\r\n}", text.p[i - 1])))
                        continue;

                rest = (Slice) { rest.p + keyword.n, rest.n - keyword.n };
                while (rest.n > 0 && is_space(rest.p[0]))
                        rest = (Slice) { rest.p + 1, rest.n - 1 };
                if (rest.p > text.p + i + keyword.n || (rest.n > 0 && strchr("\"'", rest.p[0])))
                        r = note_title(cut_word(&rest), titles, n_titles);
        }

        return r;
}
