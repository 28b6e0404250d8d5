// SPDX-License-Identifier: GPL-3.0-or-later
// The report from made-up sweeps: whole, hostile, without gnuplot, empty, one scale, all
// failed.
#include "orchestrator/report/html.h"
#include "orchestrator/report/plot.h"
#include "orchestrator/report/report.h"
#include "tests/orchestrator/html_check.h"
#include "tests/orchestrator/report_sample.h"
#include "tests/test.h"
#include <unistd.h>

static char dir[] = "/tmp/moesweep-test-report-XXXXXX";

static char *read_page(void)
{
    char path[80];
    snprintf(path, sizeof path, "%s/report.html", dir);
    FILE *f = fopen(path, "r");
    if (!f)
        return NULL;
    fseek(f, 0, SEEK_END);
    const long n = ftell(f);
    rewind(f);
    char *text = malloc((size_t)n + 1);
    const size_t got = fread(text, 1, (size_t)n, f);
    text[got] = '\0';
    fclose(f);
    return text;
}

// Writes a report and returns its text, checked to be well-formed and self-contained.
static char *page_of(const struct sample *s)
{
    CHECK(report_write_jobs(dir, s->law, s->arch, s->list, s->n, s->records) == OK);
    char *page = read_page(), why[200];
    CHECK(page != NULL);
    if (!page)
        exit(test_summary());
    const bool formed = html_check(page, why, sizeof why);
    if (!formed)
        fprintf(stderr, "%s\n", why);
    CHECK(formed);
    CHECK(count_of(page, "<script") == 0);
    CHECK(count_of(page, " src=") == 0);
    CHECK(count_of(page, "http") ==
          2 * count_of(page, "xmlns:xlink=")); // names of SVG, no loads
    CHECK(count_of(page, "nan") == count_of(page, "nance"));
    return page;
}

static void check_numbers(void)
{
    CHECK_STR(num_sig(0, 3).s, "0");
    CHECK_STR(num_sig(1.7432, 3).s, "1.74");
    CHECK_STR(num_sig(.00123, 2).s, "0.0012");
    CHECK_STR(num_sig(9999.6, 4).s, "1.000 × 10⁴");
    CHECK_STR(num_sig(76543, 3).s, "7.65 × 10⁴");
    CHECK_STR(num_sig(-2.5e-7, 2).s, "−2.5 × 10⁻⁷");
    CHECK_STR(num_sig(NAN, 3).s, "–");
    CHECK_STR(num_sig(INFINITY, 3).s, "–");
    CHECK_STR(num_round(1e11).s, "10¹¹");
    CHECK_STR(num_round(3e10).s, "3 × 10¹⁰");
    CHECK_STR(num_round(.5).s, "0.5");
    CHECK_STR(num_int(12345).s, "12\u202f345");
    CHECK_STR(num_int(-1234567).s, "−1\u202f234\u202f567");
    CHECK_STR(num_int(999).s, "999");
    CHECK_STR(num_time(3.14159).s, "3.14 s");
    CHECK_STR(num_time(119.6).s, "2 min 0 s");
    CHECK_STR(num_time(7500).s, "2 h 05 min");
    CHECK_STR(num_range(1, NAN, 3).s, "");
    CHECK_STR(plain_text("a'b`c\"<d>\n\\é").s, "a?b?c??d????"
                                               "?");
}

static void check_escapes(void)
{
    char *text;
    size_t n;
    FILE *f = open_memstream(&text, &n);
    html_text(f, "a<b>&\"'\x01\xff\xc0\x80\xed\xa0\x80 \xc3\xa9");
    fclose(f);
    CHECK_STR(text, "a&lt;b&gt;&amp;&quot;&#39; \uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD é");
    free(text);
}

static bool has_gnuplot(void)
{
    char version[64];
    return plot_available(version, sizeof version);
}

static void check_whole(void)
{
    struct sample s;
    sample_make(&s, &(struct sample_options){.scales = 3});
    char *page = page_of(&s), anchor[64];
    for (int i = 0; i < s.n; i++) { // every training is a row
        snprintf(anchor, sizeof anchor, "<tr id=\"run-%s\">", s.list[i]->job.id);
        CHECK(count_of(page, anchor) == 1);
    }
    CHECK(count_of(page, "extrapolation: 10 × the largest compute trained") == 2);
    CHECK(count_of(page, "It cannot say how y changes.") == 1);
    CHECK(count_of(page, ", at M = 9.10 × 10⁴, x = 7.25; it moves along with M and x. ") == 3);
    CHECK(count_of(page, ", at x = 7.25. ") == 3);
    CHECK(strstr(page, "It cannot say how y changes.") < strstr(page, "id=\"architecture\""));
    CHECK(count_of(page, "loss is not finite at step 41") >
          1); // failures listed with their cause
    CHECK(count_of(page, "ok, outlier") == 1);
    CHECK(count_of(page, ">interval reaches the upper edge</span>") ==
          2 * 3); // y: figure, decision
    CHECK(count_of(page, "resumed 1 time; the pauses are left out") == 1);
    CHECK(count_of(page, "resumed here") == 1);
    CHECK(count_of(page, ", lost and tried again") == 3); // 114 jobs, numbers 12, 52 and 92
    CHECK(count_of(page, "segmentation fault\nlast line") == 3);
    // One chart a fit (4 axes, 3 scales), an overview an axis, laws M D x, loss, rank twice,
    // fairness, learning per scale; the time chart is there in any case.
    const int charts = 12 + 4 + 3 + 1 + 2 + 1 + 3;
    if (has_gnuplot()) {
        CHECK(count_of(page, "<svg class=\"plot\"") == charts + 1);
        CHECK(count_of(page, "could not be drawn") == 0);
    } else {
        CHECK(count_of(page, "<svg class=\"plot\"") == 1);
    }
    free(page);
    sample_free(&s);
}

