// SPDX-License-Identifier: GPL-3.0-or-later
// What the words and letters of the page mean.
#include "orchestrator/report/page.h"

void section_words(struct page *p)
{
    static const struct {
        const char *word, *meaning;
    } words[] = {
        {"C", "training compute: M × D, in FLOPs; a scale is one value of it"},
        {"M", "FLOPs a model spends on one token, forward and backward, as the paper counts "
              "(no embedding, router or unembedding)"},
        {"D", "tokens trained on: C/M. At a fixed C a larger model sees less text"},
        {"N_a, N", "parameters that one token uses, and all that are stored"},
        {"x = M/N_a", "compute density: above 6, and the more so the more of M is attention"},
        {"y = N/N_a", "expansion: how many times more parameters are stored than used"},
        {"triad", "M, x and y together: what determines the loss, d aside"},
        {"d", "hidden dimension, the width of the model's residual stream"},
        {"loss", "nats per token on text that no training saw; lower is better"},
        {"seed",
         "number that fixes initial weights and the order of the data; replicates differ "
         "in nothing else"},
        {"phase, cell",
         "a phase varies some axes and fits the losses along them; a cell is a phase at one "
         "scale, decided as a whole"},
        {"95 %", "interval that the bootstrap gives: refits to resampled residuals"},
        {"near-optimal band",
         "values whose fitted loss lies within the stated tolerance of the "
         "optimum's"},
        {"inside the values tried",
         "the fitted optimum is an interior one, with curvature to show"},
        {"edge",
         "the optimum or an end of its interval is the last value tried, and the best may lie "
         "beyond; the grid grows there as far as the configuration allows"},
        {"unresolved",
         "the noise between seeds hides where the optimum is; the middle of the band is "
         "adopted"},
        {"extrapolation",
         "beyond the largest C trained: the law may bend there, and no interval "
         "tells"},
        {"paper, executed",
         "the paper's counts are what laws are written in; executed ones hold all "
         "that is stored and run"},
    };
    fputs("<h2 id=\"words\">What the words mean</h2>\n<dl>\n", p->f);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        fprintf(p->f, "<dt>%s</dt><dd>%s</dd>\n", words[i].word, words[i].meaning);
    fputs("</dl>\n", p->f);
}
