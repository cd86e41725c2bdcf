#include "near.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

enum { NEAR_MAX = 64 };

static bool same(char a, char b)
{
    return tolower((unsigned char)a) == tolower((unsigned char)b);
}

/* Edit distance with swaps of neighbours (optimal string alignment), over three rows of the table. */
static size_t edit_distance(const char *a, size_t la, const char *b, size_t lb)
{
    size_t rows[3][NEAR_MAX + 1];
    size_t *before = rows[0], *above = rows[1], *row = rows[2];
    for (size_t j = 0; j <= lb; j++)
        row[j] = j;
    for (size_t i = 1; i <= la; i++) {
        size_t *oldest = before;
        before = above, above = row, row = oldest;
        row[0] = i;
        for (size_t j = 1; j <= lb; j++) {
            size_t best = above[j - 1] + !same(a[i - 1], b[j - 1]);
            if (above[j] + 1 < best)
                best = above[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            if (i > 1 && j > 1 && same(a[i - 1], b[j - 2]) && same(a[i - 2], b[j - 1]) &&
                before[j - 2] + 1 < best)
                best = before[j - 2] + 1;
            row[j] = best;
        }
    }
    return row[lb];
}

void near_try(struct near *n, const char *candidate)
{
    size_t len = strlen(n->name), other = strlen(candidate);
    if (len == 0 || len > NEAR_MAX || other > NEAR_MAX)
        return;
    size_t allowed = len == 1 ? 0 : len <= 4 ? 1 : len <= 8 ? 2 : 3;
    size_t d = edit_distance(n->name, len, candidate, other);
    if (d > allowed) {
        if (len < 4 || !strstr(candidate, n->name))
            return;
        d = NEAR_MAX;
    }
    if (!n->best || d < n->distance) {
        n->best = candidate;
        n->distance = d;
    }
}