// What an evil configuration or trainer could put where names, causes and notes stand.
static void check_hostile(void)
{
    static const char evil[] = "<script>alert(1)</script>\"'`touch evil`\n$(touch evil)\\";
    struct sample s;
    sample_make(&s, &(struct sample_options){.scales = 3, .evil = evil});
    CHECK(chdir(dir) == 0); // where a command in a name would leave its file
    char *page = page_of(&s);
    CHECK(access("evil", F_OK) != 0);
    CHECK(count_of(page, "&lt;script&gt;") > 10);
    CHECK(count_of(page, "could not be drawn") == 0);
    free(page);
    sample_free(&s);
}

static void check_without_gnuplot(void)
{
    char *old = strdup(getenv("PATH") ? getenv("PATH") : "");
    setenv("PATH", "/nonexistent", 1);
    CHECK(!has_gnuplot());
    struct sample s;
    sample_make(&s, &(struct sample_options){.scales = 2});
    char *page = page_of(&s);
    CHECK(count_of(page, "gnuplot was not found") == 1);
    CHECK(count_of(page, "<svg class=\"plot\"") == 1); // the time chart
    CHECK(count_of(page, "<table>") > 20);
    CHECK(count_of(page, "<details open=\"open\">") > 8);
    free(page);
    sample_free(&s);
    setenv("PATH", old, 1);
    free(old);
}

static void check_empty(void)
{
    CHECK(report_write_jobs(dir, NULL, NULL, NULL, 0, NULL) == OK);
    char *page = read_page(), why[200];
    CHECK(page && html_check(page, why, sizeof why));
    CHECK(page && count_of(page, "No answer yet") == 1);
    free(page);
    struct sample s; // jobs are known, nothing has ended
    sample_make(&s, &(struct sample_options){.scales = 2});
    for (int i = 0; i < s.n; i++)
        s.jobs[i].final = false;
    json_decref(s.law);
    json_decref(s.arch);
    s.law = s.arch = NULL;
    json_array_clear(s.records);
    page = page_of(&s);
    CHECK(count_of(page, "No answer yet") == 1);
    CHECK(count_of(page, "<td>not finished</td>") == s.n);
    free(page);
    sample_free(&s);
}

static void check_single_scale(void)
{
    struct sample s;
    sample_make(&s, &(struct sample_options){.scales = 1});
    char *page = page_of(&s);
    CHECK(count_of(page, "no trend claimed") > 0);
    CHECK(count_of(page, "The 1 scales") == 0);
    CHECK(count_of(page, "could not be drawn") == 0);
    CHECK(count_of(page, "E cannot be identified") == 1);
    free(page);
    sample_free(&s);
}

static void check_all_failed(void)
{
    struct sample s;
    sample_make(&s, &(struct sample_options){.scales = 2, .all_failed = true});
    char *page = page_of(&s);
    CHECK(count_of(page, "No answer yet") == 1);
    CHECK(count_of(page, "<td>diverged</td>") == 2 * s.n); // failures and all trainings
    CHECK(count_of(page, "could not be drawn") == 0);
    free(page);
    sample_free(&s);
}

static void check_unwritable(void)
{
    char lost[80];
    snprintf(lost, sizeof lost, "%s/none", dir);
    CHECK(report_write_jobs(lost, NULL, NULL, NULL, 0, NULL) == ERR_INPUT);
    CHECK(strstr(err_message(), "none/report.html") != NULL);
    char left[80];
    snprintf(left, sizeof left, "%s/report.html.tmp", dir);
    CHECK(access(left, F_OK) != 0);
}

// The checker itself must be able to say no.
static void check_checker(void)
{
    static const char *const wrong[] = {"<!DOCTYPE html><p>a</b></p>",
                                        "<!DOCTYPE html><p>a",
                                        "<!DOCTYPE html>a & b",
                                        "<!DOCTYPE html><p class=x>a</p>",
                                        "<!DOCTYPE html><p>1 < 2</p>",
                                        "<!DOCTYPE html><a href=\"#x\">a</a>",
                                        "<!DOCTYPE html><p id=\"a\"/><p id=\"a\"/>",
                                        "<!DOCTYPE html><p onclick=\"x\"/>",
                                        "<!DOCTYPE html><p id=\"a\"class=\"b\"/>"};
    char why[200];
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        CHECK(!html_check(wrong[i], why, sizeof why));
    CHECK(html_check("<!DOCTYPE html><p id=\"a\">a<br/><a href=\"#a\">b</a></p>", why,
                     sizeof why));
}

int main(void)
{
    if (!mkdtemp(dir))
        return 1;
    check_checker();
    check_numbers();
    check_escapes();
    check_whole();
    check_hostile();
    check_without_gnuplot();
    check_empty();
    check_single_scale();
    check_all_failed();
    check_unwritable();
    const char *keep =
        getenv("MOESWEEP_KEEP_REPORT"); // a folder: the sample's page, to look at
    struct sample s;
    sample_make(&s, &(struct sample_options){.scales = 3});
    if (keep)
        CHECK(report_write_jobs(keep, s.law, s.arch, s.list, s.n, s.records) == OK);
    sample_free(&s);
    char path[80];
    snprintf(path, sizeof path, "%s/report.html", dir);
    unlink(path);
    rmdir(dir);
    return test_summary();
}
