/* Times and numbers as text. */
#include <ctype.h>
#include <stdio.h>

#include "doc.h"

enum { US_PER_S = 1000000, S_PER_DAY = 86400 };

void add_u64(struct buf *b, uint64_t n)
{
    char digits[24];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + n % 10);
        n /= 10;
    } while (n);
    buf_add(b, digits + at, sizeof digits - at);
}

static void put_digits(char *at, int width, int64_t n)
{
    for (int i = width - 1; i >= 0; i--, n /= 10)
        at[i] = (char)('0' + n % 10);
}

/* Days since 1970-01-01 to a date of the Gregorian calendar, by eras of 400 years that begin in March.
 * gmtime_r takes longer than the rest of a generated record. */
static void civil_of_days(int64_t days, int64_t *ret_y, int64_t *ret_m, int64_t *ret_d)
{
    int64_t z = days + 719468, era = z / 146097, of_era = z - era * 146097;
    int64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * year + year / 4 - year / 100);
    int64_t month = (5 * of_year + 2) / 153;
    *ret_d = of_year - (153 * month + 2) / 5 + 1;
    *ret_m = month < 10 ? month + 3 : month - 9;
    *ret_y = year + era * 400 + (*ret_m <= 2);
}

static int64_t days_of_civil(int64_t y, int64_t m, int64_t d)
{
    y -= m <= 2;
    int64_t era = y / 400, of_era_y = y - era * 400;
    int64_t of_year = (153 * (m > 2 ? m - 3 : m + 9) + 2) / 5 + d - 1;
    return era * 146097 + of_era_y * 365 + of_era_y / 4 - of_era_y / 100 + of_year - 719468;
}

void add_stamp(struct buf *b, int64_t us)
{
    char text[] = "0000-00-00T00:00:00.000000";
    int64_t s = us / US_PER_S, fraction = us % US_PER_S, y, m, d;
    civil_of_days(s / S_PER_DAY, &y, &m, &d);
    s %= S_PER_DAY;
    put_digits(text, 4, y);
    put_digits(text + 5, 2, m);
    put_digits(text + 8, 2, d);
    put_digits(text + 11, 2, s / 3600);
    put_digits(text + 14, 2, s / 60 % 60);
    put_digits(text + 17, 2, s % 60);
    put_digits(text + 20, 6, fraction);
    buf_add(b, text, fraction ? 26 : 19);
}

/* Exactly `width` digits. */
static bool take_number(struct slice *t, size_t width, int64_t *ret)
{
    int64_t n = 0;
    if (t->len < width)
        return false;
    for (size_t i = 0; i < width; i++) {
        if (!isdigit((unsigned char)t->p[i]))
            return false;
        n = n * 10 + (t->p[i] - '0');
    }
    *t = (struct slice){t->p + width, t->len - width};
    *ret = n;
    return true;
}

static bool take_char(struct slice *t, char c)
{
    if (!t->len || *t->p != c)
        return false;
    *t = (struct slice){t->p + 1, t->len - 1};
    return true;
}

/* .f to .fffffffff: digits past the sixth are dropped. */
static bool take_fraction(struct slice *t, int64_t *ret)
{
    int64_t us = 0, unit = US_PER_S;
    size_t n = 0;
    for (; t->len && isdigit((unsigned char)*t->p); n++, unit /= 10) {
        us += (*t->p - '0') * (unit / 10);
        *t = (struct slice){t->p + 1, t->len - 1};
    }
    *ret = us;
    return n >= 1 && n <= 9;
}

static int parse_epoch_ms(struct slice t, int64_t *ret)
{
    int64_t n = 0;
    if (t.len == 0 || t.len > 19)
        return -1;
    for (size_t i = 0; i < t.len; i++) {
        if (!isdigit((unsigned char)t.p[i]))
            return -1;
        n = n * 10 + (t.p[i] - '0');
    }
    *ret = n * 1000;
    return 0;
}

/* Parts that are left out begin at their least for the first moment, at their most for the last. */
int parse_date(struct slice t, int64_t *ret_first, int64_t *ret_last)
{
    int64_t y, mo = 1, d = 1, h = 0, mi = 0, s = 0, us = 0, last_us = US_PER_S - 1, lh = 23, lmi = 59,
               ls = 59;
    if (t.len != 4 && parse_epoch_ms(t, ret_first) == 0) {
        *ret_last = *ret_first + 999;
        return 0;
    }
    if (!take_number(&t, 4, &y) || (take_char(&t, '-') && !take_number(&t, 2, &mo)) ||
        (take_char(&t, '-') && !take_number(&t, 2, &d)))
        return -1;
    if (take_char(&t, 'T')) {
        if (!take_number(&t, 2, &h))
            return -1;
        lh = h;
        if (take_char(&t, ':')) {
            if (!take_number(&t, 2, &mi))
                return -1;
            lmi = mi;
            if (take_char(&t, ':')) {
                if (!take_number(&t, 2, &s))
                    return -1;
                ls = s;
                if (take_char(&t, '.')) {
                    if (!take_fraction(&t, &us))
                        return -1;
                    last_us = us;
                }
            }
        }
    }
    (void)take_char(&t, 'Z');
    if (t.len || mo < 1 || mo > 12 || d < 1 || d > 31 || h > 23 || mi > 59 || s > 59)
        return -1;
    int64_t day = days_of_civil(y, mo, d) * S_PER_DAY;
    *ret_first = (day + h * 3600 + mi * 60 + s) * US_PER_S + us;
    *ret_last = (day + lh * 3600 + lmi * 60 + ls) * US_PER_S + last_us;
    return 0;
}
